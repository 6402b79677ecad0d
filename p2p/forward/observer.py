"""Who a session's multiplexer answers to."""

from __future__ import annotations

from typing import Protocol

from p2p.errors import ForwardError, P2PError
from p2p.proto.tunnel.frames import AuthRequest


class SessionObserver(Protocol):
    """Who decides about a session and hears what becomes of it. All calls come from the event loop."""

    def handshake_completed(self) -> None:
        """The QUIC connection is up; a dialer answers with ``Multiplexer.authenticate``."""
        ...

    def auth_requested(self, request: AuthRequest) -> None:
        """Exposer: someone wants in; answer now or later with ``Multiplexer.accept`` or ``Multiplexer.refuse``."""
        ...

    def established(self) -> None:
        """The dialer is let in."""
        ...

    def drain_requested(self) -> None:
        """The other side opens no more flows, and neither can we."""
        ...

    def flow_failed(self, error: ForwardError) -> None:
        """A flow had no connection to its service; told on both sides, at most once a flow.

        Args:
            error: Why.
        """
        ...

    def closed(self, error: P2PError) -> None:
        """The session is over and every flow was reset; the last call, made exactly once.

        Args:
            error: Why; a ``SessionClosedError`` if one of the two sides wanted it.
        """
        ...
