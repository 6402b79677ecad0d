"""Who asks a TURN port for a web page."""

import pytest

from relay.core.counters import Drop
from relay.core.http_probe import HEAD_MAX_BYTES, answer, is_http
from tests.unit.relay.test_streams import Fixture

GET = b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"])
def test_requests_are_known_by_their_first_bytes(method):
    assert is_http(f"{method} / HTTP/1.1".encode())


@pytest.mark.parametrize("data", [b"\0\1\0\0", b"\x40\0\0\x10", b"GETX", b"GE", b"", b"PRI "])
def test_turn_and_others_are_not(data):
    assert not is_http(data)


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET / HTTP/1.1", b"404 Not Found"),
        (b"GET /index.html HTTP/1.0", b"404 Not Found"),
        (b"HEAD / HTTP/1.1", b"404 Not Found"),
        (b"POST / HTTP/1.1", b"405 Method Not Allowed"),
        (b"GET /", b"400 Bad Request"),
        (b"GET / HTTP/3", b"400 Bad Request"),
    ],
)
def test_the_answer_is_that_of_a_web_server_without_pages(request_line, status):
    reply = answer(request_line + b"\r\n\r\n", 1_700_000_000.0)
    head, _, body = reply.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 " + status
    assert b"Date: Tue, 14 Nov 2023 22:13:20 GMT" in lines
    assert b"Connection: close" in lines
    length = next(int(line.partition(b": ")[2]) for line in lines if line.startswith(b"Content-Length"))
    assert len(body) == (0 if request_line.startswith(b"HEAD") else length)
    for word in (b"p2p", b"TURN", b"STUN", b"ython", b"Server"):
        assert word not in reply


def test_a_head_that_never_ends_is_answered_too():
    assert answer(b"GET / HTTP/1.1\r\nX: " + bytes(HEAD_MAX_BYTES), 0.0).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("chunk_bytes", [1, 3, 4, 7, 1000])
def test_a_stream_answers_once_however_the_request_is_cut(chunk_bytes):
    fixture = Fixture()
    for start in range(0, len(GET), chunk_bytes):
        assert not fixture.transport.written
        fixture.stream.data_received(GET[start : start + chunk_bytes])
    assert fixture.transport.written.startswith(b"HTTP/1.1 404 ")
    assert fixture.transport.is_closed
    assert fixture.relay.counters.drops == {Drop.HTTP: 1}
    written = fixture.transport.written
    fixture.stream.data_received(GET)
    assert fixture.transport.written == written


def test_after_a_message_it_is_not_turn_and_nothing_else():
    fixture = Fixture()
    fixture.allocate_and_bind()
    fixture.transport.written = b""
    fixture.stream.data_received(GET)
    assert b"HTTP" not in fixture.transport.written
