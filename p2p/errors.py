"""Every error of the toolkit, in one tree.

    P2PError
    ├── ConfigError               bad flag, file or environment variable
    ├── IdentityError             key file, ticket, or a peer that is not who it must be
    ├── ProtocolError
    │   ├── LocalProtocolError    we were asked to do what the protocol forbids: a bug in the caller
    │   └── RemoteProtocolError   the other side broke the protocol
    │       ├── DecodeError       bytes that are no valid message
    │       └── IntegrityError    a message whose authentication failed
    ├── SignallingError           the rendezvous refused us or cannot be reached
    ├── ConnectivityError         the network does not let us through
    │   └── AllPathsFailedError   no path to the peer; carries a report for each candidate pair
    ├── RelayError                the relay refused us or cannot be reached
    ├── SessionClosedError        the peer ended the session
    ├── ForwardError              the service behind the exposer, or the local listener, failed
    └── DeadlineExceededError     the time given was not enough

An error a user can meet is made with an ``ErrorCode``: a stable name (``P2P-2104``) that has a page in
``docs/errors`` with its cause and its fix, and the exit code of the command that stops because of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """A stable name for one way to fail.

    Attributes:
        code: ``P2P-`` and four digits; the first digit is the family (1 config, 2 identity, 3 signalling,
            4 connectivity, 5 relay, 6 session and forwarding, 7 protocol, 8 deadline).
        hint: One sentence in the imperative that tells the user what to do about it.
        retryable: Whether the same call may succeed later without any change.
    """

    code: str
    hint: str
    retryable: bool = False


UNSPECIFIED = ErrorCode("P2P-0000", "Run the command again with --verbose and report what it prints.")


class P2PError(Exception):
    """The root of the tree.

    Args:
        detail: What happened, in a few words, with the values that matter and without secrets.
        code: The stable name of this failure; the class has a default.
    """

    default_code: ClassVar[ErrorCode] = UNSPECIFIED
    exit_code: ClassVar[int] = 1

    def __init__(self, detail: str = "", *, code: ErrorCode | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.error_code = code or self.default_code

    @property
    def code(self) -> str:
        """The stable name, such as ``P2P-2104``."""
        return self.error_code.code

    @property
    def hint(self) -> str:
        """What the user can do about it."""
        return self.error_code.hint

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later without any change."""
        return self.error_code.retryable

    def __str__(self) -> str:
        return f"{self.detail or type(self).__name__} [{self.code}]"


class ConfigError(P2PError):
    """A flag, a configuration file or an environment variable is wrong."""

    default_code = ErrorCode("P2P-1001", "Correct the value that is named, or see --help for what it takes.")
    exit_code = 2


class IdentityError(P2PError):
    """A key file or ticket is unusable, or a peer is not who it must be."""

    default_code = ErrorCode("P2P-2001", "Check the ticket and the key file that are named.")
    exit_code = 3


class ProtocolError(P2PError):
    """A protocol was broken."""

    default_code = ErrorCode("P2P-7001", "Make sure both sides run a current version.")
    exit_code = 70


class LocalProtocolError(ProtocolError):
    """The caller asked for what the protocol does not allow in the present state."""

    default_code = ErrorCode("P2P-7002", "This is a bug in the toolkit: please report it with the log.")


class RemoteProtocolError(ProtocolError):
    """The other side sent what the protocol does not allow."""

    default_code = ErrorCode("P2P-7003", "Make sure the other side runs a current version of the same protocol.")


class DecodeError(RemoteProtocolError):
    """Bytes that are not a valid message. The only exception a decoder of network bytes raises."""

    default_code = ErrorCode("P2P-7004", "Make sure the other side speaks the expected protocol on this port.")


class IntegrityError(RemoteProtocolError):
    """A well-formed message whose signature, MAC or fingerprint does not verify."""

    default_code = ErrorCode("P2P-7005", "Check the credentials, and whether something rewrites the traffic.")


class SignallingError(P2PError):
    """The rendezvous refused a request or cannot be reached."""

    default_code = ErrorCode("P2P-3001", "Check the rendezvous URL and that the server runs.", retryable=True)
    exit_code = 4


class ConnectivityError(P2PError):
    """The network does not let the traffic through."""

    default_code = ErrorCode(
        "P2P-4001", "Run `p2p nat` on both sides to see what their networks allow.", retryable=True
    )
    exit_code = 5


class AllPathsFailedError(ConnectivityError):
    """No path to the peer works, not even over a relay.

    Args:
        detail: What was tried, in a few words.
        report: One line for each candidate pair: its addresses, its last state, the reason.
        code: The stable name of this failure.
    """

    default_code = ErrorCode(
        "P2P-4002", "Give both sides a reachable relay (`p2p serve` runs one), then try again.", retryable=True
    )

    def __init__(self, detail: str = "", *, report: Sequence[str] = (), code: ErrorCode | None = None) -> None:
        super().__init__(detail, code=code)
        self.report = tuple(report)


class RelayError(P2PError):
    """The relay refused a request or cannot be reached."""

    default_code = ErrorCode("P2P-5001", "Check that the relay runs and accepts your credentials.", retryable=True)
    exit_code = 6


class SessionClosedError(P2PError):
    """The peer, or the user, ended the session."""

    default_code = ErrorCode("P2P-6001", "Ask the exposing side whether the service is still on offer.", retryable=True)
    exit_code = 7


class ForwardError(P2PError):
    """The service on the exposing side, or the listener on the connecting side, failed."""

    default_code = ErrorCode("P2P-6101", "Check that the service runs and listens where `p2p expose` looks for it.")
    exit_code = 8


class DeadlineExceededError(P2PError):
    """The time given was not enough."""

    default_code = ErrorCode("P2P-8001", "Try again, or allow more time with --timeout.", retryable=True)
    exit_code = 9


def error_in(exception: BaseException) -> P2PError | None:
    """Find the first error of ours: the exception itself, or one in a group, however deep."""
    if isinstance(exception, P2PError):
        return exception
    inside = exception.exceptions if isinstance(exception, BaseExceptionGroup) else ()
    return next((error for error in map(error_in, inside) if error is not None), None)
