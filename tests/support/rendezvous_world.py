"""A rendezvous for tests, and a client that speaks its protocol by hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp

from p2p.address import TransportAddress
from p2p.identity import Identity
from p2p.proto.signalling import messages as m
from rendezvous.service import RendezvousConfig, RendezvousService

ALICE = Identity.from_seed(b"a" * 32)
BOB = Identity.from_seed(b"b" * 32)
EVE = Identity.from_seed(b"e" * 32)
LOOPBACK = TransportAddress("127.0.0.1", 0)
BASE = RendezvousConfig(listen=(LOOPBACK,), is_open=True, stun=None, drain_s=0.2)


def url_of(service: RendezvousService, scheme: str = "ws") -> str:
    """The URL of a service's first listener."""
    addresses = service.listen_addresses if scheme == "ws" else service.listen_tls_addresses
    return f"{scheme}://{addresses[0]}"


async def until(condition: Callable[[], object], limit_s: float = 5.0) -> None:
    """Wait until something has become true."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.005)


class RawClient:
    """A WebSocket that speaks the protocol by hand, rightly or wrongly."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def receive(self) -> Any:
        frame = await self.socket.receive(timeout=5)
        assert frame.type is aiohttp.WSMsgType.TEXT, frame
        return json.loads(frame.data)

    async def send(self, message: m.ClientMessage) -> None:
        await self.socket.send_str(m.encode(message).decode())

    async def closed(self) -> int:
        while True:
            frame = await self.socket.receive(timeout=5)
            if frame.type is not aiohttp.WSMsgType.TEXT:
                return self.socket.close_code or 0

    async def log_in(self, identity: Identity, *, signer: Identity | None = None, **changes: Any) -> m.Login:
        challenge = m.decode_server_untrusted(json.dumps(await self.receive()).encode())
        assert isinstance(challenge, m.Challenge)
        transcript = m.login_transcript(challenge.nonce, bytes(identity.peer_id), "127.0.0.1")
        fields: dict[str, Any] = {
            "version": 1,
            "peer": str(identity.peer_id),
            "signature": (signer or identity).sign(transcript),
            "host": "127.0.0.1",
        }
        login = m.Login(**(fields | changes))
        await self.send(login)
        return login


@contextlib.asynccontextmanager
async def raw(service: RendezvousService, **headers: str) -> AsyncIterator[RawClient]:
    async with aiohttp.ClientSession() as session:
        url = f"http://{service.listen_addresses[0]}/v1/signal"
        async with session.ws_connect(url, headers={k.replace("_", "-"): v for k, v in headers.items()}) as socket:
            yield RawClient(socket)
