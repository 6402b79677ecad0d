"""Signatures of webhooks."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from gateway.core.webhooks import STRIPE_WINDOW_S, WebhookCheck
from p2p.errors import ConfigError, IntegrityError
from p2p.proto.publication import Webhook

BODY = b"Hello, World!"
NOW = 1_800_000_000.0
GITHUB = Webhook(kind="github", secret="It's a Secret to Everybody")
STRIPE = Webhook(kind="stripe", secret="whsec_test")
OTHER = Webhook(kind="hmac", header="X-Shop-Hmac", secret="shop")
GITHUB_SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
"""Source: "Validating webhook deliveries" in GitHub's documentation, its test values."""


def mac(secret: str, data: bytes) -> bytes:
    return hmac.digest(secret.encode(), data, hashlib.sha256)


def stripe(time: float, secret: str = "whsec_test", body: bytes = BODY) -> str:
    return f"t={int(time)},v0=00,v1={mac(secret, f'{int(time)}.'.encode() + body).hex()}"


def accepts(headers: dict[str, str], body: bytes = BODY) -> bool:
    try:
        WebhookCheck([GITHUB, STRIPE, OTHER]).check(headers, body, NOW)
    except IntegrityError:
        return False
    return True


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Hub-Signature-256": GITHUB_SIGNATURE},
        {"Stripe-Signature": stripe(NOW)},
        {"Stripe-Signature": stripe(NOW - STRIPE_WINDOW_S)},
        {"Stripe-Signature": stripe(NOW, "new").replace("v0=00", f"v1={'0' * 64}") + "," + stripe(NOW).split(",")[2]},
        {"X-Shop-Hmac": mac("shop", BODY).hex()},
        {"X-Shop-Hmac": "sha256=" + mac("shop", BODY).hex()},
        {"X-Shop-Hmac": base64.b64encode(mac("shop", BODY)).decode()},
        {"X-Hub-Signature-256": "sha256=00", "X-Shop-Hmac": mac("shop", BODY).hex()},
    ],
)
def test_right_signatures(headers):
    assert accepts(headers)
    assert not accepts(headers, BODY + b"!")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Hub-Signature-256": "sha256=" + mac("wrong", BODY).hex()},
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": "sha256=\udcff"},
        {"X-Shop-Hmac": GITHUB_SIGNATURE},
        {"Stripe-Signature": stripe(NOW - STRIPE_WINDOW_S - 1)},
        {"Stripe-Signature": stripe(NOW + STRIPE_WINDOW_S + 1)},
        {"Stripe-Signature": stripe(NOW, "wrong")},
        {"Stripe-Signature": stripe(NOW - 900) + f",t={int(NOW)}"},
        {"Stripe-Signature": "v1=" + mac("whsec_test", b"." + BODY).hex()},
        {"Stripe-Signature": "t=²,v1=00"},
        {"Stripe-Signature": f"t={'9' * 5000},v1=00"},
    ],
)
def test_wrong_signatures(headers):
    assert not accepts(headers)


def test_bodies_are_read_only_of_who_says_that_it_is_signed():
    check = WebhookCheck([STRIPE])
    assert check.is_claimed({"Stripe-Signature": "x"})
    assert not check.is_claimed({"X-Hub-Signature-256": "x"})
    assert not WebhookCheck([])


def test_a_signature_must_be_somewhere():
    with pytest.raises(ConfigError):
        WebhookCheck([Webhook(kind="hmac", secret="s")])
