"""The TCP and UDP ports that are published: each is open while somebody serves it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final, TypeAlias

from gateway.core.registry import RefusedError, Service
from gateway.ingress.front import Arrival, Front, Handle
from gateway.ingress.raw import RawForwarder
from gateway.publishers import Publisher
from p2p.address import TransportAddress
from p2p.errors import ConfigError, ForwardError
from p2p.forward.udp_listener import UdpListenerForward
from p2p.proto.publication import Kind

MakeFront: TypeAlias = Callable[[TransportAddress, Handle], Front]
_Port: TypeAlias = tuple[Kind, int]
_TAKEN: Final = "port {port} is taken on this machine"


class PublishedPorts:
    """The open ports of a gateway.

    Args:
        hosts: IP addresses on which they are opened.
        make_front: Makes the listener of a TCP port.
        raw: Takes its connections.
    """

    def __init__(self, hosts: tuple[str, ...], make_front: MakeFront, raw: RawForwarder) -> None:
        self._hosts = hosts
        self._make_front = make_front
        self._raw = raw
        self._open: dict[_Port, AsyncExitStack] = {}
        self._udp: dict[_Port, list[UdpListenerForward]] = {}

    async def open(self, service: Service[Publisher]) -> None:
        """Open the port of a service, unless it is open.

        Raises:
            RefusedError: Another program of this machine has it.
        """
        port = (service.kind, service.port)
        if port in self._open:
            return
        async with AsyncExitStack() as stack:
            # Taken before anything is awaited, so that two publishers do not open it both.
            self._open[port] = stack
            try:
                for host in self._hosts:
                    await self._listen(stack, service, TransportAddress(host, service.port))
            except (ConfigError, ForwardError) as error:
                del self._open[port]
                self._udp.pop(port, None)
                raise RefusedError(_TAKEN.format(port=service.port), is_final=False) from error
            self._open[port] = stack.pop_all()
        await self.update(service)

    async def update(self, service: Service[Publisher]) -> None:
        """Take note that other instances serve a port than before; without any it is closed.

        Datagrams go to the instance that came first, and to the next one when that is gone or drains: a game or a
        resolver is one program.
        """
        port = (service.kind, service.port)
        if not service.instances:
            self._udp.pop(port, None)
            if (stack := self._open.pop(port, None)) is not None:
                await stack.aclose()
            return
        first = next((there for there in service.instances if there.takes_visitors), service.instances[0])
        for listener in self._udp.get(port, ()):
            first.attach(listener)

    async def close(self) -> None:
        """Close all ports."""
        while self._open:
            _, stack = self._open.popitem()
            await stack.aclose()

    async def _listen(self, stack: AsyncExitStack, service: Service[Publisher], address: TransportAddress) -> None:
        if service.kind == "udp":
            listener = UdpListenerForward(
                address,
                loop=asyncio.get_running_loop(),
                admits=lambda source: service.policy.admits_address(source.host),
            )
            self._udp.setdefault(("udp", service.port), []).append(await stack.enter_async_context(listener))
            return

        async def arrived(arrival: Arrival) -> None:
            self._raw.forward(service, arrival)

        await stack.enter_async_context(self._make_front(address, arrived))
