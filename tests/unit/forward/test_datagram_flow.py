"""Flows of datagrams over a fake connection: what comes early, what is too large, what ends them."""

from __future__ import annotations

import asyncio

import pytest

from p2p import defaults
from p2p.address import TransportAddress
from p2p.errors import ForwardError
from p2p.forward.datagram_flow import DatagramFlow
from p2p.forward.sockets import Addresses
from p2p.proto.tunnel.codes import StreamCode
from p2p.proto.tunnel.fields import encode_varint
from p2p.proto.tunnel.header import FlowKind, StreamHeader, encode_header
from tests.support.forward_session import RecordingPort, Session, turns, until

SOURCE = TransportAddress("127.0.0.1", 5000)
LOCAL = TransportAddress("127.0.0.1", 53)
ADDRESSES = Addresses(SOURCE, LOCAL)
HEADER = encode_header(StreamHeader("", kind=FlowKind.DATAGRAMS))


def send(flow: DatagramFlow, *datagrams: bytes) -> None:
    for datagram in datagrams:
        flow.push(datagram, len(datagram))
    flow.flush()


async def opened(session: Session) -> tuple[DatagramFlow, RecordingPort, DatagramFlow, RecordingPort]:
    """A flow with a datagram each way, so that both ends have it."""
    count = len(session.acceptor.flows)
    port = RecordingPort()
    flow = session.dialer.open_datagram_flow(port, "game", ADDRESSES)
    send(flow, b"first")
    await until(lambda: len(session.acceptor.flows) > count and bool(session.acceptor.ports[count].got))
    return flow, port, session.acceptor.flows[count], session.acceptor.ports[count]


async def test_datagrams_go_both_ways() -> None:
    async with Session() as session:
        flow, port, peer_flow, peer_port = await opened(session)
        assert session.acceptor.headers == [StreamHeader("game", SOURCE, LOCAL, FlowKind.DATAGRAMS)]
        send(flow, b"one", b"two")
        send(peer_flow, b"", b"answer")
        await until(lambda: len(port.got) == 2 and len(peer_port.got) == 3)
        assert peer_port.got == [b"first", b"one", b"two"]
        assert port.got == [b"", b"answer"]
        (figures,) = session.dialer.flow_snapshots()
        assert (figures.bytes_out, figures.bytes_in, figures.connected) == (11, 6, True)
        assert session.dialer.snapshot().datagrams_dropped == 0


async def test_what_is_too_large_takes_the_stream_in_order() -> None:
    async with Session() as session:
        flow, port, peer_flow, peer_port = await opened(session)
        large = [bytes((number,)) * size for number, size in enumerate((1200, 65_507, 9000, 65_507))]
        send(flow, *large)
        await until(lambda: len(peer_port.got) == 5)
        assert peer_port.got[1:] == large
        send(peer_flow, *large)
        await until(lambda: len(port.got) == 4)
        assert port.got == large
        for _ in range(100):
            send(flow, bytes(30_000))
            await turns(3)
        await until(lambda: len(peer_port.got) == 105)
        assert session.dialer.snapshot().datagrams_dropped == 0


async def test_a_connection_without_datagrams_uses_the_stream_for_all() -> None:
    async with Session() as session:
        session.dialer_transport.max_datagram_payload = 0
        flow, _, _, peer_port = await opened(session)
        send(flow, b"x")
        await until(lambda: peer_port.got == [b"first", b"x"])
        assert not session.dialer_transport.datagrams


async def test_too_many_large_ones_cost_the_oldest() -> None:
    async with Session(flight_bytes=1) as session:
        flow, _, _, peer_port = await opened(session)
        for number in range(40):
            send(flow, bytes((number,)) * 20_000)
        dropped = session.dialer.snapshot().datagrams_dropped
        assert dropped > 10
        await until(lambda: len(peer_port.got) == 1 + 40 - dropped)
        assert peer_port.got[-1][0] == 39


async def test_datagrams_may_overtake_the_opening() -> None:
    async with Session() as session:
        for number in range(300):
            session.exposer.datagram_received(b"\x04\x00" + bytes((number % 256,)))
        session.exposer_transport.deliver(4, HEADER[:3])
        session.exposer.datagram_received(b"\x04\x00late")
        session.exposer_transport.deliver(4, HEADER[3:])
        await until(lambda: bool(session.acceptor.ports) and bool(session.acceptor.ports[0].got))
        # The bound is on datagrams that have no flow; when it is met, the flow that waits for longest loses all.
        assert session.acceptor.ports[0].got[-1] == b"late"
        assert len(session.acceptor.ports[0].got) + session.exposer.snapshot().datagrams_dropped == 301


async def test_datagrams_wait_for_the_verdict() -> None:
    session = Session()
    session.exposer_observer.verdict = None
    session.waits_for_verdict = False
    async with session:
        port = RecordingPort()
        flow = session.dialer.open_datagram_flow(port, "", ADDRESSES)
        send(flow, b"early", bytes(2000))
        await until(lambda: session.exposer.snapshot().flows_open == 1)
        await turns(10)
        assert not session.acceptor.headers
        session.exposer.accept()
        await until(lambda: bool(session.acceptor.ports) and len(session.acceptor.ports[0].got) == 2)
        assert sorted(session.acceptor.ports[0].got) == sorted([b"early", bytes(2000)])


