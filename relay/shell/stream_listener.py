"""TCP and TLS ports that clients connect to."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Final

from p2p.address import TransportAddress
from p2p.aio.first_bytes import read_proxy_header
from p2p.aio.tasks import TaskScope, deadline
from p2p.defaults import RELAY_ACCEPT_RETRY_S, RELAY_ACCEPTS_PER_WAKEUP, RELAY_TCP_BACKLOG, RELAY_TLS_HANDSHAKE_S
from p2p.errors import ConnectivityError, DeadlineExceededError, DecodeError, ErrorCode
from p2p.os_errors import reason_of
from relay.core.counters import Drop, RelayCounters
from relay.shell.connections import ConnectionLimiter
from relay.shell.streams import StreamClient

logger = logging.getLogger(__name__)

CODE_LISTEN: Final = ErrorCode(
    "P2P-5304", "Choose an address of this machine and a port that no other program uses for the relay to listen on."
)


class StreamListener:
    """One TCP port, with or without TLS.

    It accepts by itself and not through the library's servers, which would start any number of TLS handshakes that
    never say a word: here a connection is counted from its first moment on.

    Concurrency: one event loop; a task for each TLS handshake, no longer than its deadline.

    Args:
        loop: The event loop.
        address: Where to listen.
        make_client: Makes the protocol of an accepted connection.
        limiter: Counts connections, those whose TLS handshake is not done among them.
        counters: What is counted.
        scope: Where connections are set up.
        tls: The TLS context; None listens for plain TCP.
        is_front: Whether a host passes on connections of others, each with a PROXY header.
        shared: A socket that listens at the address already and that other processes accept from as well.

    Raises:
        ConnectivityError: The address cannot be bound.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: TransportAddress,
        *,
        make_client: Callable[[], StreamClient],
        limiter: ConnectionLimiter,
        counters: RelayCounters,
        scope: TaskScope,
        tls: ssl.SSLContext | None,
        is_front: Callable[[str], bool] = lambda host: False,
        shared: socket.socket | None = None,
    ) -> None:
        self._loop = loop
        self._make_client = make_client
        self._limiter = limiter
        self._counters = counters
        self._scope = scope
        self._tls = tls
        self._is_front = is_front
        self._retry: asyncio.TimerHandle | None = None
        self._socket = shared or listen(address)
        self.address = TransportAddress.from_socket(self._socket.getsockname())
        loop.add_reader(self._socket.fileno(), self._accept)

    @property
    def has_tls(self) -> bool:
        """Whether clients speak TLS here."""
        return self._tls is not None

    def close(self) -> None:
        """Stop to accept connections; those that exist go on."""
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _accept(self) -> None:
        for _ in range(RELAY_ACCEPTS_PER_WAKEUP):
            try:
                accepted, sockaddr = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Out of file descriptors: the connection stays in the backlog, so look away for a moment.
                logger.warning("cannot accept on %s: %s", self.address, error)
                self._loop.remove_reader(self._socket.fileno())
                self._retry = self._loop.call_later(RELAY_ACCEPT_RETRY_S, self._resume)
                return
            accepted.setblocking(False)
            client = self._make_client()
            host = TransportAddress.from_socket(sockaddr).host
            if self._is_front(host):
                self._scope.start(self._set_up_proxied(client, accepted), name=f"connection by {host}")
            elif self._limiter.add(client, host):
                self._scope.start(self._set_up(client, accepted, host), name=f"connection of {host}")
            else:
                self._counters.drops[Drop.CONNECTION_LIMIT] += 1
                accepted.close()

    def _resume(self) -> None:
        self._retry = None
        self._loop.add_reader(self._socket.fileno(), self._accept)

    async def _set_up_proxied(self, client: StreamClient, accepted: socket.socket) -> None:
        """Find out whose connection it is before anything is counted or decrypted."""
        try:
            async with deadline(RELAY_TLS_HANDSHAKE_S, "reading a PROXY header"):
                header = await read_proxy_header(accepted)
        except (OSError, DecodeError, DeadlineExceededError) as error:
            self._counters.drops[Drop.PROXY_HEADER] += 1
            logger.debug("%s", error)
            accepted.close()
            return
        except BaseException:
            accepted.close()
            raise
        client.client_address = header.source or TransportAddress.from_socket(accepted.getpeername())
        if self._limiter.add(client, client.client_address.host):
            await self._set_up(client, accepted, client.client_address.host)
        else:
            self._counters.drops[Drop.CONNECTION_LIMIT] += 1
            accepted.close()

    async def _set_up(self, client: StreamClient, accepted: socket.socket, host: str) -> None:
        is_set_up = False
        try:
            await self._loop.connect_accepted_socket(
                lambda: client,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=RELAY_TLS_HANDSHAKE_S if self._tls is not None else None,
            )
            is_set_up = True
        except OSError as error:  # as are errors of TLS and of its deadline
            logger.debug("connection of %s: %s", host, error)
        finally:
            if not is_set_up:
                self._limiter.remove(client, host)


def listen(address: TransportAddress) -> socket.socket:
    """Listen on a TCP port.

    Args:
        address: Where.

    Raises:
        ConnectivityError: The address cannot be bound (P2P-5304).
    """
    made = socket.socket(socket.AF_INET6 if address.is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the last process's connections, in TIME_WAIT
        if address.is_ipv6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen(RELAY_TCP_BACKLOG)
    except OSError as error:
        made.close()
        what = f"cannot listen on TCP {address}: {reason_of(error)}"
        raise ConnectivityError(what, code=CODE_LISTEN) from error
    return made
