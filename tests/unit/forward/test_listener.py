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
from p2p.forward.listener import StreamListenerForward
from p2p.target import TcpTarget
from tests.support.forward_session import Session, read_all, read_exactly, turns, until

ANY_PORT = TcpTarget("127.0.0.1", 0)


@asynccontextmanager
async def listening(**options: Any) -> AsyncIterator[StreamListenerForward]:
    async with StreamListenerForward(ANY_PORT, loop=asyncio.get_running_loop(), **options) as listener:
        yield listener


def address_of(listener: StreamListenerForward) -> TransportAddress:
    place = listener.place
    assert isinstance(place, TcpTarget)
    return TransportAddress(place.host, place.port)


def connect(address: TransportAddress) -> socket.socket:
    """Connect before the listener has a turn: the kernel completes the handshake alone."""
    sock = socket.create_connection(address)
    sock.setblocking(False)
    return sock


async def test_connections_become_flows() -> None:
    async with Session() as session, listening(service="web") as listener:
        listener.attach(session.dialer)
        with connect(address_of(listener)) as client:
            client.send(b"hello")
            await until(lambda: bool(session.acceptor.sockets))
            assert session.acceptor.headers[0].service == "web"
            assert await read_exactly(session.acceptor.sockets[0], 5) == b"hello"


async def test_connections_wait_for_a_session_in_order() -> None:
    async with Session() as session, listening() as listener:
        clients = [connect(address_of(listener)) for _ in range(5)]
        for number, client in enumerate(clients):
            client.send(bytes((number,)))
        await until(lambda: listener.waiting_count == 5)
        listener.attach(session.dialer)
        assert listener.waiting_count == 0
        await until(lambda: len(session.acceptor.sockets) == 5)
        for number, service in enumerate(session.acceptor.sockets):
            assert await read_exactly(service, 1) == bytes((number,))
        listener.detach()
        clients.append(connect(address_of(listener)))
        await until(lambda: listener.waiting_count == 1)
        for client in clients:
            client.close()


async def test_nobody_waits_for_ever() -> None:
    async with listening(waiting_s=0.01) as listener:
        with connect(address_of(listener)) as client, pytest.raises(ConnectionResetError):
            await read_all(client)
        assert listener.refused == 1


async def test_only_so_many_wait() -> None:
    async with listening(waiting_limit=2) as listener:
        clients = [connect(address_of(listener)) for _ in range(3)]
        await until(lambda: listener.refused == 1)
        assert listener.waiting_count == 2
        with pytest.raises(ConnectionResetError):
            await read_all(clients[2])
        listener.close()
        for client in clients[:2]:
            with pytest.raises(ConnectionResetError):
                await read_all(client)
        for client in clients:
            client.close()


async def test_connections_wait_while_a_session_is_full() -> None:
    async with Session() as session, listening() as listener:
        session.dialer._table._max_flows = 1
        listener.attach(session.dialer)
        with connect(address_of(listener)) as first, connect(address_of(listener)) as second:
            second.send(b"2")
            await until(lambda: listener.waiting_count == 1 and bool(session.acceptor.sockets))
            first.close()
            session.acceptor.sockets[0].close()
            await until(lambda: len(session.acceptor.sockets) == 2)
            assert await read_exactly(session.acceptor.sockets[1], 1) == b"2"


async def test_a_second_session_takes_over_what_waits() -> None:
    async with Session() as first, Session() as second, listening() as listener:
        listener.attach(first.dialer)
        first.dialer.close()
        with connect(address_of(listener)) as client:
            client.send(b"x")
            await until(lambda: listener.waiting_count == 1)
            listener.attach(second.dialer)
            await until(lambda: bool(second.acceptor.sockets))
            assert await read_exactly(second.acceptor.sockets[0], 1) == b"x"


async def test_a_taken_port_is_an_error_with_advice() -> None:
    async with listening() as listener:
        taken = StreamListenerForward(listener.place, loop=asyncio.get_running_loop())
        with pytest.raises(ForwardError) as caught:
            await taken.__aenter__()
        assert caught.value.code == "P2P-6130"
        with pytest.raises(ForwardError):
            _ = taken.place


async def test_running_out_of_descriptors_pauses_the_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "FORWARD_DESCRIPTORS_PAUSE_S", 0.01)
    async with Session() as session, listening() as listener:
        listener.attach(session.dialer)
        real = listener._socket
        assert real is not None

        class Exhausted:
            calls = 0

            def accept(self) -> Any:
                self.calls += 1
                listener._socket = real
                raise OSError(24, "Too many open files")

            def fileno(self) -> int:
                return real.fileno()

        exhausted = Exhausted()
        address = address_of(listener)
        listener._socket = exhausted  # type: ignore[assignment]
        with connect(address):
            await until(lambda: bool(session.acceptor.sockets))
        assert exhausted.calls == 1
        await turns(2)
