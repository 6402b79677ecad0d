"""The real rendezvous and relay in the hands of an attacker, who sees and may change all that passes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from p2p.address import TransportAddress
from p2p.identity import PeerId
from p2p.proto.signalling.messages import Login, SignalDelivery, SignalRequest, encode
from relay.core.allocation import Allocation, Payload, RelayedSocket
from relay.shell.relayed import RelayedUdpSocket
from rendezvous.connection import Connection
from rendezvous.core.registry import Seat
from tests.support.peers import World, world

OnSignal: TypeAlias = Callable[[SignalRequest, Seat], Awaitable[SignalRequest | None]]
"""Gets a signal and its sender's seat; returns what to pass on, or None for nothing."""
OnRelayed: TypeAlias = Callable[[RelayedSocket, bytes, TransportAddress, bool], bytes | None]
"""Gets a relayed address, a datagram, the peer and whether it is from there; returns what to pass on, or None."""


class Attacker:
    """Who runs the servers.

    Attributes:
        signals: Every signal that was sent, with its sender.
        logins: Every login.
        relayed: Every datagram to or from a peer of the relay.
        peers: Who sent to a relayed address, or was sent to from one.
        on_signal: Changes signals.
        on_relayed: Changes datagrams.
    """

    def __init__(self) -> None:
        self.signals: list[tuple[Seat, SignalRequest]] = []
        self.logins: list[Login] = []
        self.relayed: list[bytes] = []
        self.peers: set[TransportAddress] = set()
        self.on_signal: OnSignal | None = None
        self.on_relayed: OnRelayed | None = None
        self.connections: list[Connection] = []
        self._send = RelayedUdpSocket.send

    async def inject(self, receiver: PeerId, instance: str, sender: PeerId, body: bytes) -> None:
        """Deliver a body to a client, as if a peer had sent it."""
        message = encode(SignalDelivery(sender=str(sender), body=body))
        for connection in self.connections:
            if connection._seat == Seat(receiver, instance):
                await connection.deliver(message)

    def send_from_relay(self, socket: RelayedSocket, payloads: Sequence[Payload], peer: TransportAddress) -> None:
        """Send datagrams out of a relayed address, past ``on_relayed``."""
        assert isinstance(socket, RelayedUdpSocket)
        for payload in payloads:
            self._send(socket, (payload,), peer)

    def keep(
        self, socket: RelayedSocket, payloads: Sequence[Payload], peer: TransportAddress, *, is_inbound: bool
    ) -> list[Payload]:
        """Record datagrams, and say what is left of them."""
        self.peers.add(peer)
        kept: list[Payload] = []
        for payload in map(bytes, payloads):
            self.relayed.append(payload)
            changed = payload if self.on_relayed is None else self.on_relayed(socket, payload, peer, is_inbound)
            if changed is not None:
                kept.append(changed)
        return kept


@asynccontextmanager
async def hostile_world(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[World, Attacker]]:
    """Run servers that tell the attacker everything."""
    attacker = Attacker()

    class TappedConnection(Connection):
        async def run(self, early_login: Login | None = None) -> None:
            attacker.connections.append(self)
            await super().run(early_login)

        async def _admit(self, login: Login, seat: Seat) -> None:
            attacker.logins.append(login)
            await super()._admit(login, seat)

        async def _forward(self, message: SignalRequest, seat: Seat) -> None:
            attacker.signals.append((seat, message))
            changed = message if attacker.on_signal is None else await attacker.on_signal(message, seat)
            if changed is not None:
                await super()._forward(changed, seat)

    receive_from_peer = Allocation.receive_from_peer

    def receive(self: Allocation, peer: TransportAddress, payloads: Sequence[Payload]) -> None:
        for kept in attacker.keep(self.sockets[peer.is_ipv6], payloads, peer, is_inbound=True):
            receive_from_peer(self, peer, (kept,))

    def send(self: RelayedUdpSocket, payloads: Sequence[Payload], peer: TransportAddress) -> None:
        attacker.send_from_relay(self, attacker.keep(self, payloads, peer, is_inbound=False), peer)

    monkeypatch.setattr("rendezvous.web.Connection", TappedConnection)
    monkeypatch.setattr(Allocation, "receive_from_peer", receive)
    monkeypatch.setattr(RelayedUdpSocket, "send", send)
    async with world(folder) as here:
        yield here, attacker
