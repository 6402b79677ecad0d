"""The services that an exposer has built in, beside the one that it was asked to expose."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self, TypeAlias

from p2p.forward.datagram_flow import DatagramFlow
from p2p.forward.target import DialDone, FlowAcceptor
from p2p.forward.udp_port import DatagramsDone
from p2p.proto.bench import BENCH_SERVICE
from p2p.proto.proxy import PROXY_SERVICE
from p2p.proto.tunnel.codes import StreamCode
from p2p.proto.tunnel.header import FlowKind, StreamHeader
from p2p.services import FILES_SERVICE
from p2p.services.bench import BenchService
from p2p.services.proxy import ProxyService
from p2p.session.options import ExposeOptions
from p2p.target import FolderTarget, Offered, Target

Connect: TypeAlias = Callable[[], socket.socket | None]
"""Gives a connection to a service, or None while it takes no more."""


class BuiltInServices:
    """What of it the options permit, for all sessions of an exposer.

    Concurrency: one event loop; from the beginning of its ``async with`` block to the end.

    Args:
        options: What is permitted.
        loop: The event loop.
    """

    def __init__(self, options: ExposeOptions, loop: asyncio.AbstractEventLoop) -> None:
        self._options = options
        self._loop = loop
        self._connects: dict[str, Connect] = {}
        self._bench: BenchService | None = None
        self._public: dict[FolderTarget, Connect] = {}
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            if self._options.allow_bench:
                self._bench = BenchService(self._loop)
                stack.callback(self._bench.close)
                self._connects[BENCH_SERVICE] = self._bench.connect
            if self._options.proxy_to:
                proxy = await stack.enter_async_context(ProxyService(self._options.proxy_to))
                self._connects[PROXY_SERVICE] = proxy.connect
            await self._add_files(stack)
            if not self._options.targets and self._options.inbox is None and PROXY_SERVICE in self._connects:
                self._connects[""] = self._connects[PROXY_SERVICE]
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stack.aclose()

    async def _add_files(self, stack: contextlib.AsyncExitStack) -> None:
        """Serve folders by their names, and for ``p2p cp`` the ticket's own and the inbox by another one."""
        options = self._options
        folders = {name: target for name, target in options.targets.items() if isinstance(target, FolderTarget)}
        if not folders and options.inbox is None:
            return
        # HTTP is loaded only when somebody wants files.
        from p2p.services.files import FileService

        async def serve(folder: FolderTarget | None, inbox: Path | None = None) -> Connect:
            root = None if folder is None else Path(folder.path)
            service = await stack.enter_async_context(FileService(root, inbox=inbox, hidden=options.hidden))
            return service.connect

        for name, folder in folders.items():
            self._connects[name] = await serve(folder, None if name else options.inbox)
            if options.public is not None:
                # The public reads: an inbox is for ticket holders.
                self._public[folder] = await serve(folder)
        if "" in folders:
            self._connects[FILES_SERVICE] = self._connects[""]
        else:
            self._connects[FILES_SERVICE] = await serve(next(iter(folders.values()), None), options.inbox)
            if not options.targets:
                self._connects[""] = self._connects[FILES_SERVICE]

    @property
    def names(self) -> tuple[str, ...]:
        """What there is beside the services that the user named."""
        return tuple(name for name in self._connects if "/" in name)

    def before(self, acceptor: FlowAcceptor) -> FlowAcceptor:
        """Make an acceptor that takes flows to these services, and gives all others to the one named."""
        return _Acceptor(self._connects, acceptor, self._bench)

    def before_public(self, acceptor: FlowAcceptor, targets: Mapping[str, Offered]) -> FlowAcceptor:
        """The same for a gateway, which sends the public to folders and to nothing else that is built in.

        Args:
            acceptor: Takes all others.
            targets: What the gateway knows, by the names it uses.
        """
        folders = {name: self._public[target] for name, target in targets.items() if isinstance(target, FolderTarget)}
        return _Acceptor(folders, acceptor)


def services_there(targets: Mapping[str, Offered]) -> dict[str, Target]:
    """Those that are there already, so that flows to them need a connection only."""
    return {name: target for name, target in targets.items() if not isinstance(target, FolderTarget)}


class _Acceptor:
    """Sorts flows by their service."""

    def __init__(
        self, connects: Mapping[str, Connect], others: FlowAcceptor, bench: BenchService | None = None
    ) -> None:
        self._connects = connects
        self._bench = bench
        self._others = others

    def dial(self, header: StreamHeader, done: DialDone) -> Callable[[], None]:
        """See ``FlowAcceptor``."""
        connect = self._connects.get(header.service)
        if connect is None or header.kind != FlowKind.STREAM:
            return self._others.dial(header, done)
        done(connect() or StreamCode.TOO_MANY_FLOWS)
        return lambda: None

    def dial_datagrams(self, header: StreamHeader, flow: DatagramFlow, done: DatagramsDone) -> Callable[[], None]:
        """See ``FlowAcceptor``; measurements take datagrams, and nothing else that is built in."""
        if self._bench is None or header.service != BENCH_SERVICE:
            return self._others.dial_datagrams(header, flow, done)
        done(self._bench.echo(flow) or StreamCode.TOO_MANY_FLOWS)
        return lambda: None
