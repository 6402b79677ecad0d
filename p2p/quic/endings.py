"""How a QUIC connection ends, in terms of our error tree."""

from __future__ import annotations

from typing import Final

from p2p.errors import ConnectivityError, ErrorCode, IdentityError, P2PError, RemoteProtocolError, SessionClosedError
from p2p.quic.engine import ConnectionTerminated

CLOSE_WRONG_IDENTITY: Final = 0x50_01
"""Close code: the server's certificate holds another key than the ticket names."""
CLOSE_HANDLER_FAILED: Final = 0x50_02
"""Close code: a bug on the closing side."""
CLOSE_HANDSHAKE_TIMEOUT: Final = 0x50_03
"""Close code: the handshake took too long for the closing side."""

CODE_CLOSED: Final = ErrorCode(
    "P2P-6201", "The other side ended the session; its reason is in the message.", retryable=True
)
CODE_WRONG_IDENTITY: Final = ErrorCode(
    "P2P-2501", "Someone else answers in place of the peer: check the ticket, and who controls the network between."
)
CODE_PEER_SILENT: Final = ErrorCode(
    "P2P-4111", "The peer stopped answering: check that it runs and is online, then connect again.", retryable=True
)
CODE_HANDSHAKE_TIMEOUT: Final = ErrorCode(
    "P2P-4112", "Packets pass in one direction only or are very slow: try again, or use a relay.", retryable=True
)
CODE_HANDSHAKE_FAILED: Final = ErrorCode(
    "P2P-7201", "Make sure both sides run a current version, and that nothing rewrites the traffic."
)
CODE_TRANSPORT: Final = ErrorCode(
    "P2P-7202",
    "The encrypted transport failed: connect again, and report it with the log if it repeats.",
    retryable=True,
)

# The range of QUIC's error codes that carries a TLS alert. Source: RFC 9001 section 4.8.
_CRYPTO_ERRORS: Final = range(0x100, 0x200)


class ConnectionClosedError(SessionClosedError):
    """One of the two ends closed the connection on purpose.

    Args:
        reason: The text given to ``close``.
        close_code: The number given to ``close``.
        by_peer: Whether it was the other end.
    """

    default_code = CODE_CLOSED

    def __init__(self, reason: str, *, close_code: int, by_peer: bool) -> None:
        who = "the peer" if by_peer else "this side"
        super().__init__(f"{who} closed the connection: {reason or f'code {close_code:#x}'}")
        self.reason = reason
        self.close_code = close_code
        self.by_peer = by_peer


def error_of(event: ConnectionTerminated) -> P2PError:
    """Say why a connection that this side did not close is over.

    Args:
        event: The engine's last event.
    """
    if event.is_idle_timeout:
        return ConnectivityError("nothing was heard of the peer for too long", code=CODE_PEER_SILENT)
    if event.by_application:
        if event.code == CLOSE_WRONG_IDENTITY:
            return IdentityError("the peer refused our certificate: it expected another key", code=CODE_WRONG_IDENTITY)
        return ConnectionClosedError(event.reason, close_code=event.code, by_peer=True)
    if event.code in _CRYPTO_ERRORS:
        alert = event.code - _CRYPTO_ERRORS.start
        return RemoteProtocolError(f"handshake failed: TLS alert {alert} {event.reason}", code=CODE_HANDSHAKE_FAILED)
    return RemoteProtocolError(f"QUIC error {event.code:#x} {event.reason}".rstrip(), code=CODE_TRANSPORT)


def check_peer_key(found: bytes, expected: bytes) -> None:
    """Compare the key a server proved to own with the one it must have.

    Raises:
        IdentityError: They differ.
    """
    if found != expected:
        raise IdentityError("the server's certificate holds another key", code=CODE_WRONG_IDENTITY)
