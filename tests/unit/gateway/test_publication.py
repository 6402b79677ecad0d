"""The messages of publishers and gateways."""

from __future__ import annotations

import pytest

from p2p.errors import DecodeError
from p2p.proto.publication import (
    Access,
    Drain,
    Drained,
    Issuer,
    Jwk,
    Keys,
    KeysWanted,
    Publish,
    Published,
    Refused,
    Visited,
    decode_gateway_line_untrusted,
    decode_key_set_untrusted,
    decode_publisher_line_untrusted,
    encode_line,
)


@pytest.mark.parametrize(
    "message",
    [
        Published(urls=("https://a.example",), instances=2),
        Refused(reason="no"),
        Visited(visitor="v", took_s=0.1, status=200),
        KeysWanted(),
        Drained(),
    ],
)
def test_gateways_are_understood(message):
    assert decode_gateway_line_untrusted(encode_line(message)) == message


def test_publishers_are_understood():
    message = Publish(service="web", kind="tcp", port=22, weight=3, access=Access(allow=("10.0.0.0/8",), connections=2))
    assert decode_publisher_line_untrusted(encode_line(message)) == message
    issuer = Issuer(keys=(Jwk(kty="EC", x="x"),), issuer="i", audience=("a",))
    assert decode_publisher_line_untrusted(encode_line(Keys(jwt=(issuer,)))) == Keys(jwt=(issuer,))
    assert decode_publisher_line_untrusted(encode_line(Drain())) == Drain()


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
        b'{"type":"keys","jwt":[{"keys":[{"kty":"oct","k":"x"}]}]}',
        b'{"type":"publish","service":"web","access":{"webhooks":[{"kind":"github","secret":""}]}}',
        b'{"type":"publish","service":"web","access":{"webhooks":[{"kind":"hmac","secret":"s","header":"a b"}]}}',
        b"\xff",
    ],
)
def test_what_no_publisher_says(line):
    with pytest.raises(DecodeError):
        decode_publisher_line_untrusted(line)


@pytest.mark.parametrize(
    "field",
    [
        '"health":{"path":"/x\\n"}',
        '"path":"/x\\n"',
        '"headers":[{"name":"X-A\\n"}]',
        '"headers":[{"name":"X-A","value":"b\\n"}]',
        '"access":{"oidc":{"client":"c","authorize":"https://a.example/\\n"}}',
    ],
)
def test_no_text_ends_with_a_line_break_that_a_request_would_have(field):
    line = f'{{"type":"publish","service":"web",{field}}}'.encode()
    with pytest.raises(DecodeError, match="regex"):
        decode_publisher_line_untrusted(line)


@pytest.mark.parametrize("line", [b"", b"{}", b'{"type":"publish","service":"web"}', b"\xff"])
def test_what_no_gateway_says(line):
    with pytest.raises(DecodeError):
        decode_gateway_line_untrusted(line)


def test_key_sets_give_public_keys_that_sign():
    data = (
        b'{"keys":[{"kty":"EC","kid":"a","d":"private","crv":"P-256","x":"x","y":"y"},{"kty":"oct","k":"shared"},'
        b'{"kty":"RSA","use":"enc","n":"n","e":"e"},{"kty":"RSA","use":"sig","n":"n","e":"e","x5c":["long"]}]}'
    )
    assert decode_key_set_untrusted(data) == (
        Jwk(kty="EC", kid="a", crv="P-256", x="x", y="y"),
        Jwk(kty="RSA", n="n", e="e"),
    )


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"keys":[]}', b'{"keys":[{"kty":"oct"}]}', b'{"keys":[7]}', b"[" * 9999]
)
def test_what_is_no_key_set(data):
    with pytest.raises(DecodeError):
        decode_key_set_untrusted(data)
