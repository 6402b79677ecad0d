"""Pieces of a knock: they fit everywhere, and only who knows the bell's key can make them."""

from __future__ import annotations

import os

import pytest

from p2p.address import TransportAddress
from p2p.errors import DecodeError, IntegrityError, LocalProtocolError
from p2p.proto.signalling.knock import (
    KNOCK_PIECES_MAX,
    PIECE_PART_BYTES,
    bell_key,
    bell_name,
    decode_piece_untrusted,
    make_pieces,
    verify_piece,
)
from p2p.proto.signalling.knocker import Knocker

EXPOSER = bytes(range(32))
KEY = bell_key(b"s" * 16, EXPOSER, "web")
NONCE = bytes(32)
MOST = KNOCK_PIECES_MAX * PIECE_PART_BYTES


@pytest.mark.parametrize("size", [1, PIECE_PART_BYTES, PIECE_PART_BYTES + 1, 2400, MOST])
def test_the_pieces_make_the_body(size: int) -> None:
    body = os.urandom(size)
    pieces = [decode_piece_untrusted(piece) for piece in make_pieces(KEY, EXPOSER, NONCE, body)]
    assert b"".join(piece.part for piece in pieces) == body
    assert [piece.position for piece in pieces] == list(range(len(pieces)))
    assert {(piece.bell, piece.nonce, piece.total) for piece in pieces} == {
        (bell_name(KEY, EXPOSER), NONCE, len(pieces))
    }
    for piece in pieces:
        verify_piece(piece, KEY)


def test_no_piece_needs_a_fragment() -> None:
    knocker = Knocker(TransportAddress("::1", 1), make_pieces(KEY, EXPOSER, NONCE, bytes(MOST)), os.urandom)
    knocker.start(0.0)
    assert max(len(sent.data) for sent in knocker.datagrams_to_send(0.0)) == 1196


@pytest.mark.parametrize("size", [0, MOST + 1])
def test_what_does_not_fit_is_no_knock(size: int) -> None:
    with pytest.raises(LocalProtocolError):
        make_pieces(KEY, EXPOSER, NONCE, bytes(size))


def test_every_byte_is_covered() -> None:
    (piece,) = make_pieces(KEY, EXPOSER, NONCE, b"body")
    for at in range(len(piece)):
        changed = bytearray(piece)
        changed[at] ^= 1
        try:
            decoded = decode_piece_untrusted(bytes(changed))
        except DecodeError:
            continue
        with pytest.raises(IntegrityError):
            verify_piece(decoded, KEY)


@pytest.mark.parametrize("other", [bell_key(b"t" * 16, EXPOSER, "web"), bell_key(b"s" * 16, EXPOSER, "db")])
def test_another_ticket_makes_another_bell(other: bytes) -> None:
    assert bell_name(other, EXPOSER) != bell_name(KEY, EXPOSER)
    with pytest.raises(IntegrityError):
        verify_piece(decode_piece_untrusted(make_pieces(KEY, EXPOSER, NONCE, b"x")[0]), other)


def test_the_same_key_in_other_hands_is_another_bell() -> None:
    assert bell_name(KEY, bytes(32)) != bell_name(KEY, EXPOSER)


def test_what_is_no_piece() -> None:
    (piece,) = make_pieces(KEY, EXPOSER, NONCE, b"x")
    for wrong in (b"", piece[:66], piece + bytes(PIECE_PART_BYTES), bytes(48) + b"\1\1" + bytes(20)):
        with pytest.raises(DecodeError):
            decode_piece_untrusted(wrong)
