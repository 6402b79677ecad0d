"""Fuzz what publishers and gateways tell each other, key sets, and the tokens and signatures of visitors.

Run: ``python tests/fuzz/fuzz_publication.py -max_total_time=60``
"""

from __future__ import annotations

import contextlib
import sys

import atheris

with atheris.instrument_imports():
    from gateway.core.webhooks import WebhookCheck
    from p2p.errors import ConfigError, DecodeError, IntegrityError
    from p2p.proto.publication import (
        Issuer,
        Webhook,
        decode_gateway_line_untrusted,
        decode_key_set_untrusted,
        decode_publisher_line_untrusted,
        encode_line,
    )
    from p2p.tokens import TokenCheck

KEYS = b'{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'
"""Source: RFC 8037 appendix A.2."""
TOKENS = TokenCheck([Issuer(keys=decode_key_set_untrusted(KEYS))])
WEBHOOKS = WebhookCheck([Webhook(kind="stripe", secret="s"), Webhook(kind="hmac", header="X", secret="s")])


def test_one_input(data: bytes) -> None:
    """Feed one input to every reader; anything but a value or the error that is documented is a finding."""
    with contextlib.suppress(DecodeError):
        message = decode_publisher_line_untrusted(data)
        assert decode_publisher_line_untrusted(encode_line(message)) == message
    with contextlib.suppress(DecodeError):
        decode_gateway_line_untrusted(data)
    with contextlib.suppress(DecodeError, ConfigError):
        TokenCheck([Issuer(keys=decode_key_set_untrusted(data))])
    text = data.decode("utf-8", "surrogateescape")
    with contextlib.suppress(IntegrityError):
        TOKENS.check(text, 0.0)
    for header in ("Stripe-Signature", "X"):
        with contextlib.suppress(IntegrityError):
            WEBHOOKS.check({header: text}, b"", 0.0)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
