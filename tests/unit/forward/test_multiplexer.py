"""Being let in, being turned away, and the orderly end of a session."""

from __future__ import annotations

import asyncio
import socket

import pytest

from p2p import defaults
from p2p.errors import ConnectivityError, ForwardError, LocalProtocolError, RemoteProtocolError, SessionClosedError
from p2p.forward.connect import forward_socket
from p2p.forward.multiplexer import Multiplexer
from p2p.proto.tunnel.codes import CloseCode, GoodbyeCode, RefusalCode, StreamCode
from p2p.proto.tunnel.frames import Drain, Ping, encode_frame
from tests.support.forward_session import HELLO, REQUEST, Session, read_all, read_exactly, tcp_pair, turns, until


def undecided() -> Session:
    """A session whose exposer has not given its verdict."""
    session = Session()
    session.exposer_observer.verdict = None
    session.waits_for_verdict = False
    return session


async def test_both_sides_learn_of_each_other() -> None:
    async with Session() as session:
        assert session.exposer_observer.heard == ["auth_requested", "established"]
        assert session.exposer_observer.requests == [REQUEST]
        assert session.dialer_observer.heard == ["handshake_completed", "established"]
        assert session.dialer.peer_hello == session.exposer.peer_hello == HELLO
        assert session.dialer.is_established


async def test_a_refused_dialer_hears_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "TUNNEL_REFUSAL_LINGER_S", 0.01)
    session = Session(delay_s=0.001)
    session.exposer_observer.verdict = lambda mux: mux.refuse(RefusalCode.TICKET_WRONG, "wrong ticket")
    async with session:
        (error,) = session.dialer_observer.errors
        assert (error.code, error.detail) == ("P2P-6302", "wrong ticket")
        await until(lambda: bool(session.exposer_observer.errors))
        assert session.exposer_observer.errors[0].code == error.code
        assert not session.exposer.is_established


async def test_a_dialer_that_does_not_leave_is_put_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "TUNNEL_REFUSAL_LINGER_S", 0.01)
    session = Session()
    session.exposer_observer.verdict = lambda mux: mux.refuse(RefusalCode.PEER_NOT_ALLOWED)
    session.dialer_transport.handler = None
    session.dialer_transport.send(0, b"")
    session.exposer_transport.deliver(0, encode_frame(HELLO) + encode_frame(REQUEST))
    session.exposer_transport.deliver(4, bytes.fromhex("0100020100"))
    assert session.exposer.snapshot().flows_open == 0
    await until(lambda: session.exposer_transport.is_closed)
    assert [type(error).__name__ for error in session.exposer_observer.errors] == ["IdentityError"]


async def test_flows_opened_before_the_verdict_wait_for_it() -> None:
    async with undecided() as session:
        client = session.open()
        await asyncio.get_running_loop().sock_sendall(client, b"early")
        await until(lambda: session.exposer.snapshot().flows_open == 1)
        await turns(10)
        assert session.acceptor.headers == []
        session.exposer.accept()
        await until(lambda: bool(session.acceptor.sockets))
        assert await read_exactly(session.acceptor.sockets[0], 5) == b"early"


async def test_a_dialer_opens_only_a_few_flows_before_the_verdict() -> None:
    async with undecided() as session:
        for _ in range(defaults.TUNNEL_EARLY_STREAMS):
            session.open()
        with pytest.raises(ForwardError) as caught:
            session.open()
        assert caught.value.code == "P2P-6121"
        session.dialer.call_on_capacity(session.open)
        await until(lambda: session.exposer.snapshot().flows_open == defaults.TUNNEL_EARLY_STREAMS)
        session.exposer.accept()
        await until(lambda: session.exposer.snapshot().flows_open == defaults.TUNNEL_EARLY_STREAMS + 1)


async def test_whoever_asks_often_for_capacity_is_told_once() -> None:
    async with undecided() as session:
        told: list[int] = []

        def tell() -> None:
            told.append(1)

        for _ in range(3):
            session.dialer.call_on_capacity(tell)
        await until(lambda: session.exposer_observer.heard == ["auth_requested"])
        session.exposer.accept()
        await until(lambda: bool(told))
        await turns(3)
        assert told == [1]


async def test_too_many_streams_of_a_stranger_end_the_connection() -> None:
    session = Session()
    for number in range(1, defaults.TUNNEL_EARLY_STREAMS + 2):
        session.exposer_transport.deliver(4 * number, b"\x01")
    (error,) = session.exposer_observer.errors
    assert isinstance(error, RemoteProtocolError)
    assert session.exposer_transport.close_code == CloseCode.PROTOCOL_BROKEN
    await turns(2)
    assert session.exposer.snapshot().flows_open == 0


async def test_frames_before_authentication_end_the_connection() -> None:
    session = Session()
    session.exposer_transport.deliver(0, encode_frame(HELLO) + encode_frame(Ping(1)))
    assert isinstance(session.exposer_observer.errors[0], RemoteProtocolError)
    assert session.exposer_transport.is_closed


