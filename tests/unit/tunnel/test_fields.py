from __future__ import annotations

import pytest

from p2p.errors import DecodeError, LocalProtocolError
from p2p.proto.tunnel.fields import (
    VARINT_MAX,
    decode_fields_untrusted,
    decode_text_untrusted,
    decode_varint_untrusted,
    encode_fields,
    encode_text,
    encode_varint,
)

# RFC 9000 appendix A.1.
RFC_9000_EXAMPLES = [
    ("c2197c5eff14e88c", 151_288_809_941_952_652),
    ("9d7f3e7d", 494_878_333),
    ("7bbd", 15_293),
    ("25", 37),
]


@pytest.mark.parametrize(("encoded", "value"), RFC_9000_EXAMPLES)
def test_varint_matches_the_rfc(encoded: str, value: int) -> None:
    assert encode_varint(value).hex() == encoded
    assert decode_varint_untrusted(bytes.fromhex(encoded), 0) == (value, len(encoded) // 2)


def test_varint_accepts_a_longer_spelling_than_needed() -> None:
    assert decode_varint_untrusted(bytes.fromhex("4025"), 0) == (37, 2)


@pytest.mark.parametrize("value", [-1, VARINT_MAX + 1])
def test_varint_refuses_what_does_not_fit(value: int) -> None:
    with pytest.raises(LocalProtocolError):
        encode_varint(value)


@pytest.mark.parametrize("data", [b"", b"\x40", b"\xc0\x00\x00"])
def test_varint_cut_short(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_varint_untrusted(data, 0)


def test_text_is_cut_at_a_whole_character() -> None:
    assert encode_text("aé", 2) == b"a"


def test_text_loses_what_could_steer_a_terminal() -> None:
    assert encode_text("a\x1b[31mb\n", 100) == b"a[31mb"


@pytest.mark.parametrize("data", [b"\xff", b"a\x1b[31m", b"four"])
def test_text_that_may_not_reach_a_terminal(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_text_untrusted(data, 3)


def test_unknown_fields_are_kept_for_whoever_knows_them() -> None:
    assert decode_fields_untrusted(encode_fields([(1, b"a"), (1000, b"")])) == {1: b"a", 1000: b""}


@pytest.mark.parametrize("data", [b"\x01", b"\x01\x05ab", encode_fields([(1, b""), (1, b"")])])
def test_broken_fields(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_fields_untrusted(data)
