"""What the client tells about itself and about peers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SignallingState(StrEnum):
    """What the client is doing."""

    CONNECTING = "connecting"
    """A server is being tried."""
    CONNECTED = "connected"
    """Logged in; what is published is known to the server."""
    WAITING = "waiting"
    """No server could be reached; the next attempt comes by itself."""
    FAILED = "failed"
    """Another login took over, or the first login was refused; nothing more is tried."""
    CLOSED = "closed"
    """The ``async with`` block has not begun, or has ended."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the rendezvous knows of a peer.

    Attributes:
        online: The peer is logged in.
        published: The peer is logged in and offers the service.
    """

    online: bool
    published: bool
