"""TCP and TLS ports that clients connect to."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Final, cast

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.defaults import RELAY_TCP_BACKLOG, RELAY_TLS_HANDSHAKE_S
from p2p.errors import ConnectivityError, ErrorCode
from relay.core.counters import Drop, RelayCounters
from relay.shell.connections import ConnectionLimiter

logger = logging.getLogger(__name__)

CODE_LISTEN: Final = ErrorCode(
    "P2P-5304", "Choose an address of this machine and a port that no other program uses for the relay to listen on."
)


class StreamListener:
    """One TCP port, with or without TLS.

    Args:
        loop: The event loop.
        address: Where to listen.
        make_client: Makes the protocol of an accepted connection.
        limiter: Counts connections, those whose TLS handshake is not done among them.
        counters: What is counted.
        scope: Where TLS handshakes run.
        tls: The TLS context; None listens for plain TCP.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: TransportAddress,
        *,
        make_client: Callable[[], asyncio.Protocol],
        limiter: ConnectionLimiter,
        counters: RelayCounters,
        scope: TaskScope,
        tls: ssl.SSLContext | None,
    ) -> None:
        self.address = address
        self._loop = loop
        self._make_client = make_client
        self._limiter = limiter
        self._counters = counters
        self._scope = scope
        self._tls = tls
        self._server: asyncio.Server | None = None

    @property
    def has_tls(self) -> bool:
        """Whether clients speak TLS here."""
        return self._tls is not None

    async def open(self) -> None:
        """Start to listen.

        Raises:
            ConnectivityError: The address cannot be bound.
        """
        try:
            self._server = await self._loop.create_server(
                self._make_client if self._tls is None else self._make_handshake,
                self.address.host,
                self.address.port,
                backlog=RELAY_TCP_BACKLOG,
                reuse_address=True,  # connections of the last process may still be in TIME_WAIT
            )
        except OSError as error:
            what = f"cannot listen on TCP {self.address}: {error.strerror or error}"
            raise ConnectivityError(what, code=CODE_LISTEN) from error
        self.address = TransportAddress.from_socket(self._server.sockets[0].getsockname())

    def close(self) -> None:
        """Stop to accept connections; those that exist go on."""
        if self._server is not None:
            self._server.close()

    def _make_handshake(self) -> asyncio.Protocol:
        assert self._tls is not None
        return _TlsHandshake(
            self._loop,
            tls=self._tls,
            client=self._make_client(),
            limiter=self._limiter,
            counters=self._counters,
            scope=self._scope,
        )


class _TlsHandshake(asyncio.Protocol):
    """Holds an accepted connection until its TLS handshake is done: counted, and no longer than the deadline.

    The library's own TLS server would accept any number of connections that never say a word.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        tls: ssl.SSLContext,
        client: asyncio.Protocol,
        limiter: ConnectionLimiter,
        counters: RelayCounters,
        scope: TaskScope,
    ) -> None:
        self._loop = loop
        self._tls = tls
        self._client = client
        self._limiter = limiter
        self._counters = counters
        self._scope = scope
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # Nothing may be read before the TLS layer is there to read it.
        self._transport.pause_reading()
        peer = transport.get_extra_info("peername")
        if not peer or not self._limiter.add(self, host := TransportAddress.from_socket(peer).host):
            self._counters.drops[Drop.CONNECTION_LIMIT] += 1
            self._transport.abort()
            return
        self._scope.start(self._shake_hands(self._transport, host), name=f"TLS handshake with {host}")

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()

    async def _shake_hands(self, transport: asyncio.Transport, host: str) -> None:
        secure: asyncio.Transport | None = None
        try:
            secure = await self._loop.start_tls(
                transport,
                self._client,
                self._tls,
                server_side=True,
                ssl_handshake_timeout=RELAY_TLS_HANDSHAKE_S,
            )
        except (TimeoutError, OSError, ssl.SSLError) as error:
            logger.debug("TLS handshake with %s: %s", host, error)
        finally:
            self._limiter.remove(self, host)
            if secure is None:
                transport.abort()
        if secure is not None:
            self._client.connection_made(secure)
