"""The STUN messages of connectivity checks.

Source: RFC 8445 sections 7.1 to 7.3 and 16.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from p2p.address import TransportAddress
from p2p.errors import DecodeError
from p2p.proto.ice.credentials import Credentials
from p2p.proto.stun.attributes import (
    ICE_CONTROLLED,
    ICE_CONTROLLING,
    PADDING,
    PRIORITY,
    UNKNOWN_ATTRIBUTES,
    USE_CANDIDATE,
    USERNAME,
    XOR_MAPPED_ADDRESS,
)
from p2p.proto.stun.integrity import short_term_key, verify
from p2p.proto.stun.message import AttributeValue, Message, MessageClass, Method, decode_untrusted, encode, is_stun

BAD_REQUEST: Final = 400
UNKNOWN_ATTRIBUTE: Final = 420
ROLE_CONFLICT: Final = 487

_ATTRIBUTE_HEADER_BYTES: Final = 4
_BINDING_REQUEST: Final = bytes.fromhex("0001")
_REASONS: Final = {BAD_REQUEST: "Bad Request", UNKNOWN_ATTRIBUTE: "Unknown Attribute", ROLE_CONFLICT: "Role Conflict"}


def check_request(
    transaction_id: bytes,
    *,
    local: Credentials,
    remote: Credentials,
    priority: int,
    controlling: bool,
    tie_breaker: int,
    nominate: bool = False,
    size: int = 0,
) -> bytes:
    """Write a connectivity check.

    Args:
        transaction_id: 12 random bytes.
        local: Our credentials; only the fragment is used.
        remote: The peer's credentials: its password makes the integrity.
        priority: That of the peer-reflexive candidate which this check may reveal.
        controlling: Our role.
        tie_breaker: 64 random bits, the same for the whole session.
        nominate: Whether to add USE-CANDIDATE.
        size: How long the message is made with padding, in bytes, a multiple of 4; 0 for no padding.

    Source: RFC 8445 section 7.1, RFC 5780 section 7.6.
    """
    attributes: list[AttributeValue] = [
        USERNAME(f"{remote.ufrag}:{local.ufrag}"),
        PRIORITY(priority),
        (ICE_CONTROLLING if controlling else ICE_CONTROLLED)(tie_breaker),
    ]
    if nominate:
        attributes.append(USE_CANDIDATE(True))
    request = Message(MessageClass.REQUEST, Method.BINDING, transaction_id, tuple(attributes))
    key = short_term_key(remote.password)
    data = encode(request, integrity_key=key, fingerprint=True)
    if len(data) >= size:
        return data
    padding = PADDING(bytes(size - len(data) - _ATTRIBUTE_HEADER_BYTES))
    return encode(replace(request, attributes=(*attributes, padding)), integrity_key=key, fingerprint=True)


@dataclass(frozen=True, slots=True)
class IncomingCheck:
    """A check of the peer's whose integrity has been verified.

    Attributes:
        message: The request.
        password: The one of ours that it was made with, and its answer must be.
        priority: Of the peer-reflexive candidate that it may reveal; None when it lacks PRIORITY.
        controlling: The role that the peer claims; None when it claims none.
        tie_breaker: The peer's number for role conflicts.
        nominate: Whether it carries USE-CANDIDATE.
    """

    message: Message
    password: str
    priority: int | None
    controlling: bool | None
    tie_breaker: int
    nominate: bool


def read_check_untrusted(message: Message, local: Credentials) -> IncomingCheck | None:
    """Verify a check of the peer's.

    Args:
        message: A Binding request.
        local: Our credentials.

    Returns:
        The check, or None when it does not name these credentials.

    Raises:
        IntegrityError: It names them, and was not made with the password.

    Source: RFC 8445 section 7.3, RFC 8489 section 9.1.3.
    """
    if receiver_fragment(message) != local.ufrag:
        return None
    verify(message, short_term_key(local.password))
    nominate = message.get(USE_CANDIDATE)
    controlling, controlled = message.get(ICE_CONTROLLING), message.get(ICE_CONTROLLED)
    return IncomingCheck(
        message,
        local.password,
        message.get(PRIORITY),
        None if controlling is controlled is None else controlling is not None,
        (controlling if controlling is not None else controlled) or 0,
        nominate is not None,
    )


def is_check(data: bytes) -> bool:
    """Tell a check that we wrote from an answer that we wrote."""
    return data.startswith(_BINDING_REQUEST)


def receiver_fragment(request: Message) -> str:
    """Tell which credentials a check was made for, when several agents share a socket; nothing is verified."""
    return (request.get(USERNAME) or "").partition(":")[0]


def receiver_fragment_untrusted(data: bytes) -> str:
    """Tell which agent a connectivity check is for, when several share a socket.

    Args:
        data: A datagram.

    Returns:
        The user name fragment of the credentials it was made for. Nothing is verified.

    Raises:
        DecodeError: It is not a connectivity check.
    """
    if not is_stun(data):
        raise DecodeError("not STUN")
    message = decode_untrusted(data)
    if message.message_class is not MessageClass.REQUEST or message.method != Method.BINDING:
        raise DecodeError("not a Binding request")
    receiver, colon, _ = (message.get(USERNAME) or "").partition(":")
    if not colon:
        raise DecodeError("a connectivity check has a user name of two fragments")
    return receiver


def success_response(check: IncomingCheck, source: TransportAddress) -> bytes:
    """Answer a check that came from ``source``. Source: RFC 8445 section 7.3."""
    response = check.message.success_response(XOR_MAPPED_ADDRESS(source))
    return encode(response, integrity_key=short_term_key(check.password), fingerprint=True)


def error_response(check: IncomingCheck, code: int) -> bytes:
    """Refuse a check.

    Args:
        check: The check.
        code: 400, 420 or 487.
    """
    extra = (UNKNOWN_ATTRIBUTES(check.message.unknown_required),) if code == UNKNOWN_ATTRIBUTE else ()
    response = check.message.error_response(code, _REASONS[code], *extra)
    return encode(response, integrity_key=short_term_key(check.password), fingerprint=True)
