"""Several relays on loopback: the nearest is used, and the next one where it has no room."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.errors import RelayError
from p2p.gather.relay import allocate, allocate_first
from p2p.gather.relay_distances import RelayDistances
from p2p.gather.relay_server import RelayServer
from p2p.path.endpoint import Endpoint
from p2p.session.events import Connected
from p2p.session.options import RelayPolicy
from p2p.session.status import PathKind
from relay.core.quotas import QuotaLimits
from relay.service import RelayService
from rendezvous.service import RendezvousService
from tests.support.peers import World, echo, echo_service
from tests.support.relay import SECRET, USERS, loopback_config
from tests.support.rendezvous_world import BASE, url_of

HERE, THERE = "127.0.0.1", "127.0.0.2"
FAR_S = 0.3


class Sink:
    """Passes STUN on to who measures."""

    def __init__(self) -> None:
        self.distances: RelayDistances | None = None

    def stun_received(self, data: bytes, base_id: int, source: TransportAddress, now: float) -> None:
        assert self.distances is not None
        assert self.distances.stun_received(data, base_id, source, now)

    def quic_received(self, *_: Any) -> None:
        pytest.fail("nobody sends QUIC here")

    def drained(self, now: float) -> None:
        pass


class Far(asyncio.DatagramProtocol):
    """A long way in front of a relay: both directions take their time. One client."""

    def __init__(self, relay: TransportAddress) -> None:
        self._relay = relay
        self._client: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, source: tuple[str | Any, int]) -> None:
        if source == (self._relay.host, self._relay.port):
            destination = self._client
        else:
            self._client, destination = source, (self._relay.host, self._relay.port)
        asyncio.get_running_loop().call_later(FAR_S / 2, self._send, data, destination)

    def _send(self, data: bytes, destination: Any) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(data, destination)


@asynccontextmanager
async def peer() -> AsyncIterator[tuple[Endpoint, RelayDistances]]:
    """Sockets of a peer, and how far it is to its relays."""
    sink = Sink()
    async with TaskScope() as scope:
        endpoint = Endpoint(asyncio.get_running_loop(), sink)
        endpoint.open_socket(TransportAddress("0.0.0.0", 0))
        distances = sink.distances = RelayDistances(endpoint, scope)
        try:
            yield endpoint, distances
        finally:
            distances.close()
            endpoint.close()


def relay_at(host: str, **changes: Any) -> RelayService:
    return RelayService(loopback_config(udp=(TransportAddress(host, 0),), tcp=(), tls=(), **changes))


def server_of(address: TransportAddress) -> RelayServer:
    return RelayServer.from_url(f"turn:{address}", "alice", USERS["alice"])


@pytest.mark.parametrize("is_measured", [True, False])
async def test_a_far_relay_is_not_used_though_it_is_named_first(is_measured: bool) -> None:
    loop = asyncio.get_running_loop()
    async with relay_at(HERE) as far, relay_at(HERE) as near, peer() as (endpoint, distances):
        way, _ = await loop.create_datagram_endpoint(lambda: Far(far.udp_addresses[0]), local_addr=(THERE, 0))
        try:
            far_address = TransportAddress.from_socket(way.get_extra_info("sockname"))
            servers = [server_of(far_address), server_of(near.udp_addresses[0])]
            distances.update(servers)
            if is_measured:
                async with asyncio.timeout(5):
                    while len(distances.round_trips_s) < 2:
                        await asyncio.sleep(0.01)
                assert distances.round_trips_s[THERE] >= FAR_S > distances.round_trips_s[HERE]
            relay = await allocate_first(endpoint, servers, distances=distances)
            assert relay.server == near.udp_addresses[0]
            assert far.allocations == 0
            await relay.release()
        finally:
            way.close()


async def test_another_network_is_measured_anew_and_known_relays_are_not() -> None:
    async with relay_at(HERE) as one, relay_at(THERE) as other, peer() as (_, distances):
        servers = [server_of(one.udp_addresses[0]), server_of(other.udp_addresses[0])]
        distances.update(servers)
        await distances.first_answer(5.0)
        known = distances.round_trips_s.copy()
        assert known
        distances.update(servers)
        assert distances.round_trips_s.keys() >= known.keys()
        distances.measure()
        assert not distances.round_trips_s
        await distances.first_answer(5.0)
        assert distances.round_trips_s


async def test_one_relay_is_not_measured() -> None:
    async with relay_at(HERE) as only, peer() as (_, distances):
        distances.update([server_of(only.udp_addresses[0])])
        await distances.first_answer(5.0)
        assert not distances.round_trips_s


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_full_relay_sends_its_clients_to_another_and_no_further(is_there: bool) -> None:
    async with AsyncExitStack() as stack:
        last = await stack.enter_async_context(relay_at(THERE))
        full = QuotaLimits(total=0)
        named = await stack.enter_async_context(
            relay_at(HERE) if is_there else relay_at(HERE, quotas=full, alternate_servers=last.udp_addresses)
        )
        first = await stack.enter_async_context(relay_at(HERE, quotas=full, alternate_servers=named.udp_addresses))
        endpoint, _ = await stack.enter_async_context(peer())
        if not is_there:
            with pytest.raises(RelayError, match=f"300.*use {last.udp_addresses[0]}"):
                await allocate(endpoint, server_of(first.udp_addresses[0]))
            assert last.allocations == 0
            return
        relay = await allocate(endpoint, server_of(first.udp_addresses[0]))
        assert relay.server == named.udp_addresses[0]
        assert named.allocations == 1
        await relay.release()


async def test_nobody_is_sent_where_no_relay_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    async with relay_at(HERE) as named:
        full = {"quotas": QuotaLimits(total=0), "alternate_servers": named.udp_addresses}
        async with relay_at(HERE, **full) as first, peer() as (endpoint, _):
            server = server_of(first.udp_addresses[0])
            # As if the first one were elsewhere: its own address is on loopback, too.
            monkeypatch.setattr(RelayServer, "accepts", lambda self, address: address in first.udp_addresses)
            with pytest.raises(RelayError, match="300"):
                await allocate(endpoint, server)
            assert named.allocations == 0


@pytest.mark.parametrize("quotas", [QuotaLimits(total=0), QuotaLimits(per_user=0)], ids=["508", "486"])
async def test_a_session_runs_over_the_relay_that_has_room(tmp_path: Path, quotas: QuotaLimits) -> None:
    async with relay_at(HERE, quotas=quotas) as full, relay_at(THERE) as free:
        urls = tuple(f"turn:{service.udp_addresses[0]}?transport=udp" for service in (full, free))
        config = replace(BASE, relay_urls=urls, relay_secret=SECRET)
        async with (
            RendezvousService(config) as rendezvous,
            TaskScope() as scope,
            AsyncExitStack() as stack,
            echo_service() as port,
        ):
            here = World(tmp_path, stack, scope, url_of(rendezvous))
            only = {"relay_policy": RelayPolicy.ONLY}
            offer, _, _ = await here.expose(port, options=here.options(**only))
            _, news, _, address = await here.connect(offer.ticket, options=here.options(**only))
            assert (await news.wait_for(Connected)).path is PathKind.RELAY
            await echo(address, os.urandom(1 << 16))
            assert free.allocations >= 1
            assert full.allocations == 0
