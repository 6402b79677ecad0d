"""Limits on bandwidth: who waits, in which order, and that nothing is lost on the way."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from p2p.forward.sockets import Addresses
from p2p.forward.throttle import UNTHROTTLED, Throttle, Throttles, Valve
from p2p.target import ServiceRates
from tests.support.forward_session import PairAcceptor, RecordingPort, Session, until

RATE = 2e6
BURST = 200_000


def pair() -> tuple[socket.socket, socket.socket]:
    one, other = socket.socketpair()
    one.setblocking(False)
    other.setblocking(False)
    return one, other


async def test_who_waits_gets_a_portion_in_turn() -> None:
    loop = asyncio.get_running_loop()
    throttle = Throttle(loop, 1e6)
    order: list[int] = []
    valves: list[Valve] = []
    ours, theirs = pair()
    with ours, theirs:
        data = bytes(200_000)

        def go(number: int) -> None:
            order.append(number)
            with pytest.raises(BlockingIOError):
                while True:
                    valves[number].send(ours, data[:2000])
                    theirs.recv(1 << 20)

        for number in range(3):
            valves.append(throttle.valve(lambda n=number: go(n)))  # type: ignore[misc]
        for number in range(3):
            go(number)
        await until(lambda: len(order) >= 12)
        assert order[:3] == [0, 1, 2]
        assert {order[start : start + 3].count(0) for start in range(3, 12, 3)} == {1}
        for valve in valves:
            valve.close()
        count = len(order)
        await asyncio.sleep(0.05)
        assert len(order) == count


async def test_a_socket_that_is_full_costs_nothing() -> None:
    throttle = Throttle(asyncio.get_running_loop(), 1e6)
    valve = throttle.valve(lambda: None)
    ours, theirs = pair()
    with ours, theirs:
        with pytest.raises(BlockingIOError):
            valve.receive_into(ours, memoryview(bytearray(10)), 10)
        assert not valve.is_waiting
        assert throttle.draw(1 << 20) == 100_000


async def test_datagrams_pass_whole_or_not_at_all() -> None:
    throttle = Throttle(asyncio.get_running_loop(), 1e5)
    assert throttle.take(60_000, 1000) == 60_000
    assert throttle.take(60_000, 1000) == 5000
    assert throttle.take(0, 0) == 0


async def test_each_service_has_its_own_and_unknown_ones_none() -> None:
    loop = asyncio.get_running_loop()
    throttles = Throttles(loop, {"": ServiceRates(1e6, None), "web": ServiceRates(None, 1e6)}, {"web", "ssh", "db"})
    assert throttles.of("web").inwards is None
    assert throttles.of("web").outwards is not None
    assert throttles.of("ssh").inwards is not throttles.of("db").inwards
    assert throttles.of("ssh") is throttles.of("ssh")
    assert throttles.of("other") is throttles.of("") is UNTHROTTLED
    assert Throttles(loop, {"": ServiceRates(1e6, None)}, {"web"}).of("").inwards is not None
    assert Throttles(loop, {"": ServiceRates(1e6, None)}).of("any").inwards is not None


async def _passes(session: Session, acceptor: PairAcceptor, *, outwards: bool) -> float:
    """Move three bursts through a flow and tell how long it took."""
    loop = asyncio.get_running_loop()
    sock = session.open()
    sock.setblocking(False)
    await until(lambda: bool(acceptor.sockets))
    peer = acceptor.sockets[-1]
    peer.setblocking(False)
    writer, reader = (peer, sock) if outwards else (sock, peer)
    began_at = time.monotonic()
    data = bytes(range(256)) * (3 * BURST // 256)
    sending = loop.sock_sendall(writer, data)

    async def read() -> bytes:
        received = bytearray()
        while len(received) < len(data):
            received += await loop.sock_recv(reader, 1 << 20)
        return bytes(received)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        reading = group.create_task(read())
        group.create_task(sending)
    assert reading.result() == data
    return time.monotonic() - began_at


@pytest.mark.parametrize("outwards", [False, True])
async def test_connections_are_slowed_down_and_lose_nothing(outwards: bool) -> None:
    async with Session() as session:
        rates = ServiceRates(None if outwards else RATE, RATE if outwards else None)
        session.exposer.throttle(Throttles(session.loop, {"": rates}))
        took_s = await _passes(session, session.acceptor, outwards=outwards)
        assert took_s > 2 * BURST / RATE * 0.9


async def test_datagrams_are_dropped_and_counted() -> None:
    async with Session() as session:
        session.dialer.throttle(Throttles(session.loop, {"": ServiceRates(None, 1e5)}))
        flow = session.dialer.open_datagram_flow(RecordingPort(), "", Addresses(None, None))
        for _ in range(100):
            flow.push(bytes(10_000), 1000)
            flow.flush()
        await until(lambda: bool(session.acceptor.ports) and len(session.acceptor.ports[0].got) >= 65)
        dropped = session.dialer.snapshot().datagrams_dropped
        assert dropped > 900
        await until(lambda: len(session.acceptor.ports[0].got) == 1000 - dropped)


async def test_datagrams_that_come_in_are_dropped_and_counted() -> None:
    async with Session() as session:
        session.exposer.throttle(Throttles(session.loop, {"": ServiceRates(1e5, None)}))
        flow = session.dialer.open_datagram_flow(RecordingPort(), "", Addresses(None, None))
        for _ in range(20):
            flow.push(bytes(10_000), 1000)
            flow.flush()
        ports = session.acceptor.ports
        await until(lambda: bool(ports) and session.exposer.snapshot().datagrams_dropped + len(ports[0].got) == 200)
        assert 65 <= len(session.acceptor.ports[0].got) < 100


async def test_a_flow_that_waits_at_a_limit_can_be_given_up() -> None:
    async with Session() as session:
        session.exposer.throttle(Throttles(session.loop, {"": ServiceRates(1000.0, 1000.0)}))
        sock = session.open()
        sock.send(bytes(100_000))
        await until(lambda: bool(session.acceptor.sockets))
        session.acceptor.sockets[0].send(bytes(100_000))
        await asyncio.sleep(0.02)
        session.dialer.close()
        await until(lambda: not session.exposer.snapshot().flows_open)
