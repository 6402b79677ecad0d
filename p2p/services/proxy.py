"""A proxy on the exposing side: SOCKS5 and CONNECT, to what its rules allow and nothing else."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

from p2p import defaults
from p2p.aio.pair import stream_pair
from p2p.aio.reset import reset_on_close
from p2p.aio.tasks import TaskScope
from p2p.errors import DecodeError
from p2p.proto.proxy import Destination, Outcome, ProxyHandshake, RefusedError
from p2p.proxy_rules import ProxyRule, is_allowed

logger = logging.getLogger(__name__)

Resolve = Callable[[str, int], Awaitable[list[tuple[Any, ...]]]]
"""As ``loop.getaddrinfo`` for stream sockets."""

_OUTCOMES: Final = {
    errno.ECONNREFUSED: Outcome.REFUSED,
    errno.ENETUNREACH: Outcome.UNREACHABLE,
    errno.EHOSTUNREACH: Outcome.UNREACHABLE,
    errno.ETIMEDOUT: Outcome.TIMEOUT,
}


class ProxyService:
    """Connects clients of the other side to destinations that are allowed.

    Names are resolved here, and what they resolve to is what the rules decide about and what is connected to: a name
    that has another address the next moment leads nowhere else.

    Concurrency: one event loop, a few tasks for each connection, all within the ``async with`` block.

    Args:
        rules: What is allowed.
        resolve: Looks names up; None asks the system.
        max_connections: At once, of all peers together.
    """

    def __init__(
        self,
        rules: Sequence[ProxyRule],
        *,
        resolve: Resolve | None = None,
        max_connections: int = defaults.PROXY_CONNECTIONS_MAX,
    ) -> None:
        self._rules = tuple(rules)
        self._resolve = resolve or _ask_system
        self._max_connections = max_connections
        self._open = 0
        self._scope = TaskScope()

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._scope.__aexit__(None, None, None)

    def connect(self) -> socket.socket | None:
        """Begin to serve one more client.

        Returns:
            The other end of it, or None while there are too many.
        """
        if self._open >= self._max_connections:
            return None
        ours, theirs = stream_pair()
        self._open += 1
        self._scope.start(self._serve(ours), name="proxy", closing=(ours,))
        return theirs

    async def _serve(self, client: socket.socket) -> None:
        target: socket.socket | None = None
        try:
            async with asyncio.timeout(defaults.PROXY_BEGIN_S):
                target = await self._begin(client)
            if target is not None:
                await _join(client, target)
        except (OSError, TimeoutError) as error:
            logger.info("proxy: connection ended: %s", error)
            reset_on_close(client)
        finally:
            self._open -= 1
            if target is not None:
                target.close()

    async def _begin(self, client: socket.socket) -> socket.socket | None:
        """Hear where the client wants to go, connect, and tell it.

        Returns:
            The connection, or None after the client was told why not.
        """
        loop = asyncio.get_running_loop()
        handshake = ProxyHandshake()
        try:
            while (destination := handshake.receive(await _some(client))) is None:
                await loop.sock_sendall(client, handshake.data_to_send())
        except RefusedError as refused:
            logger.info("proxy: %s", refused.detail)
            await loop.sock_sendall(client, handshake.data_to_send() + refused.reply)
            return None
        except DecodeError as error:
            logger.info("proxy: %s", error.detail)
            return None
        # A client may send greeting and wish at once.
        greeting = handshake.data_to_send()
        outcome, target = await self._dial(destination)
        logger.info("proxy: %s:%d: %s", destination.host, destination.port, outcome.name.lower())
        await loop.sock_sendall(client, greeting + handshake.answer(outcome))
        if target is not None:
            try:
                await loop.sock_sendall(target, handshake.early)
            except BaseException:
                target.close()
                raise
        return target

    async def _dial(self, destination: Destination) -> tuple[Outcome, socket.socket | None]:
        try:
            async with asyncio.timeout(defaults.PROXY_DIAL_S):
                found = await self._addresses(destination)
                if found is None:
                    return Outcome.NOT_ALLOWED, None
                outcome = Outcome.UNREACHABLE
                for family, address in found:
                    try:
                        async with asyncio.timeout(defaults.PROXY_ADDRESS_S):
                            return Outcome.CONNECTED, await _connect(family, address)
                    except TimeoutError:
                        outcome = Outcome.TIMEOUT
                    except OSError as error:
                        outcome = _OUTCOMES.get(error.errno or 0, Outcome.FAILED)
                return outcome, None
        except TimeoutError:
            return Outcome.TIMEOUT, None

    async def _addresses(self, destination: Destination) -> list[tuple[socket.AddressFamily, Any]] | None:
        """Resolve, and leave what is allowed; None if something was found and nothing of it is."""
        host, port = destination.host, destination.port
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            pass
        else:
            family = socket.AF_INET if address.version == 4 else socket.AF_INET6
            return [(family, (host, port))] if is_allowed(self._rules, "", address, port) else None
        try:
            found = await self._resolve(host, port)
        except OSError:
            found = []
        allowed = [
            (family, address)
            for family, _, _, _, address in found
            if is_allowed(self._rules, host, ipaddress.ip_address(address[0]), port)
        ]
        # What a name outside of the rules resolves to, or that it does not, is nobody's business there.
        return allowed or (None if found or not self._may_ask(host, port) else [])

    def _may_ask(self, host: str, port: int) -> bool:
        anywhere = ipaddress.ip_address("192.0.2.1")
        return is_allowed(self._rules, host, anywhere, port)


async def _ask_system(host: str, port: int) -> list[tuple[Any, ...]]:
    return list(await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM))


async def _connect(family: socket.AddressFamily, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _some(sock: socket.socket) -> bytes:
    data = await asyncio.get_running_loop().sock_recv(sock, defaults.PROXY_READ_BYTES)
    if not data:
        raise ConnectionResetError("the client went before it had said where to")
    return data


async def _join(client: socket.socket, target: socket.socket) -> None:
    """Copy both ways until both have ended; a reset of one side is one of the other."""
    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(_copy(client, target))
            both.create_task(_copy(target, client))
    except* OSError as errors:
        logger.info("proxy: %s", errors.exceptions[0])
        reset_on_close(client)
        reset_on_close(target)


async def _copy(source: socket.socket, sink: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(source, defaults.PROXY_READ_BYTES):
        await loop.sock_sendall(sink, data)
    sink.shutdown(socket.SHUT_WR)
