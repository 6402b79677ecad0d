"""The local UDP port: sources become flows, replies go back, what waits is bounded."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from p2p import defaults
from p2p.address import TransportAddress
from p2p.errors import ForwardError
from p2p.forward.udp_listener import UdpListenerForward
from p2p.proto.tunnel.codes import StreamCode
from tests.support.forward_session import Session, until

ANY_PORT = TransportAddress("127.0.0.1", 0)


@asynccontextmanager
async def listening(**options: Any) -> AsyncIterator[UdpListenerForward]:
    async with UdpListenerForward(ANY_PORT, loop=asyncio.get_running_loop(), **options) as listener:
        yield listener


def client(listener: UdpListenerForward) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(listener.address)
    sock.setblocking(False)
    return sock


async def receive(sock: socket.socket) -> bytes:
    async with asyncio.timeout(5):
        return await asyncio.get_running_loop().sock_recv(sock, 1 << 16)


async def test_each_source_has_its_flow_and_its_replies() -> None:
    async with Session() as session, listening(service="game") as listener:
        listener.attach(session.dialer)
        with client(listener) as one, client(listener) as two:
            one.send(b"from one")
            two.send(b"from two")
            two.send(b"")
            await until(lambda: len(session.acceptor.ports) == 2 and len(session.acceptor.ports[1].got) == 2)
            assert [port.got for port in session.acceptor.ports] == [[b"from one"], [b"from two", b""]]
            assert [header.service for header in session.acceptor.headers] == ["game", "game"]
            assert session.acceptor.headers[0].origin == TransportAddress.from_socket(one.getsockname())
            assert session.acceptor.headers[0].local == listener.address
            for number, flow in enumerate(session.acceptor.flows):
                flow.push(bytes((number,)), 1)
                flow.flush()
            assert (await receive(one), await receive(two)) == (b"\0", b"\1")


async def test_datagrams_wait_for_a_session_and_the_newest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "FORWARD_UDP_HELD", 8)
    async with Session() as session, listening() as listener:
        with client(listener) as sock:
            for number in range(12):
                sock.send(bytes((number,)))
            await until(lambda: listener.dropped == 4)
            assert listener.waiting_count == 8
            listener.attach(session.dialer)
            await until(lambda: bool(session.acceptor.ports) and len(session.acceptor.ports[0].got) == 8)
            assert session.acceptor.ports[0].got == [bytes((number,)) for number in range(4, 12)]


async def test_what_has_waited_too_long_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "FORWARD_UDP_WAITING_S", 0.0)
    async with Session() as session, listening() as listener:
        with client(listener) as sock:
            sock.send(b"stale")
            await until(lambda: listener.dropped == 1)
            listener.attach(session.dialer)
            assert session.dialer.snapshot().flows_open == 0


async def test_more_sources_than_flows_before_the_verdict_wait_for_it() -> None:
    session = Session()
    session.exposer_observer.verdict = None
    session.waits_for_verdict = False
    async with session, listening() as listener:
        listener.attach(session.dialer)
        clients = [client(listener) for _ in range(defaults.TUNNEL_EARLY_STREAMS + 2)]
        for sock in clients:
            sock.send(b"hello")
        await until(lambda: listener.waiting_count == 2)
        session.exposer.accept()
        await until(lambda: len(session.acceptor.ports) == len(clients))
        for sock in clients:
            sock.close()


async def test_a_refused_service_is_not_asked_for_with_every_datagram(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Session() as session, listening() as listener:
        session.acceptor.refuse_datagrams = StreamCode.SERVICE_UNKNOWN
        listener.attach(session.dialer)
        with client(listener) as sock:
            for _ in range(3):
                sock.send(b"hello")
                await until(
                    lambda: bool(session.dialer_observer.flow_errors) and not session.dialer.snapshot().flows_open
                )
            await until(lambda: listener.waiting_count == 2)
            assert len(session.acceptor.headers) == 1
            monkeypatch.setattr(listener, "_refused_until", 0.0)
            session.acceptor.refuse_datagrams = None
            sock.send(b"again")
            await until(lambda: bool(session.acceptor.ports) and len(session.acceptor.ports[0].got) == 3)


async def test_a_source_whose_flow_has_ended_gets_another() -> None:
    async with Session(datagram_idle_s=0.02) as session, listening() as listener:
        listener.attach(session.dialer)
        with client(listener) as sock:
            for number in range(2):
                sock.send(b"hello")
                await until(lambda n=number: len(session.acceptor.ports) == n + 1)  # type: ignore[misc]
                await until(lambda: session.dialer.snapshot().flows_open == 0)


async def test_sessions_may_change_under_it() -> None:
    async with listening() as listener:
        with client(listener) as sock:
            for _ in range(2):
                async with Session() as session:
                    listener.attach(session.dialer)
                    sock.send(b"hello")
                    await until(lambda s=session: bool(s.acceptor.ports) and bool(s.acceptor.ports[0].got))  # type: ignore[misc]
                listener.detach()
            sock.send(b"waits")
            await until(lambda: listener.waiting_count == 1)


async def test_a_taken_port_is_told() -> None:
    async with listening() as listener:
        taken = UdpListenerForward(listener.address, loop=asyncio.get_running_loop())
        with pytest.raises(ForwardError) as caught:
            await taken.__aenter__()
        assert caught.value.code == "P2P-6130"
        with pytest.raises(ForwardError):
            _ = taken.address


async def test_closing_ends_the_flows() -> None:
    async with Session() as session:
        async with listening() as listener:
            listener.attach(session.dialer)
            with client(listener) as sock:
                sock.send(b"hello")
                await until(lambda: bool(session.acceptor.ports) and bool(session.acceptor.ports[0].got))
        await until(lambda: session.acceptor.ports[0].closed is False)
        listener.close()
