"""Sessions whose path carries long packets, then only short ones, while they go on."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from p2p.address import TransportAddress
from p2p.aio.udp import UdpSocket
from p2p.session.events import Connected
from p2p.session.options import RelayPolicy
from p2p.session.program import Program
from tests.support.peers import echo, echo_service, world

ENGINES = ("qh3", "aioquic")
PAYLOAD = os.urandom(1 << 20)
NARROW_AFTER_S = 1.0


class Wire:
    """What all sockets of the peers send through; drops what is too long."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.carries = 1472
        self.longest = 0
        real = UdpSocket.send

        def send(udp: UdpSocket, datagrams: Sequence[bytes], destination: TransportAddress) -> int:
            kept = [datagram for datagram in datagrams if len(datagram) <= self.carries]
            self.longest = max([self.longest, *map(len, kept)])
            if len(kept) == len(datagrams):
                return real(udp, datagrams, destination)
            real(udp, kept, destination)
            return len(datagrams)

        monkeypatch.setattr(UdpSocket, "send", send)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    monkeypatch.setattr("p2p.quic.packet_size.QUIC_NARROW_AFTER_S", NARROW_AFTER_S)
    return Wire(monkeypatch)


def path_sizes(*programs: Program) -> set[int | None]:
    return {session.packet_bytes for program in programs for session in program.status.sessions}


def engine_sizes(*programs: Program) -> set[int]:
    return {session.connection.stats.packet_bytes for program in programs for session in program.sessions.values()}


async def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("policy", [RelayPolicy.NEVER, RelayPolicy.ONLY])
@pytest.mark.parametrize("dialer", ENGINES)
@pytest.mark.parametrize("exposer", ENGINES)
async def test_packets_follow_the_path(
    tmp_path: Path, wire: Wire, dialer: str, exposer: str, policy: RelayPolicy
) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        offer, _, _ = await here.expose(port, options=here.options(engine=exposer, relay_policy=policy))
        connector, news, _, address = await here.connect(
            offer.ticket, options=here.options(engine=dialer, relay_policy=policy)
        )
        await news.wait_for(Connected)
        await until(lambda: path_sizes(offer, connector) == engine_sizes(offer, connector) == {1452})
        await echo(address, PAYLOAD)
        assert wire.longest > 1400
        # The path becomes narrow: what is under way is lost, nothing stands still, and packets are cut at first.
        wire.carries = 1300
        began = time.monotonic()
        await echo(address, PAYLOAD)
        assert time.monotonic() - began < 3
        assert path_sizes(offer, connector) == {1200}
        assert {1452} <= engine_sizes(offer, connector)
        assert all(session.link.stats.packets_cut for session in connector.sessions.values())
        # It stays narrow.
        await until(lambda: engine_sizes(offer, connector) == {1200}, NARROW_AFTER_S + 3)
        wire.longest = 0
        await echo(address, PAYLOAD)
        assert wire.longest <= 1204


async def test_a_path_that_was_never_wide_is_not_noticed(tmp_path: Path, wire: Wire) -> None:
    wire.carries = 1232
    async with world(tmp_path) as here, echo_service() as port:
        offer, _, _ = await here.expose(port)
        connector, news, _, address = await here.connect(offer.ticket)
        await news.wait_for(Connected)
        for _ in range(10):
            began = time.monotonic()
            await echo(address, PAYLOAD[:100_000])
            assert time.monotonic() - began < 0.5
        assert path_sizes(offer, connector) == {1200}
