"""Which attributes the relay understands, and how its answers are written."""

from __future__ import annotations

from typing import Final

from p2p.proto.stun.attributes import (
    CHANNEL_NUMBER,
    CONNECTION_ID,
    DATA,
    DONT_FRAGMENT,
    EVEN_PORT,
    FINGERPRINT,
    LIFETIME,
    MESSAGE_INTEGRITY,
    MESSAGE_INTEGRITY_SHA256,
    NONCE,
    PASSWORD_ALGORITHM,
    REALM,
    REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT,
    RESERVATION_TOKEN,
    UNKNOWN_ATTRIBUTES,
    USERHASH,
    USERNAME,
    XOR_PEER_ADDRESS,
)
from p2p.proto.stun.message import Message, encode
from relay.core.request import Proof, RefusedError, StunError

_UNDERSTOOD: Final = frozenset(
    attribute.type
    for attribute in (
        CHANNEL_NUMBER,
        CONNECTION_ID,
        DATA,
        DONT_FRAGMENT,
        EVEN_PORT,
        LIFETIME,
        MESSAGE_INTEGRITY,
        MESSAGE_INTEGRITY_SHA256,
        NONCE,
        PASSWORD_ALGORITHM,
        REALM,
        REQUESTED_ADDRESS_FAMILY,
        REQUESTED_TRANSPORT,
        RESERVATION_TOKEN,
        USERHASH,
        USERNAME,
        XOR_PEER_ADDRESS,
    )
)
"""What TURN requests and indications may demand."""

_COMPREHENSION_OPTIONAL: Final = 0x8000


def not_understood(message: Message) -> tuple[int, ...]:
    """Return the types of attributes that must be understood and are not, each once."""
    known = (attribute.type for attribute, _ in message.attributes)
    foreign = (kind for kind in known if kind < _COMPREHENSION_OPTIONAL and kind not in _UNDERSTOOD)
    return tuple(dict.fromkeys((*message.unknown_required, *foreign)))


def require_understood(message: Message) -> None:
    """Raise RefusedError for an attribute that must be understood and is not. Source: RFC 8489 section 6.3.1."""
    types = not_understood(message)
    if types:
        raise RefusedError(StunError.UNKNOWN_ATTRIBUTE, "attributes not understood", UNKNOWN_ATTRIBUTES(types))


def encode_answer(message: Message, response: Message, proof: Proof | None) -> bytes:
    """Write the answer to a message, protected as the message was.

    Args:
        message: The request.
        response: Its answer.
        proof: Who sent it, if that is known.
    """
    fingerprint = message.get(FINGERPRINT) is not None
    if proof is None:
        return encode(response, fingerprint=fingerprint)
    return encode(response, integrity_key=proof.key, integrity=proof.algorithm, fingerprint=fingerprint)
