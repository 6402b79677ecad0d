"""The stable numbers that travel between peers, and what each of them means for a user."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from p2p.errors import ErrorCode, ForwardError, IdentityError, P2PError, RemoteProtocolError, SessionClosedError


class RefusalCode(IntEnum):
    """Why an exposer does not let a dialer in."""

    UNSPECIFIED = 1
    UNKNOWN_SERVICE = 2
    TICKET_WRONG = 3
    TICKET_EXPIRED = 4
    PEER_NOT_ALLOWED = 5
    SERVICE_USED_UP = 6
    IDENTITY_UNPROVEN = 7
    VERSION_UNSUPPORTED = 8
    DRAINING = 9
    OVERLOADED = 10


class GoodbyeCode(IntEnum):
    """Why a session ends on purpose."""

    DONE = 0
    UNSPECIFIED = 1
    SHUTTING_DOWN = 2
    TAKEN_OVER = 3
    SERVICE_WITHDRAWN = 4
    TICKET_EXPIRED = 5
    DRAIN_TIMEOUT = 6


class CloseCode(IntEnum):
    """Why a QUIC connection was closed without a goodbye."""

    PROTOCOL_BROKEN = 0x50_10
    """The other side broke the tunnel protocol."""
    REFUSED = 0x50_11
    """The dialer was not let in."""


class StreamCode(IntEnum):
    """Application error codes of RESET_STREAM and STOP_SENDING: why one flow ends early.

    Numbers from 0x10 on mean that the exposer never had a connection to the service.
    """

    ABORTED = 0x01
    """The connection on the other side was reset."""
    FORWARD_REFUSED = 0x10
    """The service refused the connection."""
    FORWARD_TIMEOUT = 0x11
    FORWARD_UNREACHABLE = 0x12
    """No route to the service, or no permission to use it."""
    FORWARD_NAME_UNKNOWN = 0x13
    """The name of the service's host does not resolve."""
    SERVICE_UNKNOWN = 0x14
    HEADER_INVALID = 0x15
    KIND_UNSUPPORTED = 0x16
    TOO_MANY_FLOWS = 0x17


CODE_VERSION_MISMATCH: Final = ErrorCode(
    "P2P-7211", "Update the older of the two sides: they have no version in common."
)
CODE_CONTROL_ORDER: Final = ErrorCode("P2P-7212", "Make sure both sides run a current version; report it if they do.")
CODE_CREDIT_EXCEEDED: Final = ErrorCode("P2P-7213", "Make sure both sides run a current version; report it if they do.")
CODE_TICKET_PROOF: Final = ErrorCode("P2P-7214", "Ask the exposing side for a ticket that is valid now.")

CODE_REFUSED: Final = ErrorCode("P2P-6300", "Ask the exposing side why it refuses you.")
CODE_GOODBYE: Final = ErrorCode("P2P-6320", "Nothing to do: the other side ended the session.", retryable=True)

_REFUSALS: Final[Mapping[int, tuple[type[P2PError], ErrorCode]]] = {
    RefusalCode.UNKNOWN_SERVICE: (
        SessionClosedError,
        ErrorCode("P2P-6301", "Ask for a new ticket: that service is not on offer any more."),
    ),
    RefusalCode.TICKET_WRONG: (
        IdentityError,
        ErrorCode("P2P-6302", "Ask for a new ticket: this one does not open the service."),
    ),
    RefusalCode.TICKET_EXPIRED: (IdentityError, ErrorCode("P2P-6303", "Ask for a new ticket: this one has expired.")),
    RefusalCode.PEER_NOT_ALLOWED: (
        IdentityError,
        ErrorCode("P2P-6304", "Ask the exposing side to allow your peer id (`p2p identity show` prints it)."),
    ),
    RefusalCode.SERVICE_USED_UP: (
        SessionClosedError,
        ErrorCode("P2P-6305", "Ask for a new ticket: the service was on offer for one session only."),
    ),
    RefusalCode.IDENTITY_UNPROVEN: (
        IdentityError,
        ErrorCode(
            "P2P-6306", "Try again; if it persists, something between you and the peer tampers with the traffic."
        ),
    ),
    RefusalCode.VERSION_UNSUPPORTED: (RemoteProtocolError, CODE_VERSION_MISMATCH),
    RefusalCode.DRAINING: (
        SessionClosedError,
        ErrorCode("P2P-6307", "Try again in a moment: the exposing side is restarting.", retryable=True),
    ),
    RefusalCode.OVERLOADED: (
        SessionClosedError,
        ErrorCode("P2P-6308", "Try again later: the exposing side serves as many sessions as it can.", retryable=True),
    ),
}