@pytest.mark.parametrize("reset", [True, False])
async def test_the_control_stream_must_live_as_long_as_the_session(reset: bool) -> None:
    async with Session() as session:
        handler = session.exposer_transport.handler
        assert handler is not None
        if reset:
            handler.stream_reset(0, 1)
        else:
            handler.sending_stopped(0, 1)
        assert isinstance(session.exposer_observer.errors[0], RemoteProtocolError)


async def test_flows_cannot_be_opened_without_a_session() -> None:
    session = Session()
    one, other = tcp_pair()
    with one, other, pytest.raises(ForwardError) as caught:
        forward_socket(session.dialer, other)
    assert caught.value.code == "P2P-6120"
    with pytest.raises(LocalProtocolError):
        await session.dialer.ping()
    async with session:
        pass


async def test_a_side_without_an_acceptor_refuses_flows() -> None:
    async with Session() as session:
        one, other = tcp_pair()
        session.local.append(one)
        session.exposer._is_authenticated = True  # reverse flows are possible, but nobody asks for them here
        forward_socket(session.exposer, other)
        with pytest.raises(ConnectionResetError):
            await read_all(one)
        assert (1, StreamCode.SERVICE_UNKNOWN) in session.dialer_transport.resets


async def test_too_many_flows_are_refused_one_by_one() -> None:
    async with Session() as session:
        session.exposer._table._max_flows = 1
        client, service = await session.open_both()
        with pytest.raises(ConnectionResetError):
            await read_all(session.open())
        client.send(b"x")
        assert await read_exactly(service, 1) == b"x"
        assert session.exposer.snapshot().flows_refused == 1


async def test_round_trip_is_measured() -> None:
    async with Session(delay_s=0.005) as session:
        assert 0.009 < await session.dialer.ping() < 1.0
        assert session.dialer.rtt_s == pytest.approx(await session.exposer.ping(), abs=0.5)


async def test_goodbye_tells_the_reason_and_resets_what_is_left() -> None:
    async with Session() as session:
        client, service = await session.open_both()
        session.exposer.close(GoodbyeCode.SHUTTING_DOWN, "maintenance")
        assert session.exposer_observer.heard[-1] == "closed"
        await until(lambda: bool(session.dialer_observer.errors))
        error = session.dialer_observer.errors[0]
        assert isinstance(error, SessionClosedError)
        assert (error.code, error.detail) == ("P2P-6321", "maintenance")
        for sock in (client, service):
            with pytest.raises(ConnectionResetError):
                await read_all(sock)
        session.exposer.close()
        assert len(session.exposer_observer.errors) == 1


async def test_a_lost_connection_resets_all_flows() -> None:
    async with Session() as session:
        pairs = [await session.open_both() for _ in range(3)]
        error = ConnectivityError("silence")
        with pytest.RaisesGroup(ConnectivityError):
            async with asyncio.TaskGroup() as group:
                group.create_task(session.dialer.ping())
                await turns(1)
                session.dialer_transport.lose(error)
                session.exposer_transport.lose(error)
        assert session.dialer_observer.errors == session.exposer_observer.errors == [error]
        for pair in pairs:
            for sock in pair:
                with pytest.raises(ConnectionResetError):
                    await read_all(sock)
        with pytest.raises(ForwardError):
            session.open()
        assert await session.dialer.drain(1.0)


async def test_drain_waits_for_running_flows_of_both_sides() -> None:
    async with Session(delay_s=0.001) as session:
        client, service = await session.open_both()
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(session.exposer.drain(5.0))
            await until(lambda: "drain_requested" in session.dialer_observer.heard)
            with pytest.raises(ForwardError):
                session.open()
            await asyncio.get_running_loop().sock_sendall(service, b"last words")
            service.close()
            assert await read_all(client) == b"last words"
            assert not draining.done()
            client.close()
        assert draining.result()


async def test_drain_ends_at_its_deadline() -> None:
    async with Session() as session:
        await session.open_both()
        assert not await session.dialer.drain(0.01)


async def test_drain_of_an_idle_session_takes_a_round_trip() -> None:
    async with Session() as session:
        assert await session.dialer.drain(5.0)
        assert await session.exposer.drain(5.0)


async def test_flows_under_way_when_drain_begins_are_served() -> None:
    async with Session(delay_s=0.002) as session:
        client = session.open()
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(session.exposer.drain(5.0))
            await until(lambda: bool(session.acceptor.sockets))
            client.shutdown(socket.SHUT_WR)
            session.acceptor.sockets[0].close()
        assert draining.result()


async def test_a_peer_may_ask_twice() -> None:
    async with Session() as session:
        session.dialer_transport.deliver(0, encode_frame(Drain()) * 2)
        await turns(4)
        assert session.dialer_observer.errors == []


async def test_datagrams_that_make_no_sense_are_counted() -> None:
    async with Session() as session:
        session.dialer.datagram_received(b"x")
        assert session.dialer.snapshot().datagrams_dropped == 1


async def test_the_control_stream_is_the_first() -> None:
    session = Session()
    session.dialer_transport.open_stream()
    with pytest.raises(LocalProtocolError):
        session.dialer.authenticate(REQUEST)
    with pytest.raises(LocalProtocolError):
        Multiplexer.accept(session.exposer)
    async with asyncio.timeout(1):
        session.dialer.close()
        session.exposer.close()
        await turns(2)
