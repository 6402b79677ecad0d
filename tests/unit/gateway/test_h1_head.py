from __future__ import annotations

import pytest

from gateway.core.h1_head import encode_request
from gateway.core.h2_head import RequestHead
from p2p.errors import LocalProtocolError

HOST = ("Host", "blog.example")


def test_a_head_is_written_as_it_came() -> None:
    head = RequestHead("GET", "/a%20b?c=d", [HOST, ("x-Case", "as it Is"), ("X-Case", "twice")])
    encoded = b"GET /a%20b?c=d HTTP/1.1\r\nHost: blog.example\r\nx-Case: as it Is\r\nX-Case: twice\r\n\r\n"
    assert encode_request(head, has_body=False) == (encoded, False)


def test_a_body_without_a_length_goes_in_chunks() -> None:
    encoded, is_chunked = encode_request(RequestHead("POST", "/", [HOST]), has_body=True)
    assert is_chunked
    assert encoded.endswith(b"\r\nTransfer-Encoding: chunked\r\n\r\n")


def test_a_body_with_a_length_goes_as_it_is() -> None:
    head = RequestHead("POST", "/", [HOST, ("content-LENGTH", "5")])
    encoded, is_chunked = encode_request(head, has_body=True)
    assert not is_chunked
    assert b"Transfer-Encoding" not in encoded


@pytest.mark.parametrize(("method", "is_said"), [("POST", True), ("PUT", True), ("GET", False), ("DELETE", False)])
def test_no_body_is_said_where_one_is_expected(method: str, is_said: bool) -> None:
    encoded, _ = encode_request(RequestHead(method, "/", [HOST]), has_body=False)
    assert (b"\r\nContent-Length: 0\r\n" in encoded) is is_said


def test_bytes_that_are_no_text_pass() -> None:
    value = b"caf\xe9".decode("utf-8", "surrogateescape")
    encoded, _ = encode_request(RequestHead("GET", "/", [HOST, ("X-Name", value)]), has_body=False)
    assert b"X-Name: caf\xe9\r\n" in encoded


@pytest.mark.parametrize(
    "head",
    [
        RequestHead("GET", "/\r\nX: y", [HOST]),
        RequestHead("GET", "/", [HOST, ("X", "a\r\n\r\nGET /other HTTP/1.1")]),
        RequestHead("GET", "/", [HOST, ("X", "a\nb")]),
        RequestHead("GET", "/", [HOST, ("X", "a\rb")]),
        RequestHead("GET\n", "/", [HOST]),
        RequestHead("GET", "/", [HOST, ("X", "a\0b")]),
    ],
)
def test_what_would_be_two_requests_is_none(head: RequestHead) -> None:
    with pytest.raises(LocalProtocolError):
        encode_request(head, has_body=False)
