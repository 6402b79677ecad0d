"""Garbage to every port of every program, while a transfer runs: nothing falls over, and nobody logs a failure."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType

from p2p.identity import Identity, PeerId, Ticket
from p2p.proto.signalling.bodies import Answer, Farewell, Offer, Refusal, Trickle, encode
from p2p.proto.signalling.messages import BODY_MAX_BYTES
from p2p.proto.tunnel.ticket_proof import make_ticket_proof
from p2p.signalling import SignallingClient
from tests.support.authority import Authority
from tests.support.commands import Command, Peers
from tests.support.garbage import Garbage, flood_tcp, flood_udp
from tests.support.ports import free_ports
from tests.support.processes import ports, resident_bytes
from tests.support.tcp_services import TcpService, echo, exchange, pattern

GROWTH_MAX_BYTES = 48 << 20
"""Buffers of the transfer and the allocator's slack; a leak of 10 KiB a bad message would be three times as much."""
EVE = Identity.from_seed(b"eve" + bytes(29))
MESSAGES = (
    b'{"type":"resolve","id":1,"peer":"' + b"a" * 52 + b'","service":"web"}',
    b'{"type":"publish","id":2,"service":"web"}',
    b'{"type":"renew","id":3}',
    b'{"type":"signal","to":"' + b"a" * 52 + b'","body":"AAAA"}',
)


@contextmanager
def watched(*programs: Command) -> Iterator[None]:
    """See that the programs live on, and that their memory does not grow."""
    before = {program: resident_bytes(program.pid) for program in programs}
    yield
    for program, was in before.items():
        assert resident_bytes(program.pid) - was < GROWTH_MAX_BYTES, program


