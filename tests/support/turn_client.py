"""A TURN client over real sockets: drives ``AllocationClient`` over UDP, TCP or TLS."""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import Any

from p2p.address import TransportAddress
from p2p.proto.turn.client import AllocationClient
from p2p.proto.turn.events import AllocationCreated, AllocationFailed, ChannelBound, PeerData, PermissionCreated
from p2p.proto.turn.framing import StreamFramer

PATIENCE_S = 10.0


class TurnClient(asyncio.Protocol, asyncio.DatagramProtocol):
    """One allocation over one socket; an ``async with`` block that has connected but not allocated yet."""

    def __init__(
        self,
        server: TransportAddress,
        *,
        kind: str = "udp",
        username: str = "alice",
        password: str = "wonderland",
        nonce: str | None = None,
        realm: str | None = None,
        address_family: int | None = None,
    ) -> None:
        self.server = server
        self.kind = kind
        self.machine = AllocationClient(
            server=server,
            username=username,
            password=password,
            random_bytes=os.urandom,
            reliable=kind != "udp",
            nonce=nonce,
            realm=realm,
            address_family=address_family,
        )
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self.received: asyncio.Queue[tuple[TransportAddress, bytes]] = asyncio.Queue()
        self.lost = asyncio.Event()
        self.transport: Any = None
        self.sent_messages = 0
        self._framer = StreamFramer()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    async def __aenter__(self) -> TurnClient:
        if self.kind == "udp":
            await self._loop.create_datagram_endpoint(lambda: self, remote_addr=tuple(self.server))
        else:
            context = None
            if self.kind == "tls":
                context = ssl.create_default_context()
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            await self._loop.create_connection(lambda: self, self.server.host, self.server.port, ssl=context)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.kind == "udp":
            self.transport.close()
        else:
            self.transport.abort()
        await asyncio.wait_for(self.lost.wait(), PATIENCE_S)

    # --- asyncio -------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._take(data)

    def error_received(self, exc: Exception) -> None:
        pass

    def data_received(self, data: bytes) -> None:
        self._framer.receive_data(data)
        while (frame := self._framer.next_frame()) is not None:
            self._take(frame)

    # --- what tests do -------------------------------------------------------------------------------------

    async def allocate(self) -> TransportAddress:
        self.machine.start(self._loop.time())
        self._flush()
        event = await self.event()
        assert isinstance(event, AllocationCreated), event
        return event.relayed_address

    async def refusal(self) -> int | None:
        """Allocate in vain; return the error number."""
        self.machine.start(self._loop.time())
        self._flush()
        event = await self.event()
        assert isinstance(event, AllocationFailed), event
        return event.stun_code

    async def permit(self, peer: TransportAddress) -> Any:
        self.machine.create_permission(peer, self._loop.time())
        self._flush()
        return await self.event()

    async def bind(self, peer: TransportAddress) -> int:
        self.machine.bind_channel(peer, self._loop.time())
        self._flush()
        while True:
            event = await self.event()
            if isinstance(event, ChannelBound):
                return event.number
            assert isinstance(event, PermissionCreated), event

    async def release(self) -> None:
        self.machine.close(self._loop.time())
        self._flush()
        await self.event()

    def send(self, peer: TransportAddress, data: bytes) -> None:
        self.write(self.machine.send(peer, data))

    def write(self, data: bytes) -> None:
        if self.kind == "udp":
            self.transport.sendto(data)
        else:
            self.transport.write(data)

    async def receive(self) -> tuple[TransportAddress, bytes]:
        return await asyncio.wait_for(self.received.get(), PATIENCE_S)

    async def event(self) -> Any:
        return await asyncio.wait_for(self.events.get(), PATIENCE_S)

    # --- the machine ---------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        self.machine.receive_datagram(data, self.server, self._loop.time())
        self._flush()

    def _flush(self) -> None:
        now = self._loop.time()
        for datagram in self.machine.datagrams_to_send(now):
            self.sent_messages += 1
            self.write(datagram.data)
        while (event := self.machine.next_event()) is not None:
            if isinstance(event, PeerData):
                self.received.put_nowait((event.peer, event.data))
            else:
                self.events.put_nowait(event)
        if self._timer is not None:
            self._timer.cancel()
        at = self.machine.get_timer()
        self._timer = None if at is None else self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self.machine.handle_timer(self._loop.time())
        self._flush()


class EchoPeer(asyncio.DatagramProtocol):
    """A peer that sends back what it gets, and remembers it."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._host = host
        self.heard: list[tuple[TransportAddress, bytes]] = []
        self.transport: Any = None

    async def __aenter__(self) -> EchoPeer:
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=(self._host, 0))
        self.address = TransportAddress.from_socket(self.transport.get_extra_info("sockname"))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.transport.close()
        await asyncio.sleep(0)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.heard.append((TransportAddress.from_socket(addr), data))
        self.transport.sendto(data, addr)

    def error_received(self, exc: Exception) -> None:
        pass
