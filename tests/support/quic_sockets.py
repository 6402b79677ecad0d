"""Two QUIC connections over real loopback sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from p2p.address import TransportAddress
from p2p.aio.udp import UdpSocket
from p2p.quic import CidRouter, Engine, EngineConfig, QuicConnection, ServerCredentials
from tests.support.quic_world import Recorder


@dataclass
class SocketLink:
    """A ``DatagramLink`` over a socket of its own; ``is_up`` False swallows both directions."""

    local: TransportAddress
    is_up: bool = True
    router: CidRouter = field(default_factory=CidRouter)
    destination: TransportAddress = field(init=False)

    def __post_init__(self) -> None:
        self.udp = UdpSocket(
            asyncio.get_running_loop(), self.local, on_batch=self._on_batch, on_drained=self.router.after_receive
        )

    def send(self, datagrams: Sequence[bytes]) -> int:
        return self.udp.send(datagrams, self.destination) if self.is_up else len(datagrams)

    def call_when_writable(self, callback: Callable[[], object]) -> None:
        self.udp.call_when_writable(callback)

    def packets_lost(self) -> None:
        """There is only one path."""

    def _on_batch(self, buffer: bytes, segment_size: int, source: TransportAddress, now: float) -> None:
        if self.is_up:
            self.router.receive(buffer, segment_size, now)


@dataclass
class Pair:
    """A client and a server."""

    client: QuicConnection
    server: QuicConnection
    client_handler: Recorder
    server_handler: Recorder
    client_link: SocketLink
    server_link: SocketLink

    def set_up(self, is_up: bool) -> None:
        self.client_link.is_up = self.server_link.is_up = is_up


@asynccontextmanager
async def socket_pair(
    client_engine: Engine,
    server_engine: Engine,
    credentials: ServerCredentials,
    public_key: bytes,
    *,
    host: str = "127.0.0.1",
    config: EngineConfig | None = None,
) -> AsyncIterator[Pair]:
    """Make, start and at last close both ends; does not wait for the handshake."""
    loop = asyncio.get_running_loop()
    config = config or EngineConfig()
    links = [SocketLink(TransportAddress(host, 0)) for _ in range(2)]
    client_link, server_link = links
    client_link.destination = server_link.udp.local_address
    server_link.destination = client_link.udp.local_address
    handlers = [Recorder(clock=loop.time), Recorder(clock=loop.time)]
    client = QuicConnection(
        loop, client_engine.client(config), client_link, peer_public_key=public_key, handler=handlers[0]
    )
    server = QuicConnection(
        loop,
        server_engine.server(config, credentials, client.initial_destination_cid),
        server_link,
        peer_public_key=None,
        handler=handlers[1],
    )
    client_link.router.attach(client)
    server_link.router.attach(server)
    server.start()
    client.start()
    try:
        yield Pair(client, server, handlers[0], handlers[1], client_link, server_link)
    finally:
        client.close(0, "test over")
        server.close(0, "test over")
        async with asyncio.timeout(5):
            await client.wait_closed()
            await server.wait_closed()
        for link in links:
            link.udp.close()


async def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until a condition holds, or fail."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
