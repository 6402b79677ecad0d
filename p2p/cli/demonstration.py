"""The demonstration: servers, an exposer, a connector and a web server in one process on one machine."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TypeVar

import typer

from p2p import defaults
from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope, deadline
from p2p.cli import text
from p2p.cli.describe import describe
from p2p.cli.output import print_json
from p2p.cli.sample import fetch, web_server
from p2p.cli.servers import Servers
from p2p.config import ServeOptions
from p2p.session.connector import Connector
from p2p.session.events import Connected, Event, Listening, PathChanged, Problem, Ready, Relayed
from p2p.session.exposer import Exposer
from p2p.session.options import ConnectOptions, ExposeOptions, PeerOptions
from p2p.session.status import PathKind
from p2p.target import TcpTarget

EventT = TypeVar("EventT", bound=Event)


class Actor:
    """One of the two peers: tells what happens to it, and lets the play wait for it.

    Args:
        name: What its lines begin with.
        as_json: Whether to print objects instead of lines.
    """

    def __init__(self, name: str, *, as_json: bool) -> None:
        self._name = name
        self._as_json = as_json
        self._seen: list[Event] = []
        self._news = asyncio.Event()

    def tell(self, event: Event) -> None:
        """Take an event and print it."""
        self._seen.append(event)
        self._news.set()
        if self._as_json:
            print_json({"role": self._name, **event.to_json()})
            return
        for line in describe(event):
            typer.echo(f"{self._name:8} {line.text}", err=isinstance(event, Problem))

    async def wait_for(self, *kinds: type[EventT]) -> EventT:
        """Wait for the first event of one of these kinds."""
        while True:
            for event in self._seen:
                if isinstance(event, kinds):
                    return event
            self._news.clear()
            await self._news.wait()


async def demonstrate(*, size_bytes: int, engine: str | None, as_json: bool) -> None:
    """Play everything once.

    Args:
        size_bytes: Size of the file that is fetched.
        engine: QUIC engine, or None for the best one.
        as_json: Whether to print objects instead of lines.

    Raises:
        P2PError: Something does not work on this machine.
    """
    exposer_tells, connector_tells = Actor("expose", as_json=as_json), Actor("connect", as_json=as_json)
    options = ServeOptions(listen=("127.0.0.1",), http_port=0, stun_port=0, open=True, danger_allow_private_peers=True)
    with tempfile.TemporaryDirectory(prefix="p2p-demo-") as folder:
        async with Servers(options) as servers, web_server(size_bytes) as target, TaskScope() as scope:
            url = servers.facts.rendezvous_url
            if not as_json:
                typer.echo(f"servers  signalling, STUN and a relay at {url}")

            def peer_options(name: str) -> PeerOptions:
                return PeerOptions(rendezvous_urls=(url,), engine=engine, identity_path=Path(folder) / name)

            offer = ExposeOptions(targets={"": TcpTarget(target.host, target.port)}, name="demo")
            stop = asyncio.Event()
            async with Exposer(offer, peer_options("exposer"), on_event=exposer_tells.tell) as exposer:
                scope.start(exposer.run_until(stop), name="demo exposer")
                async with deadline(defaults.CONNECT_TIMEOUT_S, "putting the service on offer"):
                    ticket = (await exposer_tells.wait_for(Ready)).ticket
                wish = ConnectOptions(ticket=ticket, listen={"": TcpTarget("127.0.0.1", 0)})
                async with Connector(wish, peer_options("connector"), on_event=connector_tells.tell) as connector:
                    running = scope.start(connector.run_until(stop), name="demo connector")
                    async with deadline(defaults.CONNECT_TIMEOUT_S, "connecting"):
                        address = (await connector_tells.wait_for(Listening)).address
                        await connector_tells.wait_for(Connected)
                        await _settled(connector_tells)
                    assert isinstance(address, TcpTarget)
                    fetched = await fetch(TransportAddress(address.host, address.port), size_bytes)
                    stop.set()
                    report = await running
    connector_tells.tell(report)
    speed = text.rate(fetched.size_bytes / fetched.took_s)
    if as_json:
        print_json({"event": "demo", "bytes": fetched.size_bytes, "bytes_ok": True, "took_s": round(fetched.took_s, 3)})
    else:
        typer.echo(f"result   {text.size(fetched.size_bytes)} fetched and checked, {speed}")


async def _settled(connector: Actor) -> None:
    """Wait until the session is direct, or says that it cannot be."""
    first = await connector.wait_for(Connected)
    if first.path is not PathKind.DIRECT:
        await connector.wait_for(PathChanged, Relayed)
