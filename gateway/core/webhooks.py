"""Signatures of webhooks: who sends them signs the body with a secret that only the receiver knows beside them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from p2p.errors import ConfigError, IntegrityError
from p2p.proto.publication import Webhook

STRIPE_WINDOW_S: Final = 300.0
"""How old a signature of Stripe may be. Source: the default of Stripe's own libraries."""
_STRIPE_SIGNATURES_MAX: Final = 8
"""Signatures in one header: one for each secret that is in use while they change."""
_HEADERS: Final = {"github": "X-Hub-Signature-256", "stripe": "Stripe-Signature"}


class WebhookCheck:
    """Checks the signatures of the senders that a service expects.

    Args:
        webhooks: The senders, with their secrets.

    Raises:
        ConfigError: One has no header for its signature.
    """

    def __init__(self, webhooks: Sequence[Webhook]) -> None:
        self._webhooks = [(webhook, _HEADERS.get(webhook.kind, webhook.header)) for webhook in webhooks]
        if any(not header for _, header in self._webhooks):
            raise ConfigError("a webhook of the kind hmac needs the header that has its signature")

    def __bool__(self) -> bool:
        return bool(self._webhooks)

    def is_claimed(self, headers: Mapping[str, str]) -> bool:
        """Whether a request says that it is signed, so that its body is worth reading.

        Args:
            headers: Of the request; names are found in any case.
        """
        return any(header in headers for _, header in self._webhooks)

    def check(self, headers: Mapping[str, str], body: bytes, now_wall: float) -> str:
        """Check the signature of a request.

        Args:
            headers: Of the request.
            body: The whole body as it came.
            now_wall: Unix time in seconds.

        Returns:
            Which kind of sender signed it.

        Raises:
            IntegrityError: It has none of a sender that is expected.
        """
        for webhook, header in self._webhooks:
            value = headers.get(header)
            if value is not None and _is_signed(webhook, value, body, now_wall):
                return webhook.kind
        raise IntegrityError("no signature that is right")


def _is_signed(webhook: Webhook, value: str, body: bytes, now_wall: float) -> bool:
    if webhook.kind == "stripe":
        return _is_signed_by_stripe(webhook.secret, value, body, now_wall)
    given = value.strip().removeprefix("sha256=")
    # GitHub writes "sha256=" and hex; others hex alone, or base64.
    return hmac.compare_digest(_decoded(given), _mac(webhook.secret, body))


def _is_signed_by_stripe(secret: str, value: str, body: bytes, now_wall: float) -> bool:
    """``t=1700000000,v1=5257a8...``: the time is signed with the body, so that a request cannot be sent again later."""
    fields = [field.strip().partition("=") for field in value.split(",")]
    times = [text for name, _, text in fields if name == "t"]
    # A digit of another script would be one for int() as well.
    if len(times) != 1 or not (times[0].isascii() and times[0].isdigit() and len(times[0]) < 16):
        return False
    if abs(now_wall - int(times[0])) > STRIPE_WINDOW_S:
        return False
    expected = _mac(secret, times[0].encode() + b"." + body)
    signatures = [text for name, _, text in fields if name == "v1"][:_STRIPE_SIGNATURES_MAX]
    return any(hmac.compare_digest(_decoded(text), expected) for text in signatures)


def _mac(secret: str, data: bytes) -> bytes:
    return hmac.digest(secret.encode(), data, hashlib.sha256)


def _decoded(text: str) -> bytes:
    """The bytes of a MAC in hex or base64; nothing for what is neither."""
    try:
        if len(text) == 2 * hashlib.sha256().digest_size:
            return bytes.fromhex(text)
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
