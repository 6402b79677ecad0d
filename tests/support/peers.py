"""Servers, an exposer and a connector in one process on loopback."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.cli.servers import Servers
from p2p.config import ServeOptions
from p2p.identity import Ticket
from p2p.session.connector import Connector
from p2p.session.events import Event, Listening, Ready, Report
from p2p.session.exposer import Exposer
from p2p.session.options import ConnectOptions, ExposeOptions, PeerOptions
from p2p.target import Offered, Target, TcpTarget, UnixTarget

ANYWHERE = TcpTarget("127.0.0.1", 0)
EventT = TypeVar("EventT", bound=Event)
SERVE = ServeOptions(listen=("127.0.0.1",), http_port=0, stun_port=0, open=True, danger_allow_private_peers=True)


class News:
    """What a peer told, for tests that wait for it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._more = asyncio.Event()

    def tell(self, event: Event) -> None:
        self.events.append(event)
        self._more.set()

    async def wait_for(self, kind: type[EventT], timeout_s: float = 15.0, **fields: Any) -> EventT:
        async with asyncio.timeout(timeout_s):
            while True:
                for event in self.events:
                    if isinstance(event, kind) and all(getattr(event, k) == v for k, v in fields.items()):
                        return event
                self._more.clear()
                await self._more.wait()


class World:
    """One rendezvous, and the peers that meet there."""

    def __init__(
        self, folder: Path, stack: AsyncExitStack, scope: TaskScope, url: str, servers: Servers | None = None
    ) -> None:
        self.folder = folder
        self.url = url
        self.servers = servers
        self._stack = stack
        self._scope = scope
        self._count = 0

    def options(self, name: str = "", **changes: Any) -> PeerOptions:
        self._count += 1
        key = self.folder / f"{name or self._count}.pem"
        return replace(PeerOptions(rendezvous_urls=(self.url,), identity_path=key, timeout_s=10.0), **changes)

    async def expose(
        self, target: int | Offered | Mapping[str, Offered], *, options: PeerOptions | None = None, **fields: Any
    ) -> tuple[Exposer, News, asyncio.Task[Report]]:
        news = News()
        place = TcpTarget("127.0.0.1", target) if isinstance(target, int) else target
        offer = ExposeOptions(targets=place if isinstance(place, Mapping) else {"": place}, **fields)
        exposer = Exposer(offer, options or self.options(), on_event=news.tell)
        await self._stack.enter_async_context(exposer)
        stop = asyncio.Event()
        self._stack.callback(stop.set)
        task = self._scope.start(_quiet(exposer.run_until(stop)), name="exposer")
        await news.wait_for(Ready)
        return exposer, news, task

    async def connect(
        self, ticket: str, *, options: PeerOptions | None = None, listen: Target = ANYWHERE, **fields: Any
    ) -> tuple[Connector, News, asyncio.Task[Any], TransportAddress]:
        connector, news, task = await self.connect_at(ticket, listen, options=options, **fields)
        address = (await news.wait_for(Listening)).address
        assert not isinstance(address, UnixTarget)
        return connector, news, task, TransportAddress(address.host, address.port)

    async def connect_at(
        self,
        ticket: str,
        listen: Target | Mapping[str, Target] | None,
        *,
        options: PeerOptions | None = None,
        **fields: Any,
    ) -> tuple[Connector, News, asyncio.Task[Any]]:
        """Connect, and listen at one place for the only service, at several by name, or with None for all on offer."""
        news = News()
        places = listen if listen is None or isinstance(listen, Mapping) else {"": listen}
        wish = ConnectOptions(ticket=ticket, listen=places, **fields)
        connector = Connector(wish, options or self.options(), on_event=news.tell)
        await self._stack.enter_async_context(connector)
        stop = asyncio.Event()
        self._stack.callback(stop.set)
        return connector, news, self._scope.start(_quiet(connector.run_until(stop)), name="connector")


async def _quiet(work: Any) -> Any:
    """A peer's failure is a result for the test to look at; it must not end the test's scope."""
    try:
        return await work
    except Exception as error:
        return error


@asynccontextmanager
async def world(folder: Path, serve: ServeOptions = SERVE) -> AsyncIterator[World]:
    """Run the servers; peers end before them."""
    async with Servers(serve) as servers, TaskScope() as scope, AsyncExitStack() as stack:
        yield World(folder, stack, scope, servers.facts.rendezvous_url, servers)


@asynccontextmanager
async def echo_service() -> AsyncIterator[int]:
    """A TCP service that sends back all it gets, and ends when the client does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def end(writer: asyncio.StreamWriter) -> None:
    """Close a connection, whatever the other end has done to it."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def echo(address: TransportAddress, payload: bytes) -> None:
    """Send a payload through an echo service, end our side, and compare what comes back."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:

        async def send() -> None:
            writer.write(payload)
            await writer.drain()
            writer.write_eof()

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            received = group.create_task(reader.read(-1))
        assert hashlib.sha256(received.result()).digest() == hashlib.sha256(payload).digest()
    finally:
        await end(writer)


def without_addresses(ticket: str) -> str:
    """Take the direct addresses out of a ticket, so that its holder has to go by the rendezvous."""
    return replace(Ticket.parse(ticket), direct_addresses=()).encode()
