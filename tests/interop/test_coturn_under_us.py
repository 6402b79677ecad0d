"""Our peers on a stock coturn: its TURN instead of our relay, its STUN instead of our service.

All that is ours besides the peers is a rendezvous, which shares coturn's secret (``use-auth-secret``).
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from p2p.aio.tasks import TaskScope
from p2p.session.events import Connected, PathChanged, Problem, Relayed, SessionClosed
from p2p.session.options import PeerOptions, RelayPolicy
from p2p.session.status import PathKind
from rendezvous.service import RendezvousService
from tests.support.authority import Authority
from tests.support.coturn import SECRET, Coturn, run_coturn
from tests.support.peers import World, echo, echo_service
from tests.support.rendezvous_world import BASE, url_of

PAYLOAD = os.urandom(2 << 20)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def coturn(tmp_path: Path, authority: Authority) -> Iterator[Coturn]:
    certificate = (f"--cert={authority.certificate}", f"--pkey={authority.key}")
    folder = tmp_path / "coturn"
    folder.mkdir()
    with run_coturn(folder, "--verbose", *certificate, shared_secret=True) as server:
        yield server


def url(coturn: Coturn, transport: str) -> str:
    """The URL of its relay."""
    if transport == "tls":
        return f"turns:{coturn.tls_address}?transport=tcp"
    return f"turn:{coturn.address}?transport={transport}"


@asynccontextmanager
async def world(folder: Path, coturn: Coturn, *transports: str, secret: str = SECRET) -> AsyncIterator[World]:
    """A rendezvous that names coturn, and peers that meet there."""
    config = replace(
        BASE,
        stun_servers=(coturn.address,),
        relay_urls=tuple(url(coturn, transport) for transport in transports),
        relay_secret=secret,
    )
    async with RendezvousService(config) as service, TaskScope() as scope, AsyncExitStack() as stack:
        yield World(folder, stack, scope, url_of(service))


def relay_only(here: World, authority: Authority) -> PeerOptions:
    return here.options(relay_policy=RelayPolicy.ONLY, ca_file=authority.root)


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_relay_only(tmp_path: Path, coturn: Coturn, authority: Authority, transport: str) -> None:
    async with world(tmp_path, coturn, transport) as here, echo_service() as port:
        offer, _, _ = await here.expose(port, options=relay_only(here, authority))
        connector, news, _, address = await here.connect(offer.ticket, options=relay_only(here, authority))
        connected = await news.wait_for(Connected)
        assert (connected.path, connected.transport) == (PathKind.RELAY, transport)
        await echo(address, PAYLOAD)
        assert (await news.wait_for(Relayed)).reason.code == "direct-disabled"
        for program in (offer, connector):
            assert program.node.relay is not None
            assert program.node.relay.protocol == transport
            (status,) = program.status.sessions
            assert status.path is PathKind.RELAY
            assert status.bytes_in == status.bytes_out == len(PAYLOAD)
    log = coturn.log.read_text(errors="replace")
    # Each of the two was asked once for credentials, and gave its address back. This coturn knows no NAT tests.
    errors = Counter(re.findall(r"processed, error (\d+)", log))
    assert errors["401"] == 2
    assert set(errors) <= {"401", "420"}
    assert len(re.findall("refreshed, .* lifetime=0", log)) == 2


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_session_survives_its_restart(tmp_path: Path, authority: Authority, transport: str) -> None:
    folders = tmp_path / "first", tmp_path / "second"
    for folder in folders:
        folder.mkdir()
    async with AsyncExitStack() as stack:
        # The world ends first: peers give their addresses back to a relay that is there.
        first = ExitStack()
        second = stack.enter_context(ExitStack())
        stack.callback(first.close)
        coturn = first.enter_context(run_coturn(folders[0], shared_secret=True))
        here = await stack.enter_async_context(world(tmp_path, coturn, transport))
        port = await stack.enter_async_context(echo_service())
        offer, _, _ = await here.expose(port, options=relay_only(here, authority))
        _, news, _, address = await here.connect(offer.ticket, options=relay_only(here, authority))
        await news.wait_for(Connected)
        reader, writer = await asyncio.open_connection(*address)
        stack.callback(writer.close)
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        await asyncio.to_thread(first.close)
        writer.write(b"after")
        await asyncio.to_thread(second.enter_context, run_coturn(folders[1], shared_secret=True, instead_of=coturn))
        async with asyncio.timeout(15):
            assert await reader.readexactly(5) == b"after"
        assert not [event for event in news.events if isinstance(event, SessionClosed)]


async def test_direct_with_its_stun(tmp_path: Path, coturn: Coturn) -> None:
    async with world(tmp_path, coturn, "udp", "tcp") as here, echo_service() as port:
        offer, _, _ = await here.expose(port)
        connector, news, _, address = await here.connect(offer.ticket)
        first = await news.wait_for(Connected)
        if first.path is not PathKind.DIRECT:
            await news.wait_for(PathChanged, path=PathKind.DIRECT)
        await echo(address, PAYLOAD)
        for program in (offer, connector):
            assert program.node.mapped_address is not None
            assert program.node.mapped_address.host == "127.0.0.1"
            assert program.node.facts.udp_blocked is False


async def test_a_wrong_secret_is_told_and_the_direct_path_stays(tmp_path: Path, coturn: Coturn) -> None:
    async with world(tmp_path, coturn, "udp", secret="of someone else") as here, echo_service() as port:
        offer, exposer_news, _ = await here.expose(port)
        problem = await exposer_news.wait_for(Problem)
        assert "401" in problem.error.detail
        _, news, _, address = await here.connect(offer.ticket)
        assert (await news.wait_for(Connected)).path is PathKind.DIRECT
        await echo(address, PAYLOAD)