_GOODBYES: Final[Mapping[int, ErrorCode]] = {
    GoodbyeCode.SHUTTING_DOWN: ErrorCode("P2P-6321", "Wait until the other side runs again.", retryable=True),
    GoodbyeCode.TAKEN_OVER: ErrorCode("P2P-6322", "Stop the other program that uses the same identity key."),
    GoodbyeCode.SERVICE_WITHDRAWN: ErrorCode("P2P-6323", "Ask the exposing side to put the service on offer again."),
    GoodbyeCode.TICKET_EXPIRED: ErrorCode("P2P-6324", "Ask for a new ticket: the time of this one is over."),
    GoodbyeCode.DRAIN_TIMEOUT: ErrorCode(
        "P2P-6325", "Try again: the other side stopped before all was sent.", retryable=True
    ),
}

CODE_FLOW_RESET: Final = ErrorCode("P2P-6110", "Look at the service's log: it closed the connection early.")

_STREAM_ERRORS: Final[Mapping[int, ErrorCode]] = {
    StreamCode.FORWARD_REFUSED: ErrorCode(
        "P2P-6111", "Start the service, or expose the port it listens on.", retryable=True
    ),
    StreamCode.FORWARD_TIMEOUT: ErrorCode(
        "P2P-6112", "Check that the service's host is up and no firewall drops packets to it."
    ),
    StreamCode.FORWARD_UNREACHABLE: ErrorCode("P2P-6113", "Check the route from the exposing side to the service."),
    StreamCode.FORWARD_NAME_UNKNOWN: ErrorCode("P2P-6114", "Correct the service's host name on the exposing side."),
    StreamCode.SERVICE_UNKNOWN: ErrorCode(
        "P2P-6115", "Ask for the services that there are, by name: p2p connect TICKET NAME=PORT."
    ),
    StreamCode.HEADER_INVALID: ErrorCode("P2P-6116", "Make sure both sides run a current version."),
    StreamCode.KIND_UNSUPPORTED: ErrorCode(
        "P2P-6117", "Listen for what the service speaks: --listen udp:9000 for a UDP service, --listen 9000 for TCP."
    ),
    StreamCode.TOO_MANY_FLOWS: ErrorCode(
        "P2P-6118", "Close some connections, or start a second session.", retryable=True
    ),
}

_STREAM_TEXTS: Final[Mapping[int, str]] = {
    StreamCode.ABORTED: "the connection was reset on the other side",
    StreamCode.FORWARD_REFUSED: "the service refused the connection",
    StreamCode.FORWARD_TIMEOUT: "the service did not answer in time",
    StreamCode.FORWARD_UNREACHABLE: "the exposing side cannot reach the service",
    StreamCode.FORWARD_NAME_UNKNOWN: "the exposing side does not find the service's host",
    StreamCode.SERVICE_UNKNOWN: "that service is not on offer",
    StreamCode.HEADER_INVALID: "the two sides do not understand each other",
    StreamCode.KIND_UNSUPPORTED: "the service speaks UDP and we listen for connections, or the other way round",
    StreamCode.TOO_MANY_FLOWS: "the exposing side has too many connections of this session",
}


def refusal_error(code: int, text: str) -> P2PError:
    """Make the error that a refused dialer shows its user.

    Args:
        code: What the exposer sent; numbers of later versions are fine.
        text: The exposer's own words.
    """
    error_type, error_code = _REFUSALS.get(code, (SessionClosedError, CODE_REFUSED))
    return error_type(text or f"refused by the peer (code {code})", code=error_code)


def goodbye_error(code: int, reason: str) -> SessionClosedError:
    """Make the error that tells why the other side ended the session.

    Args:
        code: What the other side sent; numbers of later versions are fine.
        reason: The other side's own words.
    """
    return SessionClosedError(reason or f"ended by the peer (code {code})", code=_GOODBYES.get(code, CODE_GOODBYE))


def stream_error(code: int) -> ForwardError:
    """Make the error that tells why one flow ended early.

    Args:
        code: The application error code of the reset.
    """
    text = _STREAM_TEXTS.get(code, f"the other side gave the connection up (code {code})")
    return ForwardError(text, code=_STREAM_ERRORS.get(code, CODE_FLOW_RESET))
