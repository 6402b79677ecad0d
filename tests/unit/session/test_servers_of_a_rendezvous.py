"""What a rendezvous may make its clients talk to."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from p2p.address import TransportAddress
from p2p.defaults import SERVERS_USED
from p2p.gather.relay_server import RelayServer
from p2p.proto.signalling.messages import TurnServer, Welcome
from p2p.session.node import Node
from p2p.session.options import PeerOptions
from p2p.session.own_addresses import any_leads_here, is_loopback_url


class Recorder:
    """Stands in for the keeper of the relay and for the discovery."""

    def __init__(self) -> None:
        self.servers: list[RelayServer | TransportAddress] = []

    def update(self, servers: list[RelayServer | TransportAddress]) -> None:
        self.servers = list(servers)


def welcomed(hosts: tuple[str, ...], welcome: Welcome) -> tuple[list[RelayServer], list[TransportAddress]]:
    node = Node.__new__(Node)
    node.hosts = hosts
    node.options = PeerOptions()
    keeper, discovery = Recorder(), Recorder()
    node._relay_keeper, node._discovery = keeper, discovery  # type: ignore[assignment]
    node._welcomed(welcome)
    return keeper.servers, discovery.servers  # type: ignore[return-value]


def turn(url: str) -> TurnServer:
    return TurnServer(url=url, username="u", password="p", expires_wall=2**31)


HERE = TransportAddress("192.0.2.9", 1)


def test_a_list_of_victims_is_cut_short() -> None:
    stun = tuple(TransportAddress(f"198.51.100.{number}", 3478) for number in range(200))
    relays = tuple(turn(f"turn:198.51.100.{number}") for number in range(100))
    used = welcomed(("192.0.2.7",), Welcome(observed_address=HERE, now_wall=0.0, stun=stun, turn=relays))
    assert [len(servers) for servers in used] == [SERVERS_USED, SERVERS_USED]


def test_a_rendezvous_elsewhere_sends_nobody_to_loopback_services() -> None:
    stun = (TransportAddress("127.0.0.1", 53), TransportAddress("169.254.169.254", 53), TransportAddress("8.8.8.8", 1))
    welcome = Welcome(observed_address=HERE, now_wall=0.0, stun=stun, turn=(turn("turn:localhost:6379?transport=tcp"),))
    relays, asked = welcomed(("192.0.2.7",), welcome)
    assert asked == [TransportAddress("8.8.8.8", 1)]
    assert not relays[0].may_be_local
    relays, asked = welcomed(("127.0.0.1",), welcome)
    assert asked[0].host == "127.0.0.1"
    assert relays[0].may_be_local


@pytest.mark.parametrize(
    ("url", "is_loopback"),
    [
        ("ws://127.0.0.1:8470", True),
        ("ws://[::1]:8470", True),
        ("wss://localhost", True),
        ("wss://127.0.0.1.example.com", False),
        ("wss://localhost.example.com", False),
        ("wss://192.0.2.1", False),
    ],
)
def test_only_a_loopback_address_is_one(url: str, is_loopback: bool) -> None:
    assert is_loopback_url(url) is is_loopback


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        ("192.0.2.1", True),
        ("[2001:DB8:0::1]", True),
        ("127.0.0.1", True),
        ("home.example", True),
        ("192.0.2.2", False),
        ("[2001:db8::2]", False),
        ("meet.example", False),
        ("known-to-a-proxy.example", False),
    ],
)
async def test_a_server_is_on_this_host_by_any_name(monkeypatch: pytest.MonkeyPatch, host: str, is_here: bool) -> None:
    names = {"home.example": "192.0.2.1", "meet.example": "203.0.113.1"}
    resolve = socket.getaddrinfo

    def look_up(name: str, *arguments: Any, **more: Any) -> Any:
        if name.startswith("known"):
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return resolve(names.get(name, name), *arguments, **more)

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    hosts = ("192.0.2.1", "2001:db8::1")
    assert await any_leads_here([f"wss://{host}:8443/x", "wss://203.0.113.9"], hosts) is is_here
