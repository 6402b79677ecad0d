"""Hypothesis strategies for STUN messages."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from p2p.address import TransportAddress
from p2p.proto.stun.attributes import BY_TYPE, FINGERPRINT, MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256, Attribute
from p2p.proto.stun.attributes.base import ErrorCodeValue, PasswordAlgorithm
from p2p.proto.stun.attributes.discovery import ChangeRequest
from p2p.proto.stun.attributes.turn import AddressErrorCode, IcmpValue
from p2p.proto.stun.message import Message, MessageClass

addresses = st.builds(
    TransportAddress,
    st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str),
    st.integers(0, 0xFFFF),
)


def _text(maximum: int) -> st.SearchStrategy[str]:
    return st.text(st.characters(codec="utf-8"), max_size=maximum // 4)


def _number(size: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << 8 * size) - 1)


_codes = st.integers(300, 699)
_algorithms = st.builds(PasswordAlgorithm, _number(2), st.binary(max_size=12))
_bytes_of = {"RESERVATION-TOKEN": (8, 8), "USERHASH": (32, 32), "KNOCK": (0, 64), "KNOCK-TAKEN": (0, 0)}
_values: dict[str, st.SearchStrategy[Any]] = {
    "ERROR-CODE": st.builds(ErrorCodeValue, _codes, _text(100)),
    "ADDRESS-ERROR-CODE": st.builds(AddressErrorCode, _number(1), _codes, _text(100)),
    "UNKNOWN-ATTRIBUTES": st.lists(_number(2), max_size=8).map(tuple),
    "PASSWORD-ALGORITHM": _algorithms,
    "PASSWORD-ALGORITHMS": st.lists(_algorithms, max_size=3).map(tuple),
    "CHANGE-REQUEST": st.builds(ChangeRequest, st.booleans(), st.booleans()),
    "EVEN-PORT": st.booleans(),
    "ICMP": st.builds(IcmpValue, st.integers(0, 127), st.integers(0, 511), st.binary(min_size=4, max_size=4)),
    "USE-CANDIDATE": st.just(True),
    "DONT-FRAGMENT": st.just(True),
    "ALTERNATE-DOMAIN": _text(255),
}
for _name in ("USERNAME", "REALM", "NONCE", "SOFTWARE", "PASSWORD"):
    _values[_name] = _text(513)
for _name in ("CHANNEL-NUMBER", "RESPONSE-PORT"):
    _values[_name] = _number(2)
for _name in ("LIFETIME", "CONNECTION-ID", "CACHE-TIMEOUT", "PRIORITY"):
    _values[_name] = _number(4)
for _name in ("ICE-CONTROLLED", "ICE-CONTROLLING"):
    _values[_name] = _number(8)
for _name in ("REQUESTED-ADDRESS-FAMILY", "ADDITIONAL-ADDRESS-FAMILY", "REQUESTED-TRANSPORT"):
    _values[_name] = _number(1)
for _name in ("DATA", "MOBILITY-TICKET", "PADDING"):
    _values[_name] = st.binary(max_size=64)
for _name, (_least, _most) in _bytes_of.items():
    _values[_name] = st.binary(min_size=_least, max_size=_most)

_MADE_BY_ENCODE = (MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256, FINGERPRINT)


def _entries(attribute: Attribute[Any]) -> st.SearchStrategy[tuple[Attribute[Any], Any]]:
    return _values.get(attribute.name, addresses).map(attribute)


entries = st.sampled_from([known for known in BY_TYPE.values() if known not in _MADE_BY_ENCODE]).flatmap(_entries)
"""Any attribute that a caller may put into a message, with a value."""

messages = st.builds(
    Message,
    st.sampled_from(MessageClass),
    st.integers(0, 0xFFF),
    st.binary(min_size=12, max_size=12),
    st.lists(entries, max_size=8).map(tuple),
)
"""Messages of RFC 8489."""

classic_messages = st.builds(
    Message,
    st.sampled_from(MessageClass),
    st.integers(0, 0xFFF),
    st.binary(min_size=16, max_size=16).filter(lambda value: not value.startswith(b"\x21\x12\xa4\x42")),
    st.lists(entries, max_size=8).map(tuple),
)
"""Messages of RFC 3489."""