async def test_datagrams_wait_for_the_local_end_the_newest_stay() -> None:
    async with Session() as session:
        session.acceptor.hold = True
        flow = session.dialer.open_datagram_flow(RecordingPort(), "", ADDRESSES)
        send(flow, encode_varint(0))
        await until(lambda: session.exposer.snapshot().held_bytes > 0 and len(session.acceptor.pending) == 1)
        for number in range(1, defaults.FORWARD_UDP_HELD + 10):
            send(flow, encode_varint(number))
        await turns(5)
        port = RecordingPort()
        session.acceptor.pending[0](port)  # type: ignore[arg-type]
        assert port.got == [encode_varint(n) for n in range(10, defaults.FORWARD_UDP_HELD + 10)]
        assert session.exposer.snapshot().datagrams_dropped == 10


async def test_a_local_end_that_is_full_loses_datagrams_and_counts_them() -> None:
    async with Session() as session:
        flow, _, _, peer_port = await opened(session)
        peer_port.room = 1
        send(flow, b"1", b"2", b"3")
        await until(lambda: len(peer_port.got) == 2)
        assert session.exposer.snapshot().datagrams_dropped == 2


async def test_idle_flows_end_on_both_sides() -> None:
    async with Session(datagram_idle_s=0.05) as session:
        flow, port, _, peer_port = await opened(session)
        for _ in range(4):
            await asyncio.sleep(0.02)
            send(flow, b"still here")
        assert port.closed is None
        await until(lambda: port.closed is not None and peer_port.closed is not None)
        assert (port.closed, peer_port.closed) == (False, False)
        await until(lambda: not session.dialer.snapshot().flows_open and not session.exposer.snapshot().flows_open)
        assert session.dialer.snapshot().flows_reset == 0
        flow.push(b"late", 4)
        flow.flush()
        session.exposer.datagram_received(b"\x04\x00late")
        assert session.exposer.snapshot().datagrams_dropped == 1


async def test_one_more_than_there_may_be_ends_the_one_idle_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2p.forward.datagram_table.defaults.FORWARD_UDP_FLOWS", 2)
    async with Session() as session:
        first, second = await opened(session), await opened(session)
        send(first[0], b"used")
        third = await opened(session)
        await until(lambda: second[1].closed is not None and second[3].closed is not None)
        assert first[1].closed is third[1].closed is None
        await until(lambda: session.dialer.snapshot().flows_open == session.exposer.snapshot().flows_open == 2)


async def test_refusals_are_told_and_end_the_flow() -> None:
    async with Session() as session:
        session.acceptor.refuse_datagrams = StreamCode.KIND_UNSUPPORTED
        port = RecordingPort()
        send(session.dialer.open_datagram_flow(port, "", ADDRESSES), b"hello")
        await until(lambda: port.closed is True)
        assert [error.code for error in session.dialer_observer.flow_errors] == ["P2P-6117"]
        assert session.dialer.snapshot().flows_open == 0


async def test_a_drain_does_not_wait_for_datagrams() -> None:
    async with Session() as session:
        _, port, _, peer_port = await opened(session)
        assert await session.dialer.drain(5.0)
        assert (port.closed, peer_port.closed) == (False, False)
        with pytest.raises(ForwardError):
            session.dialer.open_datagram_flow(RecordingPort(), "", ADDRESSES)


async def test_the_exposers_drain_does_not_wait_either() -> None:
    async with Session() as session:
        _, port, _, peer_port = await opened(session)
        assert await session.exposer.drain(5.0)
        assert (port.closed, peer_port.closed) == (False, False)


async def test_the_end_of_the_session_closes_the_local_ends() -> None:
    async with Session() as session:
        _, port, _, peer_port = await opened(session)
        session.acceptor.hold = True
        waiting = RecordingPort()
        session.dialer.open_datagram_flow(waiting, "", ADDRESSES)
        await until(lambda: bool(session.acceptor.pending))
        session.dialer.close()
        await until(lambda: peer_port.closed is not None)
        assert port.closed is waiting.closed is True
        assert session.acceptor.cancelled == 1


async def test_an_end_that_is_only_announced_is_an_end() -> None:
    async with Session() as session:
        session.exposer_transport.deliver(4, HEADER)
        await until(lambda: bool(session.acceptor.ports))
        session.exposer._table.end_announced(4, len(HEADER) + 5)
        assert session.acceptor.ports[0].closed is None
        session.exposer_transport.deliver(4, b"\0\3abc")
        assert session.acceptor.ports[0].closed is False
        assert session.acceptor.ports[0].got == [b"abc"]
        assert session.exposer.snapshot().flows_open == 0


async def test_a_peer_that_breaks_its_credit_is_put_out() -> None:
    async with Session() as session:
        session.exposer_transport.deliver(4, HEADER)
        session.acceptor.ports[0].room = 0
        session.exposer.grant = lambda stream_id, max_offset: None  # type: ignore[method-assign]
        session.exposer_transport.deliver(4, bytes(2 << 20))
        await until(lambda: session.exposer_transport.is_closed)
        assert [error.code for error in session.exposer_observer.errors] == ["P2P-7213"]


async def test_what_comes_first_does_not_overtake_the_opening() -> None:
    async with Session() as session:
        flow = session.dialer.open_datagram_flow(RecordingPort(), "", ADDRESSES)
        send(flow, b"one", b"two")
        assert not session.dialer_transport.datagrams
        send(flow, b"three")
        assert len(session.dialer_transport.datagrams) == 1
        await until(lambda: bool(session.acceptor.ports) and len(session.acceptor.ports[0].got) == 3)
        got = session.acceptor.ports[0].got
        assert got.index(b"one") < got.index(b"two")
