"""All that the flows of dialers can reach at an exposer, and how they get there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from p2p.defaults import COMPRESSED_FLOWS
from p2p.forward.announcing import AnnouncingAcceptor
from p2p.forward.compression import Compression, CompressionAcceptor
from p2p.forward.multiplexer import Multiplexer
from p2p.forward.target import FlowAcceptor, ServiceDialer
from p2p.forward.throttle import Throttles
from p2p.session.built_in import BuiltInServices, services_there
from p2p.session.node import Node
from p2p.session.options import ExposeOptions, ProxySource
from p2p.session.peer_session import PeerSession
from p2p.session.proxy_headers import announcer
from p2p.session.reverse import ReverseListeners
from p2p.session.version import toolkit_version
from p2p.target import Offered

if TYPE_CHECKING:
    from p2p.inspect.site import Inspector


class OfferedServices:
    """Exposed targets and what is built in, with whatever is put before them: PROXY headers, the inspector, limits.

    Concurrency: one event loop; from the beginning of its ``async with`` block to the end.

    Args:
        options: What is on offer.
        loop: The event loop.
    """

    def __init__(self, options: ExposeOptions, loop: asyncio.AbstractEventLoop) -> None:
        self._options = options
        self._loop = loop
        self._built_in = BuiltInServices(options, loop)
        self._compression = Compression(at_most=COMPRESSED_FLOWS)
        self._inspector: Inspector | None = None
        self._throttles: Throttles | None = None
        self._stack = contextlib.AsyncExitStack()
        self.reverse: ReverseListeners | None = None
        """Where services of the dialer appear here, if any may."""

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._built_in)
            await stack.enter_async_context(self._compression)
            if self._options.reverse:
                listeners = ReverseListeners(self._options.reverse, loop=self._loop)
                self.reverse = await stack.enter_async_context(listeners)
            if self._options.inspect is not None:
                # Its HTTP parser is loaded only when somebody wants to look.
                from p2p.inspect.site import Inspector

                inspector = Inspector(self._options.inspect, version=toolkit_version())
                self._inspector = await stack.enter_async_context(inspector)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def built_in_names(self) -> Iterable[str]:
        """What is built in, by the names that flows ask for."""
        return self._built_in.names

    @property
    def inspector_url(self) -> str | None:
        """Where the inspector shows what passes, if it does."""
        return None if self._inspector is None else self._inspector.url

    def acceptor(self, session: PeerSession, node: Node) -> FlowAcceptor:
        """Make what connects the flows that a dialer opens.

        Args:
            session: The dialer's.
            node: What it lives on.
        """
        there = self._to_targets(self._options.targets, session, node, self._options.proxy_source)
        return CompressionAcceptor(self._built_in.before(there), self._compression)

    def public_acceptor(self, session: PeerSession, node: Node, targets: Mapping[str, Offered]) -> FlowAcceptor:
        """Make what connects the flows that a gateway opens for its visitors.

        Args:
            session: The one with the gateway.
            node: What it lives on.
            targets: What the gateway knows, by the names it uses.
        """
        # The gateway was chosen by our user, so its word about its visitors is taken.
        there = self._to_targets(targets, session, node, ProxySource.CLIENT)
        return self._built_in.before_public(there, targets)

    def limit(self, multiplexer: Multiplexer) -> None:
        """Apply the limits of services to a session; all sessions share them."""
        options = self._options
        if options.limits:
            if self._throttles is None:
                self._throttles = Throttles(self._loop, options.limits, {*options.targets, *options.reverse})
            multiplexer.throttle(self._throttles)

    def _to_targets(
        self, targets: Mapping[str, Offered], session: PeerSession, node: Node, source: ProxySource
    ) -> FlowAcceptor:
        acceptor: FlowAcceptor = ServiceDialer(services_there(targets), self._loop)
        if self._options.proxy_protocol is not None:
            announce = announcer(session, node, self._options.proxy_protocol, source)
            acceptor = AnnouncingAcceptor(acceptor, announce)
        return acceptor if self._inspector is None else self._inspector.before(acceptor)
