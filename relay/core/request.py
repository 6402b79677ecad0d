"""What handlers get and how they say no."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from p2p.address import TransportAddress
from p2p.errors import ErrorCode, RelayError
from p2p.proto.stun.integrity import IntegrityAlgorithm
from p2p.proto.stun.message import AttributeValue, Message
from relay.core.allocation import Allocation, ClientLeg
from relay.core.credentials import LongTermKeys
from relay.core.five_tuple import FiveTuple

CODE_REQUEST_REFUSED: Final = ErrorCode("P2P-5303", "See the STUN error number for what the client did wrong.")


class StunError(IntEnum):
    """Error numbers the relay answers with.

    Source: RFC 8489 section 14.8, RFC 8656 section 19, RFC 6062 section 6.3.
    """

    TRY_ALTERNATE = 300
    BAD_REQUEST = 400
    UNAUTHENTICATED = 401
    FORBIDDEN = 403
    UNKNOWN_ATTRIBUTE = 420
    ALLOCATION_MISMATCH = 437
    STALE_NONCE = 438
    ADDRESS_FAMILY_NOT_SUPPORTED = 440
    WRONG_CREDENTIALS = 441
    UNSUPPORTED_TRANSPORT = 442
    PEER_ADDRESS_FAMILY_MISMATCH = 443
    CONNECTION_ALREADY_EXISTS = 446
    CONNECTION_FAILURE = 447
    ALLOCATION_QUOTA_REACHED = 486
    INSUFFICIENT_CAPACITY = 508


class RefusedError(RelayError):
    """A request that is answered with an error.

    Args:
        number: The error number.
        detail: For the log; strangers are not told.
        attributes: What the answer carries besides.
    """

    default_code = CODE_REQUEST_REFUSED

    def __init__(self, number: StunError, detail: str, *attributes: AttributeValue) -> None:
        super().__init__(f"{number.value}: {detail}")
        self.number = number
        self.attributes = attributes


@dataclass(frozen=True, slots=True)
class Proof:
    """Who sent a request, as its integrity proves.

    Attributes:
        username: The user's name.
        quota_owner: Whom allocations are counted for.
        keys: The long-term keys of the password, whichever of them the client used.
        key: The one it used; answers are protected with it.
        algorithm: The integrity attribute the client used; answers use the same.
    """

    username: str
    quota_owner: str
    keys: LongTermKeys
    key: bytes = field(repr=False)
    algorithm: IntegrityAlgorithm


@dataclass(frozen=True, slots=True)
class Request:
    """One authenticated request on its way through a handler.

    Attributes:
        message: The request.
        five_tuple: The client.
        leg: The way back.
        proof: Who sent it.
        allocation: The client's allocation, if there is one.
        now: Monotonic instant in seconds.
    """

    message: Message
    five_tuple: FiveTuple
    leg: ClientLeg
    proof: Proof
    allocation: Allocation | None
    now: float

    @property
    def client(self) -> TransportAddress:
        """The client's address."""
        return self.five_tuple.client

    def require_allocation(self) -> Allocation:
        """Return the client's allocation.

        Raises:
            RefusedError: There is none (437), or another user made it (441).

        Source: RFC 8656 section 5.
        """
        if self.allocation is None:
            raise RefusedError(StunError.ALLOCATION_MISMATCH, "no allocation on this five-tuple")
        if self.allocation.owner != self.proof.username:
            raise RefusedError(StunError.WRONG_CREDENTIALS, "the allocation belongs to another user")
        return self.allocation
