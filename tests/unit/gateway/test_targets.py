"""What request lines ask for."""

from __future__ import annotations

import pytest

from gateway.core.connect_head import connect_head_untrusted
from gateway.core.targets import origin_form_untrusted
from p2p.errors import DecodeError


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("//x//..?a#".rstrip("#"), "//x//..?a"),
        ("http://Blog.example/a?b", "/a?b"),
        ("HTTPS://blog.example", "/"),
        ("http://other.example/", None),
        ("http://blog.example:80/", None),
        ("http://blog.example@other.example/", None),
        ("http://blog.example?x=/", None),
        ("*", None),
        ("blog.example:80", None),
        ("ftp://blog.example/", None),
        ("/a#b", None),
        ("", None),
    ],
)
def test_one_host_and_one_path(target, path):
    assert origin_form_untrusted(target, "blog.example") == path


def test_the_head_of_a_connect_ends_where_it_ends():
    data = b"CONNECT a.example:22 HTTP/1.1\r\nHost: a.example:22\r\nProxy-Authorization: Basic eA==\r\n\r\nSSH-2.0"
    head = connect_head_untrusted(data)
    assert head is not None
    assert (head.host, head.credentials) == ("a.example", {"Authorization": "Basic eA=="})
    assert data[head.length_bytes :] == b"SSH-2.0"
    assert all(connect_head_untrusted(data[:size]) is None for size in range(head.length_bytes))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT a.example:\xb2 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT :22 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT a:22 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: a\r\nProxy-Authorization: b\r\n\r\n",
        b"CONNECT a:22 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
        b"\r\n\r\n",
        b"x" * 8192,
    ],
)
def test_what_is_no_connect_is_refused(data):
    with pytest.raises(DecodeError):
        connect_head_untrusted(data)
