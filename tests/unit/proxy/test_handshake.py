from __future__ import annotations

import pytest

from p2p.errors import DecodeError
from p2p.proto.proxy import REQUEST_MAX_BYTES, Destination, Outcome, ProxyHandshake, RefusedError

GREETING = b"\x05\x01\x00"
NAME = b"\x05\x01\x00\x03\x07nas.lan\x01\xbb"


def drive(data: bytes, step: int) -> tuple[Destination | None, bytes, ProxyHandshake]:
    handshake = ProxyHandshake()
    said = b""
    for start in range(0, len(data), step):
        destination = handshake.receive(data[start : start + step])
        said += handshake.data_to_send()
        if destination is not None:
            handshake.early += data[start + step :]
            return destination, said, handshake
    return None, said, handshake


@pytest.mark.parametrize("step", [1, 2, 5, 1000])
@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (NAME, Destination("nas.lan", 443)),
        (b"\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x50", Destination("10.0.0.1", 80)),
        (b"\x05\x01\x00\x04" + bytes(15) + b"\x01\x00\x50", Destination("::1", 80)),
        (b"\x05\x01\x00\x03\x08NAS.Lan.\x00\x16", Destination("nas.lan", 22)),
        (b"\x05\x01\x00\x03\x0810.0.0.1\x00\x16", Destination("10.0.0.1", 22)),
    ],
)
def test_socks(step: int, wish: bytes, expected: Destination) -> None:
    destination, said, handshake = drive(GREETING + wish + b"early", step)
    assert destination == expected
    assert said == b"\x05\x00"
    assert handshake.early == b"early"
    assert handshake.answer(Outcome.CONNECTED) == b"\x05\x00\x00\x01" + bytes(6)
    assert handshake.answer(Outcome.NOT_ALLOWED)[1] == 2
    assert handshake.answer(Outcome.REFUSED)[1] == 5


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        ("nas.lan:443", Destination("nas.lan", 443)),
        ("10.0.0.1:80", Destination("10.0.0.1", 80)),
        ("[2001:db8::1]:8443", Destination("2001:db8::1", 8443)),
    ],
)
def test_http(step: int, authority: str, expected: Destination) -> None:
    request = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: x\r\n\r\nearly".encode()
    destination, said, handshake = drive(request, step)
    assert destination == expected
    assert said == b""
    assert handshake.early == b"early"
    assert handshake.answer(Outcome.CONNECTED) == b"HTTP/1.1 200 Connected\r\n\r\n"
    assert handshake.answer(Outcome.NOT_ALLOWED).startswith(b"HTTP/1.1 403 ")
    assert handshake.answer(Outcome.TIMEOUT).startswith(b"HTTP/1.1 504 ")


def test_user_names_are_refused_clearly() -> None:
    with pytest.raises(RefusedError) as refused:
        drive(b"\x05\x01\x02", 10)
    assert refused.value.reply == b"\x05\xff"
    assert "user names" in refused.value.detail
    assert drive(b"\x05\x02\x02\x00" + NAME, 100)[0] == Destination("nas.lan", 443), "none was offered too"


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"\x04\x01\x00\x50\x0a\x00\x00\x01\x00", b"\x00\x5b" + bytes(6)),
        (GREETING + b"\x05\x02\x00\x01" + bytes(6), b"\x05\x07"),
        (GREETING + b"\x05\x03\x00\x01" + bytes(6), b"\x05\x07"),
        (GREETING + b"\x05\x01\x00\x02" + bytes(6), b"\x05\x08"),
        (GREETING + b"\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x00", b"\x05\x01"),
        (GREETING + b"\x05\x01\x00\x03\x04\xff\xfe\x00a\x00\x50", b"\x05\x01"),
        (GREETING + b"\x05\x01\x00\x03\x0a2130706433\x00\x50", b"\x05\x01"),
        (GREETING + b"\x05\x01\x00\x03\x05127.1\x00\x50", b"\x05\x01"),
        (GREETING + b"\x05\x01\x00\x03\x0a0x7f000001\x00\x50", b"\x05\x01"),
        (b"GET http://nas.lan/ HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 "),
        (b"CONNECT nas.lan HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 "),
        (b"CONNECT user@nas.lan:80 HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 "),
        (b"CONNECT nas.lan:99999 HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 "),
        (b"CONNECT 127.1:80 HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 "),
    ],
)
def test_what_is_refused_is_told(data: bytes, reply: bytes) -> None:
    with pytest.raises(RefusedError) as refused:
        drive(data, 1000)
    assert refused.value.reply.startswith(reply)


@pytest.mark.parametrize(
    "data",
    [b"SSH-2.0-x\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"x" * (REQUEST_MAX_BYTES + 1), GREETING + b"\x06\x01\x00\x01\x00"],
)
def test_what_is_no_proxy_protocol(data: bytes) -> None:
    with pytest.raises(DecodeError):
        drive(data, 100_000)
