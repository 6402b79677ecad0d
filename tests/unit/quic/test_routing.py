"""The router: whose packet is it, in batches of any mixture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from p2p.quic import CidRouter, QuicConnection
from p2p.quic.routing import destination_cid
from tests.unit.quic.conftest import MakeWorld

ID_A, ID_B = b"A" * 8, b"B" * 8


@dataclass(eq=False)
class FakeConnection:
    """As much of a connection as the router sees."""

    connection_ids: set[bytes]
    on_cid_added: object = None
    on_cid_retired: object = None
    received: list[bytes] = field(default_factory=list)
    calls: int = 0
    wakeups: int = 0

    def receive(self, buffer: bytes, segment_size: int, now: float) -> None:
        self.calls += 1
        self.received += [buffer[start : start + segment_size] for start in range(0, len(buffer), segment_size)]

    def after_receive(self, now: float) -> None:
        self.wakeups += 1


def router_of(*connections: FakeConnection) -> CidRouter:
    router = CidRouter()
    for connection in connections:
        router.attach(cast(QuicConnection, connection))
    return router


def short(connection_id: bytes, fill: bytes = b".", size: int = 100) -> bytes:
    return (b"\x43" + connection_id + fill * size)[:size]


def long(connection_id: bytes, first: int = 0xC0, size: int = 100) -> bytes:
    return (bytes([first]) + b"\0\0\0\1" + bytes([len(connection_id)]) + connection_id + bytes(size))[:size]


def test_reading_destination_ids() -> None:
    assert destination_cid(short(ID_A)) == ID_A
    assert destination_cid(long(ID_A)) == ID_A
    assert destination_cid(long(b"")) == b""
    assert destination_cid(b"") is None
    assert destination_cid(b"\x43short") is None
    assert destination_cid(b"\xc0\0\0\0\1") is None
    assert destination_cid(b"\xc0\0\0\0\1\x14abc") is None


@given(st.binary(max_size=60))
def test_any_bytes_have_an_id_or_none(data: bytes) -> None:
    found = destination_cid(data)
    assert found is None or found in data


def test_a_uniform_batch_goes_over_in_one_piece() -> None:
    one, other = FakeConnection({ID_A}), FakeConnection({ID_B})
    router = router_of(one, other)
    router.receive(short(ID_A) * 5 + short(ID_A, size=40), 100, 1.0)
    assert (one.calls, len(one.received)) == (1, 6)
    assert not other.received
    router.after_receive(1.0)
    router.after_receive(1.0)
    assert (one.wakeups, other.wakeups) == (1, 0)


@given(st.lists(st.sampled_from([short(ID_A), short(ID_B), long(ID_A), short(b"unknown!"), bytes(100)]), min_size=1))
def test_a_mixed_batch_is_taken_apart(segments: list[bytes]) -> None:
    one, other = FakeConnection({ID_A}), FakeConnection({ID_B})
    router = router_of(one, other)
    router.receive(b"".join(segments), 100, 1.0)
    assert one.received == [segment for segment in segments if destination_cid(segment) == ID_A]
    assert other.received == [segment for segment in segments if destination_cid(segment) == ID_B]


def test_a_short_last_segment_without_an_id_is_dropped() -> None:
    one = FakeConnection({ID_A})
    router = router_of(one, FakeConnection({ID_B}))
    router.receive(short(ID_A) * 2 + b"\x43AA", 100, 1.0)
    assert one.received == [short(ID_A)] * 2
    assert router.stats.malformed == 1


def test_a_lone_connection_gets_all_short_headers_that_come_with_its_own() -> None:
    one = FakeConnection({ID_A})
    router = router_of(one)
    router.receive(short(ID_A) + short(b"unknown!") + short(ID_A), 100, 1.0)
    assert one.calls == 1
    router.receive(short(b"unknown!") + short(ID_A) + long(ID_B), 100, 1.0)
    assert one.received[3:] == [short(ID_A)]
    assert (router.stats.unknown_ids, router.stats.unknown_initials) == (1, 1)


def test_strangers_are_counted() -> None:
    router = router_of(FakeConnection({ID_A}))
    assert router.route(long(ID_B)) is None
    assert router.route(long(ID_B, first=0xE0)) is None
    assert router.route(short(ID_B)) is None
    assert router.route(b"\x43") is None
    assert (router.stats.unknown_initials, router.stats.unknown_ids, router.stats.malformed) == (1, 2, 1)


def test_ids_come_and_go_with_a_connection(make: MakeWorld) -> None:
    world = make()
    router = CidRouter()
    router.attach(world.server)
    assert router.route(long(world.client.initial_destination_cid)) is world.server
    world.connect()
    world.loop.run_for(1)
    assert len(router) == 1
    for connection_id in world.server.connection_ids:
        assert router.route(short(connection_id)) is world.server
    world.server.close(0, "")
    world.loop.run_for(5)
    assert len(router) == 0
    assert router.route(long(world.client.initial_destination_cid)) is None
