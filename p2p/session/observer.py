"""Between the flows of a session and whoever owns it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from p2p.errors import ForwardError, P2PError
from p2p.proto.tunnel.frames import AuthRequest
from p2p.session.owner import SessionOwner

if TYPE_CHECKING:
    from p2p.session.peer_session import PeerSession

logger = logging.getLogger(__name__)


class SessionObserver:
    """Passes on what the multiplexer tells, with the session it is about.

    Args:
        session: Which.
        owner: Gets it.
    """

    def __init__(self, session: PeerSession, owner: SessionOwner) -> None:
        self._session = session
        self._owner = owner

    def handshake_completed(self) -> None:
        """QUIC is up, and the peer where packets go to."""
        self._session.link.lift_limit()
        self._owner.handshake_completed(self._session)

    def auth_requested(self, request: AuthRequest) -> None:
        """The dialer wants to be let in."""
        self._owner.auth_requested(self._session, request)

    def established(self) -> None:
        """Flows may be opened."""
        self._session.is_established = True
        self._owner.established(self._session)

    def flow_failed(self, error: ForwardError) -> None:
        """One connection could not be made."""
        self._owner.flow_failed(self._session, error)

    def drain_requested(self) -> None:
        """The peer ends soon."""
        logger.info("session %s: the peer takes no new connections", self._session.session_id[:8])

    def closed(self, error: P2PError) -> None:
        """The session is over."""
        self._session.error = error
        self._owner.closed(self._session, error)
