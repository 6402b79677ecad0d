"""All that one connecting program listens on, opened and attached to sessions together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from p2p.address import TransportAddress
from p2p.forward.compression import Compression
from p2p.forward.listener import StreamListenerForward
from p2p.forward.multiplexer import Multiplexer
from p2p.forward.udp_listener import UdpListenerForward
from p2p.target import Target, TcpTarget, UdpTarget, UnixTarget


class Listeners:
    """A listener for each service.

    Concurrency: one event loop, no task; they listen from the beginning of the ``async with`` block to its end.

    Args:
        places: Where each service appears, by its name; empty for the session's own.
        loop: The event loop.
        compression: Compresses what connections say; None leaves it as it is. Datagrams are left alone.
    """

    def __init__(
        self, places: Mapping[str, Target], *, loop: asyncio.AbstractEventLoop, compression: Compression | None = None
    ) -> None:
        self.addresses: dict[str, Target] = {}
        """Where each service appears, once it is open."""
        self._places = places
        self._loop = loop
        self._compression = compression
        self._open: list[StreamListenerForward | UdpListenerForward] = []
        self._stack = AsyncExitStack()

    def __str__(self) -> str:
        return " ".join(f"{name}={place}" if name else str(place) for name, place in self.addresses.items())

    @property
    def datagrams_dropped(self) -> int:
        """Datagrams that no session got."""
        return sum(listener.dropped for listener in self._open if isinstance(listener, UdpListenerForward))

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for service, place in self._places.items():
                self.addresses[service] = await self._listen(stack, service, place)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def attach(self, multiplexer: Multiplexer) -> None:
        """Give what comes to this session from now on, what waits first."""
        for listener in self._open:
            listener.attach(multiplexer)

    def detach(self) -> None:
        """Have what comes wait until the next session is attached."""
        for listener in self._open:
            listener.detach()

    def of(self, service: str) -> list[StreamListenerForward | UdpListenerForward]:
        """The listeners of one service."""
        return [listener for listener in self._open if listener.service == service]

    async def _listen(self, stack: AsyncExitStack, service: str, place: Target) -> Target:
        match place:
            case UdpTarget(host, port):
                udp = UdpListenerForward(TransportAddress(host, port), loop=self._loop, service=service)
                self._open.append(await stack.enter_async_context(udp))
                return UdpTarget(*udp.address)
            case TcpTarget() | UnixTarget():
                streams = StreamListenerForward(place, loop=self._loop, service=service, compression=self._compression)
                self._open.append(await stack.enter_async_context(streams))
                return streams.place
