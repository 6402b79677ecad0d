"""Bells that exposers have hung, and knocks at them: which are passed on."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from p2p.address import TransportAddress
from p2p.defaults import (
    KNOCK_ASSEMBLY_S,
    KNOCK_NONCES_REMEMBERED,
    KNOCK_PARTIALS,
    KNOCK_PARTIALS_PER_BELL,
    KNOCK_SKEW_S,
)
from p2p.errors import DecodeError, IntegrityError
from p2p.proto.signalling.knock import Piece, bell_name, decode_piece_untrusted, verify_piece
from p2p.proto.token_bucket import TokenBucket
from rendezvous.core.freshness import FreshNonces
from rendezvous.core.limits import AddressBuckets
from rendezvous.core.registry import Seat


class KnockResult(StrEnum):
    """What became of a piece; the values are labels of a counter."""

    TAKEN = "taken"
    """With it the knock is whole, and is passed on."""
    REPEATED = "repeated"
    """Of a knock that was taken before."""
    INCOMPLETE = "incomplete"
    """Others are missing."""
    MALFORMED = "malformed"
    """It is no piece."""
    UNKNOWN_BELL = "unknown_bell"
    """Nobody here has hung this bell."""
    FORGED = "forged"
    """Its maker does not know the bell's key."""
    STALE = "stale"
    """Too old, from the future, or from before the server's start."""
    LIMITED = "limited"
    """Too many from this address, at this bell, or at once."""


class Knock(NamedTuple):
    """A knock to be passed on.

    Attributes:
        seat: Whose bell it is.
        nonce: Names the knock.
        body: Sealed to the owner of the seat.
        source: Where it came from, by UDP.
    """

    seat: Seat
    nonce: bytes
    body: bytes
    source: TransportAddress


@dataclass(slots=True)
class _Bell:
    owner: object
    seat: Seat
    key: bytes
    bucket: TokenBucket
    partials: int = 0


@dataclass(slots=True)
class _Partial:
    began_at: float
    parts: dict[int, bytes] = field(default_factory=dict)


class Knocks:
    """The bells of one server.

    Only pieces that were made with a bell's key are remembered, so strangers cannot take anybody's place; each knock is
    passed on once.

    Args:
        now_wall: When the server started, Unix seconds.
        per_address: How many knocks the addresses may make.
        rate_per_s: Knocks a second at one bell.
        burst: Knocks at once at one bell.
    """

    def __init__(self, now_wall: float, per_address: AddressBuckets, *, rate_per_s: float, burst: float) -> None:
        self._per_address = per_address
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._bells: dict[bytes, _Bell] = {}
        self._nonces = FreshNonces(now_wall, skew_s=KNOCK_SKEW_S, limit=KNOCK_NONCES_REMEMBERED)
        self._partials: OrderedDict[tuple[bytes, bytes], _Partial] = OrderedDict()

    def hang(self, owner: object, seat: Seat, key: bytes) -> bytes:
        """Hang a bell, in the place of one of the same name.

        Args:
            owner: The connection; with it the bell goes.
            seat: Whom knocks are passed on to.
            key: What shows that a knock is by somebody who may.

        Returns:
            The bell's name.
        """
        name = bell_name(key, seat.peer_id.public_key)
        self._bells[name] = _Bell(owner, seat, key, TokenBucket(self._rate_per_s, self._burst))
        return name

    def take_down(self, owner: object, name: bytes) -> None:
        """Take a bell down, unless another connection has hung it anew."""
        bell = self._bells.get(name)
        if bell is not None and bell.owner is owner:
            del self._bells[name]

    def receive(
        self, data: bytes, source: TransportAddress, *, now: float, now_wall: float
    ) -> tuple[KnockResult, Knock | None]:
        """Take a piece of a knock.

        Args:
            data: The value of the attribute.
            source: Who sent it.
            now: The monotonic time.
            now_wall: The present, Unix seconds.

        Returns:
            What becomes of it, and the knock that is whole with it.
        """
        try:
            piece = decode_piece_untrusted(data)
        except DecodeError:
            return KnockResult.MALFORMED, None
        bell = self._bells.get(piece.bell)
        if bell is None:
            return KnockResult.UNKNOWN_BELL, None
        try:
            verify_piece(piece, bell.key)
        except IntegrityError:
            return KnockResult.FORGED, None
        if self._nonces.was_used(piece.nonce):
            return KnockResult.REPEATED, None
        if not self._nonces.is_fresh(piece.nonce, now_wall):
            return KnockResult.STALE, None
        body = self._assemble(piece, bell, now)
        if body is None:
            return KnockResult.INCOMPLETE, None
        if not (self._per_address.take(source.host, now) and bell.bucket.take(now)):
            return KnockResult.LIMITED, None
        self._nonces.use(piece.nonce)
        return KnockResult.TAKEN, Knock(bell.seat, piece.nonce, body, source)

    def __len__(self) -> int:
        return len(self._bells)

    def _assemble(self, piece: Piece, bell: _Bell, now: float) -> bytes | None:
        """Put a piece to the others of its knock; the body when it was the last that was missing."""
        self._forget(now)
        key = (piece.bell, piece.nonce)
        partial = self._partials.get(key)
        if partial is None:
            if piece.total == 1:
                return piece.part
            if bell.partials >= KNOCK_PARTIALS_PER_BELL or len(self._partials) >= KNOCK_PARTIALS:
                return None
            partial = self._partials[key] = _Partial(now)
            bell.partials += 1
        partial.parts[piece.position] = piece.part
        if len(partial.parts) < piece.total:
            return None
        self._drop(key)
        return b"".join(partial.parts[index] for index in range(piece.total) if index in partial.parts)

    def _forget(self, now: float) -> None:
        while self._partials:
            key, oldest = next(iter(self._partials.items()))
            if now - oldest.began_at < KNOCK_ASSEMBLY_S:
                return
            self._drop(key)

    def _drop(self, key: tuple[bytes, bytes]) -> None:
        del self._partials[key]
        bell = self._bells.get(key[0])
        if bell is not None and bell.partials:
            bell.partials -= 1
