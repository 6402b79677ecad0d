"""Which knocks are passed on: whole, fresh, once, by who knows the key, and not too many."""

from __future__ import annotations

import itertools
import os

import pytest

from p2p.address import TransportAddress
from p2p.defaults import KNOCK_ASSEMBLY_S, KNOCK_PARTIALS, KNOCK_PARTIALS_PER_BELL, KNOCK_SKEW_S
from p2p.identity import Identity
from p2p.proto.signalling import early_login
from p2p.proto.signalling.knock import make_pieces
from rendezvous.core.knocks import Knock, KnockResult, Knocks
from rendezvous.core.limits import AddressBuckets
from rendezvous.core.registry import Seat

BOB = Identity.from_seed(b"b" * 32)
EVE = Identity.from_seed(b"e" * 32)
SEAT = Seat(BOB.peer_id, "web")
KEY = b"k" * 32
NOW = 1_800_000_000.0
SOURCE = TransportAddress("198.51.100.7", 40_000)
LONG = os.urandom(2400)


class World:
    def __init__(self, *, burst: float = 1000.0, per_address: float = 1000.0) -> None:
        buckets = AddressBuckets(rate_per_s=1.0, burst=per_address, table_size=100)
        self.knocks = Knocks(NOW - 1000, buckets, rate_per_s=1.0, burst=burst)
        self.name = self.knocks.hang(self, SEAT, KEY)

    def give(self, piece: bytes, *, source: TransportAddress = SOURCE, at: float = 0.0) -> KnockResult:
        return self.take(piece, source=source, at=at)[0]

    def take(
        self, piece: bytes, *, source: TransportAddress = SOURCE, at: float = 0.0
    ) -> tuple[KnockResult, Knock | None]:
        return self.knocks.receive(piece, source, now=at, now_wall=NOW + at)


def knock(body: bytes = b"x", *, made_wall: float = NOW, key: bytes = KEY, owner: Identity = BOB) -> tuple[bytes, ...]:
    nonce = early_login.make_nonce(made_wall, os.urandom)
    return make_pieces(key, owner.peer_id.public_key, nonce, body)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_it_is_whole_in_any_order_and_passed_on_once(order: tuple[int, ...]) -> None:
    world = World()
    pieces = knock(LONG)
    *early, last = (pieces[position] for position in order)
    for piece in early:
        assert world.give(piece) is KnockResult.INCOMPLETE
        assert world.give(piece) is KnockResult.INCOMPLETE
    result, taken = world.take(last)
    assert result is KnockResult.TAKEN
    assert taken is not None
    assert (taken.seat, taken.body, taken.source) == (SEAT, LONG, SOURCE)
    for piece in pieces:
        assert world.take(piece, source=TransportAddress("203.0.113.1", 1)) == (KnockResult.REPEATED, None)


@pytest.mark.parametrize("at", range(0, int(3 * KNOCK_SKEW_S), 10))
def test_a_repetition_is_never_passed_on_however_late(at: int) -> None:
    world = World()
    (piece,) = knock(made_wall=NOW + KNOCK_SKEW_S)
    assert world.give(piece) is KnockResult.TAKEN
    for later in range(1, at + 1):
        assert world.take(piece, at=float(later))[1] is None


@pytest.mark.parametrize("made_wall", [NOW - KNOCK_SKEW_S - 1, NOW + KNOCK_SKEW_S + 1])
def test_it_must_be_fresh(made_wall: float) -> None:
    assert World().give(knock(made_wall=made_wall)[0]) is KnockResult.STALE


def test_none_is_older_than_the_server() -> None:
    knocks = Knocks(NOW, AddressBuckets(rate_per_s=1, burst=9, table_size=9), rate_per_s=1, burst=9)
    knocks.hang(None, SEAT, KEY)
    result, _ = knocks.receive(knock(made_wall=NOW - 1)[0], SOURCE, now=0.0, now_wall=NOW + 1)
    assert result is KnockResult.STALE


def test_strangers_take_no_room() -> None:
    world = World()
    (piece,) = knock()
    assert world.give(b"nonsense") is KnockResult.MALFORMED
    assert world.give(knock(key=b"o" * 32)[0]) is KnockResult.UNKNOWN_BELL
    assert world.give(knock(owner=EVE)[0]) is KnockResult.UNKNOWN_BELL
    assert world.give(piece[:-1] + bytes([piece[-1] ^ 1])) is KnockResult.FORGED
    assert not world.knocks._partials
    assert world.give(piece) is KnockResult.TAKEN


def test_another_peer_cannot_hang_the_same_bell() -> None:
    world = World()
    assert world.knocks.hang("eve", Seat(EVE.peer_id, "web"), KEY) != world.name
    _, taken = world.take(knock()[0])
    assert taken is not None
    assert taken.seat == SEAT


def test_a_bell_goes_with_its_owner_and_only_with_it() -> None:
    world = World()
    world.knocks.take_down("another", world.name)
    assert len(world.knocks) == 1
    world.knocks.hang("the next connection", SEAT, KEY)
    world.knocks.take_down(world, world.name)
    assert world.give(knock()[0]) is KnockResult.TAKEN
    world.knocks.take_down("the next connection", world.name)
    assert world.give(knock()[0]) is KnockResult.UNKNOWN_BELL


def test_a_bell_is_not_rung_too_often() -> None:
    world = World(burst=3)
    results = [world.give(knock()[0], source=TransportAddress(f"192.0.2.{n}", 1)) for n in range(4)]
    assert results == [*[KnockResult.TAKEN] * 3, KnockResult.LIMITED]
    assert world.give(knock(made_wall=NOW + 1)[0], at=1.0) is KnockResult.TAKEN


def test_nor_by_one_address() -> None:
    world = World(per_address=2)
    results = [world.give(knock()[0], source=SOURCE._replace(port=n)) for n in range(1, 4)]
    assert results == [KnockResult.TAKEN, KnockResult.TAKEN, KnockResult.LIMITED]
    assert world.give(knock()[0], source=TransportAddress("192.0.2.9", 1)) is KnockResult.TAKEN


def test_a_limited_one_may_come_again() -> None:
    world = World(burst=1)
    (piece,) = knock()
    world.give(knock()[0])
    assert world.give(piece) is KnockResult.LIMITED
    assert world.give(piece, at=1.0) is KnockResult.TAKEN


def test_pieces_that_wait_are_bounded_and_forgotten() -> None:
    world = World()
    for _ in range(KNOCK_PARTIALS_PER_BELL + 10):
        assert world.give(knock(LONG)[0]) is KnockResult.INCOMPLETE
    assert len(world.knocks._partials) == KNOCK_PARTIALS_PER_BELL
    for number in range(KNOCK_PARTIALS // KNOCK_PARTIALS_PER_BELL + 2):
        key = number.to_bytes(32, "big")
        world.knocks.hang(world, SEAT, key)
        for _ in range(KNOCK_PARTIALS_PER_BELL):
            world.give(knock(LONG, key=key)[0])
    assert len(world.knocks._partials) == KNOCK_PARTIALS
    pieces = knock(LONG, made_wall=NOW + KNOCK_ASSEMBLY_S)
    results = [world.give(piece, at=KNOCK_ASSEMBLY_S) for piece in pieces]
    assert results[-1] is KnockResult.TAKEN
    assert not world.knocks._partials
