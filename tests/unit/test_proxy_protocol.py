"""The PROXY protocol, against examples of its specification and what HAProxy and nginx write."""

from __future__ import annotations

import pytest

from p2p.address import TransportAddress
from p2p.errors import DecodeError
from p2p.proto.proxy_protocol import (
    ProxyHeader,
    decode_untrusted,
    encode_v1,
    encode_v2,
    header_length_untrusted,
)

CLIENT = TransportAddress("198.51.100.7", 52110)
SERVER = TransportAddress("203.0.113.9", 443)
CLIENT6 = TransportAddress("2001:db8::7", 52110)
SERVER6 = TransportAddress("2001:db8::9", 443)
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def test_version_1_is_a_line():
    assert encode_v1(ProxyHeader(CLIENT, SERVER)) == b"PROXY TCP4 198.51.100.7 203.0.113.9 52110 443\r\n"
    assert encode_v1(ProxyHeader(CLIENT6, SERVER6)) == b"PROXY TCP6 2001:db8::7 2001:db8::9 52110 443\r\n"
    assert encode_v1(ProxyHeader()) == encode_v1(ProxyHeader(CLIENT, SERVER6)) == b"PROXY UNKNOWN\r\n"


def test_version_2_is_binary():
    header = bytes.fromhex("c6336407 cb007109 cb8e 01bb")
    assert encode_v2(ProxyHeader(CLIENT, SERVER)) == SIGNATURE + b"\x21\x11\x00\x0c" + header
    assert encode_v2(ProxyHeader(CLIENT, SERVER), is_datagram=True)[13] == 0x12
    assert encode_v2(ProxyHeader()) == SIGNATURE + b"\x20\x00\x00\x00"


def test_two_families_are_told_as_mapped_addresses():
    data = encode_v2(ProxyHeader(CLIENT, SERVER6))
    assert data[16:32] == bytes.fromhex("00000000 00000000 0000ffff c6336407")
    assert decode_untrusted(data) == ProxyHeader(CLIENT, SERVER6)


@pytest.mark.parametrize("encode", [encode_v1, encode_v2])
@pytest.mark.parametrize(
    "header", [ProxyHeader(CLIENT, SERVER), ProxyHeader(CLIENT6, SERVER6), ProxyHeader()], ids=["4", "6", "unknown"]
)
def test_what_is_written_is_read(encode, header):
    data = encode(header)
    assert decode_untrusted(data) == header
    for length in range(len(data)):
        assert header_length_untrusted(data[:length]) in (None, len(data))
    assert header_length_untrusted(data + b"GET / HTTP/1.1\r\n") == len(data)


def test_unknown_may_be_followed_by_anything_up_to_the_end_of_the_line():
    assert decode_untrusted(b"PROXY UNKNOWN ffff:f::1 1 2 3\r\n") == ProxyHeader()


def test_extensions_are_skipped():
    data = encode_v2(ProxyHeader(CLIENT, SERVER))
    tlv = b"\x01\x00\x02h2"
    longer = data[:14] + (12 + len(tlv)).to_bytes(2, "big") + data[16:] + tlv
    assert decode_untrusted(longer) == ProxyHeader(CLIENT, SERVER)


def test_a_unix_socket_has_no_address():
    assert decode_untrusted(SIGNATURE + b"\x21\x31" + (216).to_bytes(2, "big") + bytes(216)) == ProxyHeader()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXY " + b"x" * 120,
        b"PROXY \r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.9 52110 443\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.9 52110\r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.9 52110 65536\r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.9 52110 \xc2\xb2\r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.9 -1 443\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::9 1 2\r\n",
        b"PROXY TCP6 fe80::1%lo 2001:db8::9 1 2\r\n",
        b"PROXY TCP4 name 203.0.113.9 1 2\r\n",
        SIGNATURE + b"\x31\x11\x00\x00",
        SIGNATURE + b"\x22\x11\x00\x00",
        SIGNATURE + b"\x21\x11\x00\x04abcd",
        SIGNATURE + b"\x21\x11\xff\xff",
    ],
)
def test_what_is_no_header(data):
    with pytest.raises(DecodeError):
        header_length_untrusted(data)
        decode_untrusted(data)
