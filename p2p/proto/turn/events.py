"""The states of an allocation, what it reports, and why it fails."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, TypeAlias

from p2p.address import TransportAddress
from p2p.errors import ErrorCode, RelayError
from p2p.proto.stun.attributes import ALTERNATE_SERVER, ERROR_CODE, ErrorCodeValue
from p2p.proto.stun.message import Message

CODE_NO_ANSWER: Final = ErrorCode(
    "P2P-5101", "Check that the relay runs at this address and that UDP or TCP to it is not blocked.", retryable=True
)
CODE_CREDENTIALS: Final = ErrorCode("P2P-5102", "Check the relay's user name and password, and this machine's clock.")
CODE_QUOTA: Final = ErrorCode("P2P-5103", "Wait until old allocations expire, or raise the quota.", retryable=True)
CODE_CAPACITY: Final = ErrorCode("P2P-5104", "Try again later, or use another relay.", retryable=True)
CODE_MISMATCH: Final = ErrorCode("P2P-5105", "Try again from another local port.", retryable=True)
CODE_REDIRECTED: Final = ErrorCode("P2P-5106", "Use the relay that is named instead.", retryable=True)
CODE_FORBIDDEN: Final = ErrorCode("P2P-5107", "The relay's policy forbids this peer address: ask its operator.")
CODE_REFUSED: Final = ErrorCode("P2P-5108", "See the relay's log for why it refused.")
CODE_FORGED: Final = ErrorCode(
    "P2P-5109", "Check the password, and whether something between here and the relay rewrites traffic."
)
CODE_UNSUPPORTED: Final = ErrorCode("P2P-5110", "Use a relay that supports this address family and transport.")

_TRY_ALTERNATE: Final = 300
_CODE_OF_STUN_ERROR: Final = {
    _TRY_ALTERNATE: CODE_REDIRECTED,
    401: CODE_CREDENTIALS,
    403: CODE_FORBIDDEN,
    431: CODE_CREDENTIALS,
    437: CODE_MISMATCH,
    438: CODE_CREDENTIALS,
    440: CODE_UNSUPPORTED,
    441: CODE_CREDENTIALS,
    442: CODE_UNSUPPORTED,
    443: CODE_UNSUPPORTED,
    486: CODE_QUOTA,
    500: CODE_CAPACITY,
    508: CODE_CAPACITY,
}


class RelayRedirectedError(RelayError):
    """The relay has no room for us, and names one that has.

    Args:
        detail: What happened.
        alternate_server: Where it sends us.
    """

    def __init__(self, detail: str, alternate_server: TransportAddress) -> None:
        super().__init__(detail, code=CODE_REDIRECTED)
        self.alternate_server = alternate_server


class AllocationState(enum.Enum):
    """Where an allocation is in its life."""

    NEW = enum.auto()
    ALLOCATING = enum.auto()
    ALLOCATED = enum.auto()
    CLOSING = enum.auto()
    DONE = enum.auto()


@dataclass(frozen=True, slots=True)
class RequestFailure:
    """Why a request to the relay failed.

    Attributes:
        error: For the user.
        stun_code: The code of the relay's answer, such as 486; None when there was no answer to believe.
        alternate_server: Where the relay sends us instead, with code 300.
    """

    error: RelayError
    stun_code: int | None = None
    alternate_server: TransportAddress | None = None

    @classmethod
    def from_response(cls, what: str, response: Message) -> RequestFailure:
        """Make the failure that an error response means.

        Args:
            what: The request, such as ``Allocate``.
            response: The error response, decoded.
        """
        given = response.get(ERROR_CODE)
        code, reason = given if given is not None else ErrorCodeValue(0, "an error without a code")
        alternate = response.get(ALTERNATE_SERVER)
        detail = f"the relay refused {what}: {code} {reason}".rstrip()
        if alternate is not None:
            detail += f" (use {alternate})"
        if code == _TRY_ALTERNATE and alternate is not None:
            return cls(RelayRedirectedError(detail, alternate), code, alternate)
        error = RelayError(detail, code=_CODE_OF_STUN_ERROR.get(code, CODE_REFUSED))
        return cls(error, code, alternate)


@dataclass(frozen=True, slots=True)
class AllocationCreated:
    """The relay gave us an address.

    Attributes:
        relayed_address: Where peers send to.
        mapped_address: Our address as the relay sees it: a server-reflexive candidate for free over UDP.
        lifetime_s: How long the relay keeps it without a refresh, which this machine sends.
    """

    relayed_address: TransportAddress
    mapped_address: TransportAddress
    lifetime_s: int


@dataclass(frozen=True, slots=True)
class AllocationFailed:
    """The relay gave us no address; the machine is done.

    Attributes:
        error: For the user.
        stun_code: The code of the relay's answer, or None.
        alternate_server: Where the relay sends us instead, or None.
    """

    error: RelayError
    stun_code: int | None = None
    alternate_server: TransportAddress | None = None


@dataclass(frozen=True, slots=True)
class AllocationExpired:
    """The allocation is gone: the relay lost or ended it, or does not answer. The machine is done."""

    error: RelayError


@dataclass(frozen=True, slots=True)
class AllocationClosed:
    """The allocation was given back, or the relay did not answer the farewell. The machine is done."""


@dataclass(frozen=True, slots=True)
class PermissionCreated:
    """The peer's IP address may now send to us through the relay."""

    peer: TransportAddress


@dataclass(frozen=True, slots=True)
class PermissionFailed:
    """The relay does not let the peer's IP address through, or no longer."""

    peer: TransportAddress
    error: RelayError


@dataclass(frozen=True, slots=True)
class ChannelBound:
    """Data to the peer now goes behind four bytes; the peer has a permission too."""

    peer: TransportAddress
    number: int


@dataclass(frozen=True, slots=True)
class ChannelFailed:
    """There is no channel to the peer, or no longer; ``send`` uses Send indications, which need a permission."""

    peer: TransportAddress
    error: RelayError


@dataclass(frozen=True, slots=True)
class PeerData:
    """Data came from a peer."""

    peer: TransportAddress
    data: bytes


AllocationEvent: TypeAlias = (
    AllocationCreated
    | AllocationFailed
    | AllocationExpired
    | AllocationClosed
    | PermissionCreated
    | PermissionFailed
    | ChannelBound
    | ChannelFailed
    | PeerData
)
