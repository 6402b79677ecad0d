"""The stable codes that ``error`` and ``bye`` carry. A receiver treats one it does not know as ``internal``."""

from __future__ import annotations

from enum import StrEnum


class SignallingCode(StrEnum):
    """Why a request failed or a connection ends."""

    MALFORMED = "malformed"
    """The message is not JSON of the documented shape."""
    NOT_LOGGED_IN = "not_logged_in"
    """The request needs a login first."""
    UNEXPECTED = "unexpected"
    """The message is not allowed now, such as a second login."""
    UNSUPPORTED_VERSION = "unsupported_version"
    """The server does not speak the version the client named."""
    WRONG_HOST = "wrong_host"
    """The client signed for another server than this one."""
    BAD_SIGNATURE = "bad_signature"
    """The login is not signed by the key it names, for this challenge."""
    TOKEN_REQUIRED = "token_required"  # noqa: S105 - the name of an error
    """This server admits only those with an admission token."""
    TOKEN_REFUSED = "token_refused"  # noqa: S105 - the name of an error
    """The admission token is unknown, expired or revoked."""
    NOT_ALLOWED = "not_allowed"
    """The admission token does not cover this."""
    PEER_OFFLINE = "peer_offline"
    """The peer is not logged in, or cannot take the message now."""
    RATE_LIMITED = "rate_limited"
    """Too many messages or connections in too little time."""
    TOO_MANY = "too_many"
    """A limit on how many things may be held at once is reached."""
    TIMEOUT = "timeout"
    """The client did not log in or answer in time."""
    SLOW_CONSUMER = "slow_consumer"
    """The client reads more slowly than messages for it arrive."""
    TAKEN_OVER = "taken_over"
    """The same key has logged in on another connection."""
    DRAINING = "draining"
    """The server is going down; it, or another, takes the next connection."""
    LEAVING = "leaving"
    """The client is done."""
    INTERNAL = "internal"
    """The server failed; its operator finds the cause in the log."""
