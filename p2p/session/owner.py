"""What a session tells the program that it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from p2p.errors import ForwardError, P2PError
from p2p.proto.path.reason import RelayReason
from p2p.proto.signalling.bodies import PeerBody
from p2p.proto.tunnel.frames import AuthRequest

if TYPE_CHECKING:
    from p2p.session.peer_session import PeerSession


class SessionOwner(Protocol):
    """Who decides about a session and hears what becomes of it. All calls come from the event loop."""

    def handshake_completed(self, session: PeerSession) -> None:
        """QUIC is up: a dialer asks to be let in now."""
        ...

    def auth_requested(self, session: PeerSession, request: AuthRequest) -> None:
        """An exposer is asked to let the dialer in."""
        ...

    def established(self, session: PeerSession) -> None:
        """The dialer was let in; flows may be opened."""
        ...

    def path_changed(self, session: PeerSession) -> None:
        """Packets go another way from now on; ``session.path`` tells which."""
        ...

    def relayed(self, session: PeerSession, reason: RelayReason) -> None:
        """The checks are over without a direct path."""
        ...

    def flow_failed(self, session: PeerSession, error: ForwardError) -> None:
        """A connection could not be made to the service."""
        ...

    def closed(self, session: PeerSession, error: P2PError) -> None:
        """The session is over; the last call."""
        ...

    def announced(self, session: PeerSession) -> None:
        """The peer knows the session, or will before anything that is sent from now on."""
        ...

    def send_signal(self, session: PeerSession, body: PeerBody) -> None:
        """Pass a body to the peer through the rendezvous, when it can be reached."""
        ...
