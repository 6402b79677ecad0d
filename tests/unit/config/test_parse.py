"""Durations, targets and listen addresses, right and wrong."""

from __future__ import annotations

import pytest

from p2p.address import TransportAddress
from p2p.errors import ConfigError
from p2p.parse import parse_duration, parse_listen, parse_place, parse_target
from p2p.target import Target, TcpTarget, UdpTarget, UnixTarget


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("2h", 7200), ("7d", 604800), ("1h30m", 5400), (" 2H ", 7200), ("0.5h", 1800)],
)
def test_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("90", "no unit"),
        ("", "not a duration"),
        ("2 h", "not a duration"),
        ("h", "not"),
        ("2w", "not"),
        ("0s", "no time"),
    ],
)
def test_wrong_duration_says_why(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        parse_duration(text)
    assert caught.value.code == "P2P-1101"
    assert "1h30m" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("8080", ("localhost", 8080)),
        (":8080", ("localhost", 8080)),
        ("nas.lan:22", ("nas.lan", 22)),
        ("192.168.1.7:80", ("192.168.1.7", 80)),
        ("[::1]:80", ("::1", 80)),
        ("65535", ("localhost", 65535)),
    ],
)
def test_target(text: str, target: tuple[str, int]) -> None:
    assert parse_target(text) == TcpTarget(*target)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("tcp:8080", TcpTarget("localhost", 8080)),
        ("udp:53", UdpTarget("localhost", 53)),
        ("UDP:nas.lan:27015", UdpTarget("nas.lan", 27015)),
        ("udp:[::1]:53", UdpTarget("::1", 53)),
        ("unix:/run/app.sock", UnixTarget("/run/app.sock")),
        ("unix:./app.sock", UnixTarget("./app.sock")),
        ("unix:@app", UnixTarget("@app")),
    ],
)
def test_target_of_another_kind(text: str, target: Target) -> None:
    assert parse_target(text) == target
    assert parse_target(str(target)) == target


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0", "port 0"),
        ("host:0", "port 0"),
        ("65536", "beyond 65535"),
        ("host", "no port"),
        ("host:", "not a port number"),
        ("host:http", "not a port number"),
        ("host:²", "not a port number"),
        ("::1:80", r"\[::1\]:80"),
        ("[::1]", "no port after the brackets"),
        ("http://localhost:8080/x", "write only host and port, such as 'localhost:8080'"),
        ("/run/app.sock", "is a path"),
        ("", "nothing given"),
        ("-1", "no port"),
        ("udp:", "nothing given"),
        ("udp:0", "port 0"),
        ("unix:app.sock", "neither a path"),
        ("unix:@", "neither a path"),
        ("unix:/" + 110 * "x", "at most 107 bytes"),
    ],
)
def test_wrong_target_says_what_to_type(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        parse_target(text)
    assert caught.value.code == "P2P-1102"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9000", ("127.0.0.1", 9000)),
        ("0", ("127.0.0.1", 0)),
        ("localhost:9000", ("127.0.0.1", 9000)),
        ("*:9000", ("0.0.0.0", 9000)),
        ("[::1]:9000", ("::1", 9000)),
    ],
)
def test_listen(text: str, address: tuple[str, int]) -> None:
    assert parse_listen(text) == TransportAddress(*address)


@pytest.mark.parametrize("text", ["nas.lan:9000", "[zz]:1", "9000x", "127.0.0.1:99999"])
def test_wrong_listen(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_listen(text)
    assert caught.value.code == "P2P-1103"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("9000", TcpTarget("127.0.0.1", 9000)),
        ("tcp:[::1]:9000", TcpTarget("::1", 9000)),
        ("udp:9000", UdpTarget("127.0.0.1", 9000)),
        ("udp:*:0", UdpTarget("0.0.0.0", 0)),
        ("unix:/run/app.sock", UnixTarget("/run/app.sock")),
        ("unix:@app", UnixTarget("@app")),
    ],
)
def test_place(text: str, place: Target) -> None:
    assert parse_place(text) == place


@pytest.mark.parametrize("text", ["udp:nas.lan:9000", "unix:app.sock", "udp:99999", "/run/app.sock"])
def test_wrong_place(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_place(text)
    assert caught.value.code == "P2P-1103"
