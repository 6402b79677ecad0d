"""The STUN service: sockets around the responder, over UDP and TCP, alone or beside a relay on the same port."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Final, Self, TypeAlias, cast

from p2p.address import TransportAddress
from p2p.aio.udp import UdpSocket
from p2p.defaults import STUN_STREAM_CONNECTIONS, STUN_STREAM_IDLE_S
from p2p.errors import ConfigError, ConnectivityError, DecodeError
from p2p.os_errors import reason_of
from p2p.proto.stun.responder import BindingResponder
from p2p.proto.turn.framing import StreamFramer
from rendezvous.config import StunConfig
from rendezvous.listener import CODE_LISTEN
from rendezvous.metrics import Metrics

logger = logging.getLogger(__name__)

SendFrom: TypeAlias = Callable[[TransportAddress, bytes, TransportAddress], object]
"""``send_from(local, data, destination)``: answer out of a socket that somebody else owns."""

_WILDCARDS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to
# Documentation addresses: nothing is sent there, the kernel only says which address it would send from.
_FAR_AWAY: Final = {4: "192.0.2.1", 6: "2001:db8::1"}


class StunService:
    """Answers Binding requests (RFC 8489, RFC 5780, RFC 3489) inside its ``async with`` block.

    It is a relay's ``BindingService`` as well: ``share`` names the sockets that the relay owns, which are then not
    bound here, and ``handle`` answers out of them, so that one port serves STUN and TURN.

    Concurrency: one event loop, no task.

    Args:
        config: The addresses.
        metrics: Where answers are counted.

    Attributes:
        public_addresses: How clients reach the well-known ports; known inside the block.
        take_knock: Takes pieces of knocks that come by UDP; see ``BindingResponder``.
    """

    def __init__(self, config: StunConfig, metrics: Metrics) -> None:
        self._config = config
        self._answered_udp = metrics.stun.labels("udp")
        self._answered_tcp = metrics.stun.labels("tcp")
        self._shared: dict[TransportAddress, SendFrom] = {}
        self._shared_tcp: frozenset[TransportAddress] = frozenset()
        # A relay may own a wildcard socket where our plan names an address: the responder knows the plan's names only.
        self._planned: dict[TransportAddress, TransportAddress] = {}
        self._senders: dict[TransportAddress, Callable[[bytes, TransportAddress], object]] = {}
        self._sockets: list[UdpSocket] = []
        self._servers: list[asyncio.Server] = []
        self._streams: set[asyncio.Transport] = set()
        self._responder = BindingResponder(())
        self.public_addresses: tuple[TransportAddress, ...] = ()
        self.take_knock: Callable[[bytes, TransportAddress], bool] = _refuse_knock

    def share(
        self,
        udp_addresses: Sequence[TransportAddress],
        send_from: SendFrom,
        *,
        tcp_addresses: Sequence[TransportAddress] = (),
    ) -> None:
        """Leave sockets to a relay in this process; call it before the block begins.

        Args:
            udp_addresses: What the relay binds and names as ``local`` in ``handle``.
            send_from: Sends out of one of those.
            tcp_addresses: What the relay listens on with TCP.
        """
        self._shared = dict.fromkeys(udp_addresses, send_from)
        self._shared_tcp = frozenset(tcp_addresses)

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop answering; the relay's sockets stay open."""
        for udp in self._sockets:
            udp.close()
        for server in self._servers:
            server.close()
        for transport in tuple(self._streams):
            transport.abort()
        self._sockets.clear()
        self._servers.clear()
        self._senders.clear()
        self._planned.clear()

    def handle(self, data: bytes, source: TransportAddress, local: TransportAddress) -> bool:
        """Answer a datagram that arrived at one of our sockets or a shared one.

        Returns:
            Whether it was a Binding request.
        """
        reply = self._responder.respond(data, source, self._planned.get(local, local))
        if reply is None:
            return False
        send = self._senders.get(reply.local)
        if send is not None:
            send(reply.data, reply.destination)
            self._answered_udp.inc()
        return True

    def answer_stream(self, data: bytes, source: TransportAddress, local: TransportAddress) -> bytes | None:
        """Answer a message of a byte stream; None when there is nothing to say."""
        reply = self._responder.respond(data, source, local, reliable=True)
        if reply is None:
            return None
        self._answered_tcp.inc()
        return reply.data

    def stream_protocol(self) -> asyncio.Protocol:
        """Make the protocol of one STUN connection that somebody else accepted."""
        return StunStreamProtocol(self, self._streams)

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        advertised: dict[TransportAddress, TransportAddress] = {}
        main = []
        for local, public, is_main in self._plan():
            bound = self._bind(loop, local)
            if bound is None:
                continue
            planned = local._replace(port=bound.port)
            advertised[planned] = public._replace(port=bound.port)
            if is_main:
                main.append(advertised[planned])
            if self._config.tcp and not _find(local, self._shared_tcp):
                await self._listen(loop, planned)
        self._responder = BindingResponder(
            tuple(advertised), advertised=advertised, take_knock=lambda piece, source: self.take_knock(piece, source)
        )
        self.public_addresses = tuple(main)
        for planned, public in advertised.items():
            logger.info("STUN on %s, told to clients as %s", planned, public)

    def _plan(self) -> list[tuple[TransportAddress, TransportAddress, bool]]:
        """List local addresses, what clients see instead, and whether each has the well-known port."""
        config = self._config
        plan = []
        for position, host in enumerate(config.addresses):
            if config.public_addresses:
                public = config.public_addresses[position]
            else:
                public = _outward_address(host) if host in _WILDCARDS else host
            plan.append((TransportAddress(host, config.port), TransportAddress(public, config.port), True))
            if config.alternate_port is not None:
                alternate = config.alternate_port
                plan.append((TransportAddress(host, alternate), TransportAddress(public, alternate), False))
        return plan

    def _bind(self, loop: asyncio.AbstractEventLoop, local: TransportAddress) -> TransportAddress | None:
        """Take a socket of our own, or the relay's; None where the host has no IPv6."""
        shared = _find(local, self._shared)
        if shared is not None:
            if shared in self._planned:
                raise ConfigError(f"the relay's {shared} stands for several STUN addresses: list them in the relay too")
            self._planned[shared] = local
            self._senders[local] = partial(self._shared[shared], shared)
            return shared
        try:
            udp = UdpSocket(loop, local, on_batch=partial(self._receive, len(self._sockets)), on_drained=_nothing)
        except ConnectivityError as error:
            if local.host == "::":
                logger.info("no STUN over IPv6: %s", error)
                return None
            raise ConfigError(f"cannot serve STUN on {local}: {error.detail}", code=CODE_LISTEN) from error
        self._sockets.append(udp)
        bound = udp.local_address
        self._planned[bound] = local._replace(port=bound.port)
        self._senders[self._planned[bound]] = lambda data, destination: udp.send([data], destination)
        return bound

    async def _listen(self, loop: asyncio.AbstractEventLoop, local: TransportAddress) -> None:
        try:
            self._servers.append(await loop.create_server(self.stream_protocol, local.host, local.port))
        except OSError as error:
            what = f"cannot serve STUN over TCP on {local}: {reason_of(error)}"
            raise ConfigError(what, code=CODE_LISTEN) from error

    def _receive(self, index: int, buffer: bytes, segment_size: int, source: TransportAddress, now: float) -> None:
        local = self._sockets[index].local_address
        for start in range(0, len(buffer), segment_size):
            self.handle(buffer[start : start + segment_size], source, local)


