"""One port for two protocols: HTTP, and STUN or TURN over a stream.

The first byte tells them apart: a STUN message, with which every TURN client begins, starts with 0x00 to 0x03 (RFC 7983
section 7); HTTP starts with a letter. Under TLS the byte that counts is the first one inside.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from p2p.address import TransportAddress
from p2p.defaults import RENDEZVOUS_BACKLOG, RENDEZVOUS_LOGIN_TIMEOUT_S, RENDEZVOUS_SOCKETS_PER_HOST
from p2p.errors import ConfigError, ErrorCode
from p2p.os_errors import reason_of

ProtocolFactory = Callable[[], asyncio.BaseProtocol]

CODE_LISTEN: Final = ErrorCode(
    "P2P-1403",
    "Choose an address of this machine and a port that no other program uses for the rendezvous to listen on.",
)

_FIRST_BYTE_OF_STUN_MAX: Final = 0x03
_SWEEP_LEAST: Final = 256


class Listener:
    """The listening sockets of a server, and the connections that have not said yet what they are.

    Concurrency: one event loop. No task; one timer for each waiting connection.

    Args:
        http: Makes the protocol of an HTTP connection.
        foreign: Makes the protocol of a STUN or TURN connection; it is given ``connection_made`` and then the first
            bytes by ``data_received``, buffered protocols too. None closes such connections.
        waiting_limit: How many connections may wait at once; more are closed.
        host_limit: How many connections one client host may have open, waiting or not; more are closed.
        is_proxy: Tells hosts that speak for many clients, to whom that limit does not apply.
    """

    def __init__(
        self,
        http: ProtocolFactory,
        foreign: ProtocolFactory | None,
        *,
        waiting_limit: int,
        host_limit: int = RENDEZVOUS_SOCKETS_PER_HOST,
        is_proxy: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.http: Final = http
        self.foreign: Final = foreign
        self.waiting: Final[set[asyncio.Transport]] = set()
        self.waiting_limit: Final = waiting_limit
        self._host_limit = host_limit
        self._is_proxy = is_proxy
        self._open: dict[str, list[asyncio.Transport]] = {}
        self._noted = 0
        self._sweep_at = _SWEEP_LEAST
        self._servers: list[asyncio.Server] = []

    async def listen(self, address: TransportAddress, context: ssl.SSLContext | None = None) -> TransportAddress:
        """Listen on an address.

        Args:
            address: Port 0 lets the kernel choose.
            context: For TLS; None for none.

        Returns:
            The address with the port in use.

        Raises:
            ConfigError: The address cannot be used.
        """
        try:
            server = await asyncio.get_running_loop().create_server(
                lambda: FirstByteProtocol(self),
                address.host,
                address.port,
                backlog=RENDEZVOUS_BACKLOG,
                ssl=context,
                ssl_handshake_timeout=RENDEZVOUS_LOGIN_TIMEOUT_S if context else None,
            )
        except OSError as error:
            raise ConfigError(f"cannot listen on {address}: {reason_of(error)}", code=CODE_LISTEN) from error
        self._servers.append(server)
        return TransportAddress.from_socket(server.sockets[0].getsockname())

    def admit(self, transport: asyncio.Transport) -> bool:
        """Count a new connection for as long as it is open, whoever gets it.

        Returns:
            Whether its host may have one more.
        """
        peer = transport.get_extra_info("peername")
        host = str(peer[0]) if peer else ""
        if self._is_proxy(host):
            return True
        connections = self._open.setdefault(host, [])
        if len(connections) >= self._host_limit:
            connections[:] = [other for other in connections if not other.is_closing()]
            if len(connections) >= self._host_limit:
                return False
        connections.append(transport)
        self._noted += 1
        if self._noted >= self._sweep_at:
            self._sweep()
        return True

    def _sweep(self) -> None:
        """Forget connections that have ended: only their new owners hear of it, so it is looked up, and seldom."""
        for host, connections in tuple(self._open.items()):
            self._open[host] = left = [transport for transport in connections if not transport.is_closing()]
            if not left:
                del self._open[host]
        self._noted = sum(map(len, self._open.values()))
        self._sweep_at = max(_SWEEP_LEAST, 2 * self._noted)

    def close(self) -> None:
        """Take no more connections and cut those that wait. Those given away are their new owners'."""
        for server in self._servers:
            server.close()
        for transport in tuple(self.waiting):
            transport.abort()


class FirstByteProtocol(asyncio.Protocol):
    """Waits for the first bytes of a connection and gives it to whom they belong.

    Args:
        listener: Whom it works for.
    """

    __slots__ = ("_listener", "_timer", "_transport")

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait."""
        # uvloop's transports are transports in all but their class.
        self._transport = cast("asyncio.Transport", transport)
        if len(self._listener.waiting) >= self._listener.waiting_limit or not self._listener.admit(self._transport):
            self._transport.abort()
            return
        self._listener.waiting.add(self._transport)
        self._timer = asyncio.get_running_loop().call_later(RENDEZVOUS_LOGIN_TIMEOUT_S, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        """Choose, and hand over the connection and what was read."""
        transport = self._leave()
        if transport is None or transport.is_closing():
            return
        factory = self._listener.foreign if data[0] <= _FIRST_BYTE_OF_STUN_MAX else self._listener.http
        if factory is None:
            transport.abort()
            return
        protocol = factory()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        cast("asyncio.Protocol", protocol).data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        """Stop waiting: the client left without a word."""
        self._leave()

    def _leave(self) -> asyncio.Transport | None:
        transport, self._transport = self._transport, None
        if transport is not None:
            self._listener.waiting.discard(transport)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return transport


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Make the TLS settings of a listener.

    ``load_certificate`` may be called on the result again when the files have changed.

    Raises:
        ConfigError: The files are no certificate and its key.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # RFC 7443 names TURN under TLS; clients that send it must find it chosen.
    context.set_alpn_protocols(["http/1.1", "stun.turn"])
    load_certificate(context, certificate, key)
    return context


def load_certificate(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Read certificate and key; connections from now on get them.

    Raises:
        ConfigError: The files are no certificate and its key.
    """
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot use certificate {certificate} with key {key}: {error}") from error
