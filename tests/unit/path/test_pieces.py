"""Packets that go in two pieces, and what comes of them at the other end."""

from __future__ import annotations

import random

import pytest

from p2p.address import TransportAddress
from p2p.path.demux import is_direct_signalling, is_piece, is_quic, is_stun, runs
from p2p.path.pieces import HEADER_BYTES, PieceCutter, PieceJoiner, size_on

SOURCE = TransportAddress("192.0.2.1", 1)


def packet(size: int) -> bytes:
    return b"\x40" + random.Random(size).randbytes(size - 1)


@pytest.mark.parametrize("size", [1, 1200, 1201, 1423, 1452, 2384])
def test_what_is_cut_is_joined_again_in_any_order(size: int) -> None:
    for turned in (False, True):
        pieces, ends = PieceCutter().cut([packet(size)], 1200)
        assert ends == [len(pieces)] == [1 if size <= 1200 else 2]
        assert max(map(len, pieces)) <= 1200
        assert sum(map(len, pieces)) == size_on(packet(size), 1200)
        if len(pieces) == 1:
            assert pieces == [packet(size)]
            continue
        joiner = PieceJoiner()
        joined = [joiner.join(piece, 0, SOURCE) for piece in (reversed(pieces) if turned else pieces)]
        assert joined == [None, packet(size)]
        assert (len(joiner), joiner.dropped) == (0, 0)


def test_ends_tell_which_packets_are_through() -> None:
    _, ends = PieceCutter().cut([packet(1452), packet(100), packet(1452)], 1200)
    assert ends == [2, 3, 5]


def test_a_piece_is_taken_for_nothing_else() -> None:
    (piece, _), _ = PieceCutter().cut([packet(1452)], 1200)
    assert is_piece(piece[0])
    assert not any(is_other(piece[0]) for is_other in (is_stun, is_quic, is_direct_signalling))
    # Also in the middle of a batch that the kernel has joined.
    batch = packet(len(piece)) + piece + packet(len(piece))
    assert [kind for _, kind in runs(batch, len(piece))] == [True, False, True]


def test_pieces_of_different_senders_and_packets_are_kept_apart() -> None:
    joiner = PieceJoiner()
    one, _ = PieceCutter().cut([packet(1452), packet(1450)], 1200)
    other = TransportAddress("192.0.2.1", 2)
    assert joiner.join(one[0], 0, SOURCE) is None
    assert joiner.join(one[1], 0, other) is None
    assert joiner.join(one[1], 1, SOURCE) is None
    assert joiner.join(one[3], 0, SOURCE) is None
    assert joiner.join(one[1], 0, SOURCE) == packet(1452)


def test_what_waits_in_vain_is_bounded() -> None:
    joiner = PieceJoiner(most=3)
    pieces, _ = PieceCutter().cut([packet(1300 + number) for number in range(5)], 1200)
    for piece in pieces[::2]:
        assert joiner.join(piece, 0, SOURCE) is None
    assert (len(joiner), joiner.dropped) == (3, 2)
    assert joiner.join(pieces[1], 0, SOURCE) is None
    assert joiner.join(pieces[9], 0, SOURCE) == packet(1304)


@pytest.mark.parametrize("garbage", [b"\x09", bytes([9, 0]) + bytes(6), bytes([9, 2]) + bytes(100)])
def test_garbage_is_dropped(garbage: bytes) -> None:
    joiner = PieceJoiner()
    assert joiner.join(garbage, 0, SOURCE) is None
    assert (len(joiner), joiner.dropped) == (0, 1)


def test_a_piece_that_comes_twice_waits_once() -> None:
    joiner = PieceJoiner()
    pieces, _ = PieceCutter().cut([packet(1452)], 1200)
    assert joiner.join(pieces[0], 0, SOURCE) is None
    assert joiner.join(pieces[0], 0, SOURCE) is None
    assert joiner.join(pieces[1], 0, SOURCE) == packet(1452)
    assert HEADER_BYTES == 8
