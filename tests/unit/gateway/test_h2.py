"""Heads of HTTP/2 requests, and the patience with a connection."""

from __future__ import annotations

import pytest

from gateway.core.h2_head import RequestHead, fields_of_request, request_head_untrusted
from gateway.core.h2_limits import HEADERS_MAX, Nuisance, Patience
from gateway.core.headers import trailers_for_service
from p2p.errors import DecodeError

FIELDS = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"blog.example:8443"), (b":path", b"/a%2F?b")]


def test_a_head_becomes_that_of_http_1():
    head = request_head_untrusted([*FIELDS, (b"host", b"blog.example:8443"), (b"x", b"caf\xc3\xa9"), (b"y", b"\xff")])
    assert (head.method, head.target) == ("GET", "/a%2F?b")
    assert head.headers == [("Host", "blog.example:8443"), ("x", "café"), ("y", "\udcff")]
    assert request_head_untrusted([*FIELDS[:2], FIELDS[3], (b"host", b"b.example")]).headers == [("Host", "b.example")]
    every = [(b":method", b"OPTIONS"), *FIELDS[1:3], (b":path", b"*")]
    assert request_head_untrusted(every).target == "*"


@pytest.mark.parametrize(
    "wrong",
    [
        {b":method": b"GE T"},
        {b":method": b"CONNECT"},
        {b":path": b"*"},
        {b":path": b"/a\xff"},
        {b":path": b"/a\x7f"},
        {b":scheme": b"ftp"},
        {b":authority": b""},
        {b":authority": b"blog.example, other.example"},
        {b"x\xff": b"1"},
        {b"x": b"a\x00b"},
        {b"content-length": b"1, 1"},
        {b"content-length": "١".encode()},
    ],
)
def test_what_http_1_could_not_write_is_refused(wrong):
    with pytest.raises(DecodeError):
        request_head_untrusted((dict(FIELDS) | wrong).items())


def test_too_many_headers_are_refused():
    with pytest.raises(DecodeError):
        request_head_untrusted([*FIELDS, *[(b"x", b"1")] * (HEADERS_MAX + 1)])


def test_a_head_for_a_service_has_its_pseudo_headers_first():
    head = RequestHead("POST", "/a.B/C", [("Host", "blog.example"), ("TE", "chunked"), ("Connection", "x"), ("X", "1")])
    assert fields_of_request(head) == [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":authority", b"blog.example"),
        (b":path", b"/a.B/C"),
        (b"te", b"trailers"),
    ]


def test_trailers_say_nothing_that_a_header_would_be_believed_for():
    said = [("grpc-status", "0"), ("X-Forwarded-For", "6.6.6.6"), ("authorization", "x"), ("Transfer-Encoding", "x")]
    assert trailers_for_service(said) == [("grpc-status", "0")]


def test_patience_is_a_rate():
    patience = Patience()
    rate, burst = Nuisance.RESET.value
    assert not any(patience.has_ended(Nuisance.RESET, 100.0) for _ in range(int(burst)))
    assert patience.has_ended(Nuisance.RESET, 100.0)
    assert not patience.has_ended(Nuisance.CONTROL, 100.0)
    assert not any(patience.has_ended(Nuisance.RESET, 101.0) for _ in range(int(rate)))
    assert patience.has_ended(Nuisance.RESET, 101.0)
