"""Reading along with HTTP."""

from __future__ import annotations

import pytest

from p2p.inspect.recording import BODY_KEPT_BYTES, Recorder
from p2p.inspect.tap import Tap

GET = b"GET /a?b HTTP/1.1\r\nHost: x\r\nCookie: c\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nX-A: 2\r\n\r\nhello"


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def tap(recorder: Recorder) -> Tap:
    return Tap(recorder, service="web", visitor="v")


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_an_exchange_in_pieces(recorder, tap, piece):
    for feed, data in ((tap.said, GET), (tap.answered, ANSWER)):
        for start in range(0, len(data), piece):
            feed(data[start : start + piece])
    (exchange,) = recorder
    assert (exchange.method, exchange.target, exchange.status, exchange.visitor) == ("GET", "/a?b", 200, "v")
    assert exchange.request_headers == [("Host", "x"), ("Cookie", "c")]
    assert exchange.response_headers[1:] == [("X-A", "1"), ("X-A", "2")]
    assert bytes(exchange.response.kept) == b"hello"
    assert exchange.took_s is not None
    assert exchange.first_byte_s is not None


def test_a_kept_connection_and_requests_ahead_of_their_responses(recorder, tap):
    tap.said(GET + GET.replace(b"/a", b"/2"))
    tap.answered(ANSWER + ANSWER)
    tap.said(GET.replace(b"/a", b"/3"))
    tap.answered(ANSWER)
    tap.said(b"")
    tap.answered(b"")
    tap.over()
    assert [(exchange.target, exchange.status, exchange.note) for exchange in recorder] == [
        ("/a?b", 200, ""),
        ("/2?b", 200, ""),
        ("/3?b", 200, ""),
    ]


def test_bodies_in_chunks_both_ways_and_a_continue_between(recorder, tap):
    tap.said(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
    tap.answered(b"HTTP/1.1 100 Continue\r\n\r\n")
    tap.said(b"3\r\nabc\r\n0\r\n\r\n")
    tap.answered(b"HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    (exchange,) = recorder
    assert (bytes(exchange.request.kept), exchange.status, bytes(exchange.response.kept)) == (b"abc", 201, b"ok")


def test_of_large_bodies_the_beginning_is_kept(recorder, tap):
    size = BODY_KEPT_BYTES + 10
    tap.said(GET)
    tap.answered(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
    tap.answered(bytes(size))
    (exchange,) = recorder
    assert (len(exchange.response.kept), exchange.response.size) == (BODY_KEPT_BYTES, size)
    assert not exchange.response.is_whole


def test_an_end_without_a_length_ends_the_body(recorder, tap):
    tap.said(GET)
    tap.answered(b"HTTP/1.1 200 OK\r\n\r\nall of it")
    tap.answered(b"")
    tap.over()
    (exchange,) = recorder
    assert (bytes(exchange.response.kept), exchange.note) == (b"all of it", "")


def test_what_breaks_off(recorder, tap):
    tap.said(GET)
    tap.answered(ANSWER[:-1])
    tap.over()
    (exchange,) = recorder
    assert exchange.note == "broken off"
    assert exchange.took_s is not None


def test_another_protocol_is_counted(recorder, tap):
    tap.said(GET.replace(b"Cookie: c", b"Upgrade: chat\r\nConnection: upgrade"))
    tap.answered(b"HTTP/1.1 101 Switching\r\nUpgrade: chat\r\n\r\n")
    tap.said(b"\x81\x00")
    tap.answered(b"\x81\x00\x81")
    tap.over()
    (exchange,) = recorder
    assert (exchange.status, exchange.note) == (101, "switched to another protocol")
    assert (exchange.request.size, exchange.response.size) == (2, 3)


@pytest.mark.parametrize("first", [b"SSH-2.0-OpenSSH_9\r\n", b"\x16\x03\x01\x02\x00\x01", b"\x00" * 70_000])
def test_what_is_no_http_is_counted(recorder, tap, first):
    tap.said(first)
    tap.answered(b"more")
    tap.over()
    (exchange,) = recorder
    assert (exchange.method, exchange.note) == ("", "no HTTP/1.1")
    assert (exchange.request.size, exchange.response.size) == (len(first), 4)


def test_a_service_that_speaks_first(recorder, tap):
    tap.answered(b"220 mail ready\r\n")
    tap.said(b"HELO x\r\n")
    tap.over()
    (exchange,) = recorder
    assert (exchange.request.size, exchange.response.size) == (8, 16)


def test_memory_is_bounded():
    recorder = Recorder(memory_max_bytes=50_000)
    for _ in range(100):
        tap = Tap(recorder, service="", visitor="")
        tap.said(GET)
        tap.answered(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n" + bytes(4000))
    kept = list(recorder)
    assert kept[-1].number == 100
    assert sum(exchange.cost_bytes for exchange in kept) <= 50_000
    recorder.clear()
    assert not list(recorder)
    assert recorder.find(100) is None