class Transfer(threading.Thread):
    """Sends blocks through an echo again and again, and notes whether each came back right."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.blocks = 0
        self.problems: list[str] = []
        self._is_over = threading.Event()
        self.start()

    def run(self) -> None:
        block = pattern(4 << 20)
        expected = hashlib.sha256(block).digest()
        while not self._is_over.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=30) as sock:
                    if exchange(sock, block) != expected:
                        self.problems.append("wrong bytes")
            except OSError as error:
                self.problems.append(str(error))
            self.blocks += 1

    def finish(self) -> None:
        self._is_over.set()
        self.join(60)
        assert not self.problems
        assert self.blocks >= 1


@pytest.mark.parametrize("scheme", ["plain", "tls"])
def test_everything_keeps_serving_under_garbage(tmp_path: Path, scheme: str) -> None:
    garbage = Garbage(seed=20_241)
    http_port, stun_port, _ = free_ports(3)
    authority = Authority(tmp_path)
    flags = ["serve", "--open", "--listen", "127.0.0.1", "--danger-allow-private-peers"]
    flags += ["--http-port", str(http_port), "--stun-port", str(stun_port)]
    trust: list[str] = []
    if scheme == "tls":
        flags += ["--tls-cert", str(authority.certificate), "--tls-key", str(authority.key)]
        trust = ["--ca-file", str(authority.root)]
    home = tmp_path / "server"
    home.mkdir()
    with Command(home, flags) as serve, TcpService(echo) as service:
        url = serve.wait_for("serving")["rendezvous"]
        peers = Peers(tmp_path, url)
        with (
            peers.expose(service.target.port, *trust) as (ticket, exposer),
            peers.connect(ticket, *trust) as (port, connector),
        ):
            transfer = Transfer(port)
            while transfer.blocks < 1:
                time.sleep(0.05)
            with watched(serve, exposer, connector):
                udp = [number for program in (serve, exposer, connector) for number in ports(program.pid, "udp")]
                tcp = ports(serve.pid, "tcp")
                assert {stun_port, stun_port + 1} <= set(udp)
                assert {http_port, stun_port} <= set(tcp)
                # STUN with the alternate port, one relayed address at least, sockets of both peers.
                assert len(udp) >= 5
                threads = [threading.Thread(target=flood_udp, args=(Garbage(seed), udp, 4000)) for seed in (1, 2)]
                threads.append(threading.Thread(target=flood_tcp, args=(Garbage(3), tcp, 150)))
                if scheme == "tls":
                    threads.append(
                        threading.Thread(target=flood_tcp, args=(Garbage(4), [http_port], 100, authority.context()))
                    )
                for thread in threads:
                    thread.start()
                asyncio.run(strangers_and_guests(garbage, url, ticket, authority if scheme == "tls" else None))
                for thread in threads:
                    thread.join(60)
                transfer.finish()
            health = url.replace("ws", "http", 1) + "/healthz"
            context = authority.context() if scheme == "tls" else None
            with urllib.request.urlopen(health, timeout=5, context=context) as answer:
                assert answer.read() == b"ok\n"
            with peers.connect(ticket, *trust) as (port, _), socket.create_connection(("127.0.0.1", port)) as sock:
                sock.sendall(b"still here")
                assert sock.recv(100) == b"still here"
        # Leaving the blocks asserts that nobody wrote a word to standard error.


async def strangers_and_guests(garbage: Garbage, url: str, ticket_text: str, authority: Authority | None) -> None:
    """Speak to the rendezvous and to the exposer as somebody who has logged in, and as a holder of the ticket."""
    ticket = Ticket.parse(ticket_text)
    context = None if authority is None else authority.context()
    async with SignallingClient([url], EVE, ssl_context=context) as client:
        await client.welcome()
        for body in hostile_bodies(garbage, ticket):
            if len(body) < BODY_MAX_BYTES - 256:
                await client.send(ticket.peer_id, body, instance=ticket.service, confirm=False)
            await asyncio.sleep(0.01)
        # What is no message at all goes around the client.
        assert client._link is not None
        for _ in range(40):
            await client._link._socket.send_frame(garbage.json(MESSAGES), WSMsgType.TEXT)
            await asyncio.sleep(0.01)


def hostile_bodies(garbage: Garbage, ticket: Ticket) -> Iterator[bytes]:
    """Bodies for an exposer: offers with a right proof and bad parts, and changed bodies of all kinds."""
    bodies: tuple[Any, ...] = (
        offer_of(ticket),
        Answer(session="0" * 32, ice={}),
        Refusal(session="0" * 32, code=1),
        Trickle(session="0" * 32, candidates=("candidate:1 1 udp 1 127.0.0.1 9 typ host",), nat={"mapping": []}),
        Farewell(session="0" * 32),
    )
    samples = [encode(body) for body in bodies]
    for _ in range(60):
        yield garbage.json(samples)
    # All of these are let in as far as to a session that never comes about.
    lines = [f"candidate:1 1 udp {garbage.random.randrange(1, 2**31)} 203.0.113.{n} 9 typ host" for n in range(1, 32)]
    for candidates in (lines, ["x" * 300] * 32, ["candidate:" + " 1" * 100], lines[:1] * 32):
        yield encode(offer_of(ticket, candidates=tuple(candidates), nat={"mapping": 7, "port_step": 10**30}))
    nested: Any = {}
    for _ in range(200):
        nested = {"nat": nested}
    yield encode(offer_of(ticket, nat=nested))
    yield encode(offer_of(ticket, initial_dcid=bytes(20)))
    session = os.urandom(16).hex()
    for _ in range(5):
        yield encode(offer_of(ticket, session=session))
        yield json.dumps(
            {"type": "trickle", "session": session, "candidates": lines, "nat": {"dependent": []}}
        ).encode()
    yield encode(Farewell(session=session))


def offer_of(ticket: Ticket, *, session: str | None = None, **changes: Any) -> Offer:
    """An offer that the exposer must take."""
    session = session or os.urandom(16).hex()
    proof = make_ticket_proof(
        secret=ticket.secret,
        binding=bytes.fromhex(session),
        dialer_id=EVE.peer_id.public_key,
        exposer_id=PeerId(ticket.peer_id.public_key).public_key,
        service=ticket.service,
    )
    fields: dict[str, Any] = {"ice": {"ufrag": "evil", "password": "e" * 22}, "initial_dcid": os.urandom(8), **changes}
    return Offer(session=session, service=ticket.service, proof=proof, **fields)
