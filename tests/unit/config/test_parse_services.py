"""Several services on one command line: names, ranges, and the configuration's own."""

from __future__ import annotations

import pytest

from p2p.errors import ConfigError
from p2p.parse_services import parse_places, parse_reverse, parse_targets, parse_wanted
from p2p.target import Target, TcpTarget, UdpTarget, UnixTarget

FILE = {"web": "8080", "game": "udp:27015"}


def tcp(port: int) -> TcpTarget:
    return TcpTarget("localhost", port)


@pytest.mark.parametrize(
    ("texts", "targets"),
    [
        (["8080"], {"": tcp(8080)}),
        (["unix:/run/a=b"], {"": UnixTarget("/run/a=b")}),
        (["web=3000"], {"web": tcp(3000)}),
        (["8080", "udp:53"], {"8080": tcp(8080), "udp:53": UdpTarget("localhost", 53)}),
        (["ssh=nas.lan:22", "app=unix:@app"], {"ssh": TcpTarget("nas.lan", 22), "app": UnixTarget("@app")}),
        (["8000-8002"], {str(port): tcp(port) for port in (8000, 8001, 8002)}),
        (["web=8000-8001"], {"web-8000": tcp(8000), "web-8001": tcp(8001)}),
        (["udp:[::1]:53-54"], {"udp:53": UdpTarget("::1", 53), "udp:54": UdpTarget("::1", 54)}),
        (["nas-2.lan:80-81"], {"80": TcpTarget("nas-2.lan", 80), "81": TcpTarget("nas-2.lan", 81)}),
        ([], {"web": tcp(8080), "game": UdpTarget("localhost", 27015)}),
        (["game", "22"], {"game": UdpTarget("localhost", 27015), "22": tcp(22)}),
        (["web"], {"web": tcp(8080)}),
    ],
)
def test_targets(texts: list[str], targets: dict[str, Target]) -> None:
    assert parse_targets(texts, FILE) == targets


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["8080", "8080"], "two services '8080'"),
        (["a=1", "a=2"], "two services 'a'"),
        (["8080", "unix:/run/app"], "needs a name"),
        (["8010-8000"], "no range"),
        (["8000-8001=9000-9005"], "2 names for 6 ports"),
        (["1-2000"], "no range of 1 to 1024"),
        (["1-1000", "2001-2100"], "1100 services"),
        (["65535-65536"], "beyond 65535"),
        (["web=nothing"], "no port"),
    ],
)
def test_wrong_services_say_what_to_type(texts: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_targets(texts, FILE)


def test_without_anything_there_is_nothing_to_expose() -> None:
    with pytest.raises(ConfigError, match="nothing to expose") as caught:
        parse_targets([], {})
    assert caught.value.code == "P2P-1105"


@pytest.mark.parametrize(
    ("texts", "places"),
    [
        (["8080"], {"8080": TcpTarget("127.0.0.1", 8080)}),
        (["web=0", "udp:0.0.0.0:53"], {"web": TcpTarget("127.0.0.1", 0), "udp:53": UdpTarget("0.0.0.0", 53)}),
        (["8000-8001=9000-9001"], {"8000": TcpTarget("127.0.0.1", 9000), "8001": TcpTarget("127.0.0.1", 9001)}),
        (["web-80-81=*:90-91"], {"web-80": TcpTarget("0.0.0.0", 90), "web-81": TcpTarget("0.0.0.0", 91)}),
        (["udp:53=udp:5353"], {"udp:53": UdpTarget("127.0.0.1", 5353)}),
    ],
)
def test_places(texts: list[str], places: dict[str, Target]) -> None:
    assert parse_places(texts) == places


def test_a_free_port_gives_no_name() -> None:
    with pytest.raises(ConfigError, match="needs a name: NAME=0"):
        parse_places(["0"])


def test_places_for_services_of_others() -> None:
    assert parse_wanted(["2222"]) == {"": TcpTarget("127.0.0.1", 2222)}
    assert parse_wanted(["ssh=2222"]) == {"ssh": TcpTarget("127.0.0.1", 2222)}
    assert parse_wanted(["22", "udp:53"]) == {"22": TcpTarget("127.0.0.1", 22), "udp:53": UdpTarget("127.0.0.1", 53)}


def test_services_in_reverse() -> None:
    assert parse_reverse(["22"]) == {"": tcp(22)}
    assert parse_reverse(["ssh=22", "udp:53"]) == {"ssh": tcp(22), "udp:53": UdpTarget("localhost", 53)}
    with pytest.raises(ConfigError):
        parse_reverse(["/a/folder"])
