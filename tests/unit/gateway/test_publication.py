"""The messages of publishers and gateways."""

from __future__ import annotations

import pytest

from p2p.errors import DecodeError
from p2p.proto.publication import (
    Access,
    Publish,
    Published,
    Refused,
    Visited,
    decode_gateway_line_untrusted,
    decode_publisher_line_untrusted,
    encode_line,
)


@pytest.mark.parametrize(
    "message",
    [
        Published(urls=("https://a.example",), instances=2),
        Refused(reason="no"),
        Visited(visitor="v", took_s=0.1, status=200),
    ],
)
def test_gateways_are_understood(message):
    assert decode_gateway_line_untrusted(encode_line(message)) == message


def test_publishers_are_understood():
    message = Publish(service="web", kind="tcp", port=22, weight=3, access=Access(allow=("10.0.0.0/8",), connections=2))
    assert decode_publisher_line_untrusted(encode_line(message)) == message


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b'{"type":"publish"}',
        b'{"type":"publish","service":"Not Ok"}',
        b'{"type":"publish","service":"web","kind":"ftp"}',
        b'{"type":"publish","service":"web","port":65536}',
        b'{"type":"publish","service":"web","weight":0}',
        b'{"type":"published","urls":[]}',
        b"\xff",
    ],
)
def test_what_no_publisher_says(line):
    with pytest.raises(DecodeError):
        decode_publisher_line_untrusted(line)


@pytest.mark.parametrize("line", [b"", b"{}", b'{"type":"publish","service":"web"}', b"\xff"])
def test_what_no_gateway_says(line):
    with pytest.raises(DecodeError):
        decode_gateway_line_untrusted(line)
