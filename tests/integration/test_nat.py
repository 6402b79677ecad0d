"""``p2p nat`` against servers on loopback: ours, plain ones, and what is none at all."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import pytest

from p2p.address import TransportAddress
from p2p.errors import ConfigError, SignallingError
from p2p.gather.nat_cache import NatCache
from p2p.gather.portmap.probe import PortMappingFacts
from p2p.proto.signalling.messages import TurnServer, Welcome
from p2p.session import nat as nat_module
from p2p.session.nat import Questions, Watch, examine_network
from p2p.session.nat_report import NatReport
from p2p.session.options import PeerOptions
from tests.support.peers import world
from tests.support.ports import free_port
from tests.support.stun_server import run_stun_server

NO_CLASSIC = Questions(classic=False)


def options(folder: Path, url: str) -> PeerOptions:
    return PeerOptions(rendezvous_urls=(url,), identity_path=folder / "key.pem")


async def test_servers_of_a_rendezvous(tmp_path: Path) -> None:
    async with world(tmp_path) as servers:
        report = await examine_network(servers.options(), NO_CLASSIC)
    assert report.facts.udp_blocked is False
    assert report.translated is False
    assert report.facts.mapping == "none"
    assert report.allocator is not None
    assert report.allocator.kind == "preserving"
    assert [relay.reachable for relay in report.relays]
    assert all(relay.reachable and relay.rtt_s for relay in report.relays)
    assert "filtering" in report.unknown


@pytest.mark.parametrize("count", [1, 2])
async def test_named_servers_need_no_rendezvous(count: int) -> None:
    with run_stun_server() as one, run_stun_server(["127.0.0.3", "127.0.0.4"]) as other:
        names = tuple(str(server) for server in (one[0], other[0])[:count])
        report = await examine_network(PeerOptions(), Questions(stun=names))
    assert [str(server.address) for server in report.servers] == [*names]
    assert all(server.udp and server.other_address for server in report.servers)
    assert report.facts.filtering == "none"
    assert report.classic_name == "open internet"
    assert report.relays == ()


async def test_plain_servers_tell_the_mapping_but_not_the_filter() -> None:
    with run_stun_server(["127.0.0.1"], 1) as one, run_stun_server(["127.0.0.3"], 1) as other:
        report = await examine_network(PeerOptions(), Questions(stun=(str(one[0]), str(other[0])), classic=False))
    assert report.facts.udp_blocked is False
    assert report.facts.mapping == "none"
    assert report.facts.filtering is None
    assert "RFC 5780" in report.unknown["filtering"]


async def test_one_of_two_named_servers_is_down() -> None:
    with run_stun_server() as one:
        dead = f"127.0.0.1:{free_port()}"
        report = await examine_network(PeerOptions(), Questions(stun=(dead, str(one[0])), classic=False))
    assert report.facts.udp_blocked is False
    assert [(server.udp, server.tcp) for server in report.servers] == [(False, False), (True, None)]


async def test_servers_that_are_down_are_no_blocked_udp() -> None:
    report = await examine_network(PeerOptions(), Questions(stun=(f"127.0.0.1:{free_port()}",)))
    assert report.facts.udp_blocked is None
    assert report.outlook.kind == "unknown"


async def test_a_rendezvous_that_is_down_does_not_stop_named_servers(tmp_path: Path) -> None:
    with run_stun_server() as one:
        questions = Questions(stun=(str(one[0]),), classic=False)
        report = await examine_network(options(tmp_path, f"ws://127.0.0.1:{free_port()}"), questions)
    assert report.facts.udp_blocked is False
    assert "No relay could be tested" in report.notes[0]


async def test_routers_are_not_asked_where_a_server_is_on_this_host() -> None:
    async def ask() -> PortMappingFacts:
        raise AssertionError("asked")

    with run_stun_server() as one:
        questions = Questions(stun=(str(one[0]),), classic=False, ask_routers=ask)
        report = await examine_network(PeerOptions(), questions)
    assert "a server is on this host" in report.unknown["port_mapping"]


class TestNoRendezvous:
    """What is none is told so within seconds."""

    async def fails(self, folder: Path, *urls: str) -> SignallingError:
        started_at = time.monotonic()
        with pytest.raises(SignallingError) as raised:
            await examine_network(PeerOptions(rendezvous_urls=urls, identity_path=folder / "key.pem"))
        assert time.monotonic() - started_at < 8.0
        return raised.value

    async def test_closed_port(self, tmp_path: Path) -> None:
        assert (await self.fails(tmp_path, f"ws://127.0.0.1:{free_port()}")).code == "P2P-3101"

    async def test_another_server(self, tmp_path: Path) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            assert (await self.fails(tmp_path, f"ws://127.0.0.1:{port}")).code == "P2P-3103"

    async def test_silent_port(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("p2p.session.visit.VISIT_TIMEOUT_S", 0.2)
        over = asyncio.Event()

        async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await over.wait()
            writer.close()

        async with await asyncio.start_server(wait, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            error = await self.fails(tmp_path, f"ws://127.0.0.1:{port}")
            over.set()
        assert error.code == "P2P-3105"

    async def test_a_connection_that_hangs_is_not_the_end(self, tmp_path: Path) -> None:
        count = 0

        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal count
            count += 1
            is_first = count == 1
            upstream = await asyncio.open_connection("127.0.0.1", int(servers.url.rpartition(":")[2]))

            async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
                with suppress(ConnectionError):
                    while data := await source.read(65536):
                        if not is_first:
                            target.write(data)
                target.close()

            async with asyncio.TaskGroup() as group:
                group.create_task(copy(reader, upstream[1]))
                group.create_task(copy(upstream[0], writer))

        async with world(tmp_path) as servers, await asyncio.start_server(pass_on, "127.0.0.1", 0) as proxy:
            url = f"ws://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
            report = await examine_network(options(tmp_path, url), NO_CLASSIC)
        assert count == 2
        assert report.facts.udp_blocked is False

    async def test_the_first_one_that_answers_is_taken(self, tmp_path: Path) -> None:
        async with world(tmp_path) as servers:
            both = PeerOptions(
                rendezvous_urls=(f"ws://127.0.0.1:{free_port()}", servers.url), identity_path=tmp_path / "key.pem"
            )
            assert (await examine_network(both, NO_CLASSIC)).facts.udp_blocked is False

    @pytest.mark.parametrize("name", ["", "a b", "host:0", "host:70000", "http://x", "[::1", "no.such.host.invalid"])
    async def test_what_is_no_stun_server(self, name: str) -> None:
        with pytest.raises(ConfigError) as raised:
            await examine_network(PeerOptions(), Questions(stun=(name,)))
        assert raised.value.code == "P2P-1104"

    async def test_nothing_named(self) -> None:
        with pytest.raises(ConfigError):
            await examine_network(PeerOptions())


async def test_lifetime_ends_when_told_to() -> None:
    reports: list[NatReport] = []
    watch = Watch(on_report=reports.append)
    with run_stun_server() as one:
        questions = Questions(stun=(str(one[0]),), classic=False, lifetime_limit_s=60.0)
        asyncio.get_running_loop().call_later(1.0, watch.stop.set)
        report = await examine_network(PeerOptions(), questions, watch=watch)
    assert report.lifetime is not None
    assert not report.lifetime.is_complete
    assert reports


async def test_lifetime_beyond_the_limit() -> None:
    with run_stun_server(["127.0.0.1"], 1) as one:
        questions = Questions(stun=(str(one[0]),), classic=False, lifetime_limit_s=2.0)
        report = await examine_network(PeerOptions(), questions)
    assert report.lifetime is not None
    assert report.lifetime.at_least_s == 2.0
    assert report.lifetime.is_complete


async def test_what_is_learned_is_kept_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = NatCache(tmp_path / "networks.json")
    monkeypatch.setattr(nat_module, "here", lambda: "home")
    with run_stun_server() as one:
        questions = Questions(stun=(str(one[0]),), classic=False, cache=cache)
        first = await examine_network(PeerOptions(), questions)
        second = await examine_network(PeerOptions(), questions)
    assert first.previous is None
    assert second.previous is not None
    assert second.previous.same


async def test_a_rendezvous_elsewhere_names_nobody_on_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    here = TransportAddress("127.0.0.1", 9)
    welcome = Welcome(
        observed_address=here,
        now_wall=0.0,
        stun=(here, TransportAddress("169.254.169.254", 53)),
        turn=(TurnServer(url="turn:127.0.0.1:9?transport=tcp", username="u", password="p", expires_wall=2**31),),
    )

    async def visit(options: PeerOptions, *, purpose: str) -> Welcome:
        return welcome

    monkeypatch.setattr(nat_module, "visit_rendezvous", visit)
    report = await examine_network(PeerOptions(rendezvous_urls=("wss://meet.example",)), NO_CLASSIC)
    assert report.servers == ()
    assert not report.relays[0].reachable
    assert "no usable address" in report.relays[0].detail
