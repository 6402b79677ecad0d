"""`p2p serve`: which addresses it takes, what it prints, and that its parts share their ports."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Literal

import pytest

from p2p.address import TransportAddress
from p2p.cli import server_hosts
from p2p.cli.serve import banner, facts_json
from p2p.cli.server_hosts import Host, find_hosts
from p2p.cli.servers import Facts, Servers
from p2p.config import ServeOptions
from p2p.errors import ConfigError
from p2p.proto.turn.events import PermissionCreated
from relay.core.credentials import rest_password
from tests.support.turn_client import TurnClient

FACTS = Facts(
    rendezvous_url="ws://192.0.2.1:8470",
    stun=(TransportAddress("192.0.2.1", 3478),),
    relay_urls=("turn:192.0.2.1:3478?transport=udp",),
    token="made",
)
BINDING_REQUEST = bytes.fromhex("000100002112a442") + b"x" * 12


@pytest.fixture
def one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_hosts, "_outward", {4: "10.0.0.5", 6: None}.get)
    monkeypatch.setattr(server_hosts, "_is_ours", lambda address: address == "10.0.0.6")


@pytest.mark.usefixtures("one_address")
class TestHosts:
    def test_everything_by_default(self) -> None:
        assert find_hosts(ServeOptions()) == (Host("10.0.0.5", "10.0.0.5"),)

    def test_named_addresses(self) -> None:
        hosts = find_hosts(ServeOptions(listen=("10.0.0.6", "10.0.0.7")))
        assert hosts == (Host("10.0.0.6", "10.0.0.6"), Host("10.0.0.7", "10.0.0.7"))

    def test_one_to_one_nat(self) -> None:
        options = ServeOptions(listen=("10.0.0.6",), public_addresses=("203.0.113.5",))
        assert find_hosts(options) == (Host("10.0.0.6", "203.0.113.5"),)

    def test_public_address_of_a_wildcard(self) -> None:
        options = ServeOptions(public_addresses=("203.0.113.5", "10.0.0.6"))
        assert find_hosts(options) == (Host("10.0.0.5", "203.0.113.5"), Host("10.0.0.6", "10.0.0.6"))

    def test_counts_must_fit(self) -> None:
        with pytest.raises(ConfigError, match="which is which") as caught:
            find_hosts(ServeOptions(listen=("10.0.0.6", "10.0.0.7"), public_addresses=("203.0.113.5",)))
        assert caught.value.error_code is server_hosts.CODE_ADDRESS_COUNT

    @pytest.mark.parametrize("options", [ServeOptions(listen=("::",)), ServeOptions(public_addresses=("2001:db8::5",))])
    def test_no_address(self, options: ServeOptions) -> None:
        with pytest.raises(ConfigError) as caught:
            find_hosts(options)
        assert caught.value.error_code is server_hosts.CODE_NO_ADDRESS


class TestBanner:
    def test_made_token_is_in_the_lines_to_type(self) -> None:
        lines = banner(FACTS, ServeOptions())
        assert "  P2P_TOKEN=made p2p expose 8080 --rendezvous ws://192.0.2.1:8470" in lines
        assert any("made for this run" in line for line in lines)
        assert any(line.startswith("No TLS") for line in lines)

    def test_open_server_needs_no_token(self) -> None:
        facts = Facts(rendezvous_url="ws://x", stun=(), relay_urls=(), token=None)
        assert "  p2p connect TICKET" in banner(facts, ServeOptions(open=True))

    def test_given_token_is_not_repeated(self) -> None:
        facts = Facts(rendezvous_url="wss://x", stun=(), relay_urls=(), token=None)
        lines = banner(facts, ServeOptions(tokens=("hunter2",), tls_cert=Path("c"), tls_key=Path("k")))
        assert "hunter2" not in "\n".join(lines)
        assert "  P2P_TOKEN=YOUR-TOKEN p2p connect TICKET" in lines
        assert not any(line.startswith("No TLS") for line in lines)

    def test_json(self) -> None:
        assert facts_json(FACTS) == {
            "event": "serving",
            "rendezvous": "ws://192.0.2.1:8470",
            "stun": ["192.0.2.1:3478"],
            "relays": ["turn:192.0.2.1:3478?transport=udp"],
            "token": "made",
        }


async def test_ports_are_shared_between_the_parts() -> None:
    async with Servers(ServeOptions(listen=("127.0.0.1",), http_port=0, stun_port=0)) as running:
        facts = running.facts
        assert running.still_open == ""
        assert facts.token
        http_port = int(facts.rendezvous_url.rpartition(":")[2])
        assert await _http(http_port) == b"HTTP/1.1 200 OK"
        # The relay's UDP port answers Binding requests, and so does the HTTP port over TCP.
        assert await asyncio.to_thread(_binding_over_udp, facts.stun[0]) == b"\x01\x01"
        reader, writer = await asyncio.open_connection("127.0.0.1", http_port)
        writer.write(BINDING_REQUEST)
        assert (await reader.readexactly(2)) == b"\x01\x01"
        writer.close()
        await writer.wait_closed()
        await running.drain()


@pytest.mark.parametrize("peers", ["known", "public"])
async def test_the_relay_sends_to_hosts_that_use_this_server(peers: Literal["known", "public"]) -> None:
    options = ServeOptions(
        listen=("127.0.0.1",),
        http_port=0,
        stun_port=0,
        shared_secret="north",
        relay_peers=peers,
        danger_allow_private_peers=True,
    )
    name = "9999999999:peer"
    async with Servers(options) as running:
        server = running.facts.stun[0]
        async with TurnClient(server, username=name, password=rest_password("north", name)) as client:
            await client.allocate()
            other = TransportAddress("127.0.0.9", 9)
            is_allowed = isinstance(await client.permit(other), PermissionCreated)
            assert is_allowed == (peers == "public")
            await asyncio.to_thread(_binding_over_udp, server, other.host)
            assert isinstance(await client.permit(other), PermissionCreated)


async def test_rates_of_the_relay_change_at_a_reload() -> None:
    options = ServeOptions(listen=("127.0.0.1",), http_port=0, stun_port=0, tokens=("t",), relay_mbit_s=8.0)
    async with Servers(options) as running:
        assert running._relay is not None
        assert running._relay.config.rates.total.bytes_per_s == 1_000_000
        running.reload(ServeOptions(tokens=("t",), relay_user_mbit_s=0.8))
        assert running._relay.config.rates.total.bytes_per_s == 0
        assert running._relay.config.rates.user.bytes_per_s == 100_000


async def test_given_token_makes_none() -> None:
    options = ServeOptions(listen=("127.0.0.1",), http_port=0, stun_port=0, tokens=("t",), domain="Meet.Example")
    async with Servers(options) as running:
        assert running.facts.token is None
        assert running.facts.rendezvous_url.startswith("ws://Meet.Example:")


async def test_reload_changes_tokens_or_nothing() -> None:
    options = ServeOptions(listen=("127.0.0.1",), http_port=0, stun_port=0, tokens=("old",))
    async with Servers(options) as running:
        running.reload(ServeOptions(tokens=("new", "newer")))
        with pytest.raises(ConfigError):
            running.reload(ServeOptions(tokens=("twice", "twice")))
        with pytest.raises(ConfigError, match="nobody could log in"):
            running.reload(ServeOptions())
        assert running.facts.rendezvous_url.startswith("ws://127.0.0.1:")


async def _http(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.partition(b"\r\n")[0]


def _binding_over_udp(server: TransportAddress, source: str = "127.0.0.1") -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((source, 0))
        client.settimeout(5)
        client.sendto(BINDING_REQUEST, server)
        return client.recv(2048)[:2]
