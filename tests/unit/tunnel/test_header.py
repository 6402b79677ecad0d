from __future__ import annotations

import pytest

from p2p.address import TransportAddress
from p2p.errors import DecodeError
from p2p.proto.tunnel.header import (
    HEADER_MAX_BYTES,
    FlowKind,
    StreamHeader,
    decode_header_untrusted,
    encode_header,
    header_length_untrusted,
)


@pytest.mark.parametrize(
    ("header", "encoded"),
    [
        (StreamHeader(""), "0100020100"),
        (
            StreamHeader("web", TransportAddress("192.0.2.1", 80), TransportAddress("127.0.0.1", 9000)),
            "01001501037765620206c0000201005003067f0000012328",
        ),
        (
            StreamHeader("", TransportAddress("2001:db8::1", 1)),
            "0100160100021220010db80000000000000000000000010001",
        ),
    ],
)
def test_wire_format(header: StreamHeader, encoded: str) -> None:
    assert encode_header(header).hex() == encoded
    assert decode_header_untrusted(bytes.fromhex(encoded)) == header
    assert header_length_untrusted(bytes.fromhex(encoded + "ffff")) == len(encoded) // 2


def test_kinds_of_later_versions_can_be_read() -> None:
    assert decode_header_untrusted(b"\x09\x00\x00") == StreamHeader("", kind=9)
    assert encode_header(StreamHeader("", kind=FlowKind.DATAGRAMS))[0] == 2


@pytest.mark.parametrize("data", [b"", b"\x01\x00", b"\x01\x00\x01", b"\x01\x00\x00\x00", b"\x01\x00\x03\x02\x01\x01"])
def test_broken_headers(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_header_untrusted(data)


def test_a_long_header_is_refused_before_it_is_held() -> None:
    assert header_length_untrusted(b"\x01") is None
    with pytest.raises(DecodeError):
        header_length_untrusted(b"\x01" + HEADER_MAX_BYTES.to_bytes(2, "big"))
