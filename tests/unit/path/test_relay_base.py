"""What an allocation is asked for on behalf of sessions, and what is given back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from p2p.address import TransportAddress
from p2p.path.relay_base import RelayBase
from p2p.proto.ice.candidate import RelayProtocol
from p2p.proto.turn.client import AllocationClient

SERVER = TransportAddress("198.51.100.1", 3478)
PEER = TransportAddress("203.0.113.1", 9)


class Carrier:
    """Takes everything and delivers nothing."""

    protocol = RelayProtocol.UDP
    socket_base_id = None

    def send(self, messages: Any) -> int:
        return len(messages)

    def close(self) -> None:
        """Nothing to close."""


@asynccontextmanager
async def relay_base() -> AsyncIterator[tuple[RelayBase, AllocationClient]]:
    client = AllocationClient(server=SERVER, username="u", password="p", random_bytes=os.urandom, reliable=False)
    base = RelayBase(asyncio.get_running_loop(), None, 1, client, Carrier(), SERVER)  # type: ignore[arg-type]
    try:
        yield base, client
    finally:
        base.close()


async def test_a_permission_lasts_as_long_as_any_session_wants_it() -> None:
    async with relay_base() as (base, client):
        base.permit(PEER)
        base.permit(PEER)
        base.forbid(PEER)
        assert client._peers.permits(PEER)
        base.forbid(PEER)
        assert not client._peers.permits(PEER)


async def test_sessions_that_come_and_go_leave_nothing() -> None:
    async with relay_base() as (base, client):
        for number in range(1, 3000):
            peer = TransportAddress(f"203.0.{number % 250}.{number // 250}", number)
            base.permit(peer)
            base.bind(peer)
            base.forbid(peer)
        assert not client._peers._permissions
        assert not base._wanted


async def test_without_a_channel_number_the_long_header_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2p.proto.turn.peers.LAST_CHANNEL", 0x4002)
    async with relay_base() as (base, client):
        peers = [TransportAddress(f"203.0.113.{number}", 9) for number in range(1, 9)]
        for peer in peers:
            base.permit(peer)
            base.bind(peer)
        assert client._peers.permits(peers[-1])
        assert client.send(peers[-1], b"x").startswith(bytes.fromhex("0016"))