class StunStreamProtocol(asyncio.Protocol):
    """One STUN connection over TCP or TLS.

    Args:
        service: Answers.
        streams: Where the connection is noted, for the service to close.
    """

    __slots__ = ("_framer", "_local", "_service", "_source", "_streams", "_timer", "_transport")

    def __init__(self, service: StunService, streams: set[asyncio.Transport]) -> None:
        self._service = service
        self._streams = streams
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._source = self._local = TransportAddress("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the connection and begin to wait."""
        self._transport = cast("asyncio.Transport", transport)
        source, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if not source or not local or len(self._streams) >= STUN_STREAM_CONNECTIONS:
            self._transport.abort()
            return
        self._source, self._local = TransportAddress.from_socket(source), TransportAddress.from_socket(local)
        self._streams.add(self._transport)
        self._rearm()

    def data_received(self, data: bytes) -> None:
        """Answer each whole message; close a stream that is not STUN."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._framer.receive_data(data)
        try:
            while (frame := self._framer.next_frame()) is not None:
                answer = self._service.answer_stream(frame, self._source, self._local)
                if answer is not None:
                    transport.write(answer)
                    self._rearm()
        except DecodeError:
            transport.abort()

    def pause_writing(self) -> None:
        """Cut a client that asks and does not read the answers."""
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the connection."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._streams.discard(self._transport)
        self._transport = None

    def _rearm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        assert self._transport is not None
        self._timer = asyncio.get_running_loop().call_later(STUN_STREAM_IDLE_S, self._transport.abort)


def _find(address: TransportAddress, shared: Iterable[TransportAddress]) -> TransportAddress | None:
    """Find the shared socket that occupies an address: the same, or a wildcard on either side."""
    for candidate in shared:
        if (
            candidate.port == address.port
            and candidate.is_ipv6 == address.is_ipv6
            and (candidate.host == address.host or candidate.host in _WILDCARDS or address.host in _WILDCARDS)
        ):
            return candidate
    return None


def _outward_address(wildcard: str) -> str:
    """The address that this host uses towards the Internet; loopback when it has no way there."""
    version = 6 if ":" in wildcard else 4
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((_FAR_AWAY[version], 9))
            return TransportAddress.from_socket(probe.getsockname()).host
    except OSError:
        return "::1" if version == 6 else "127.0.0.1"


def _refuse_knock(piece: bytes, source: TransportAddress) -> bool:
    """Nobody has said where to pass knocks on."""
    return False


def _nothing(now: float) -> None:
    """Answers are sent as they are made."""
