"""Signals of sessions on their way to the rendezvous: sent again when it had no room for them."""

from __future__ import annotations

import asyncio
import logging

from p2p.defaults import SIGNAL_REPEATS_S
from p2p.errors import SignallingError
from p2p.proto.signalling.bodies import PeerBody, Trickle, encode
from p2p.session.candidates import write_lines
from p2p.session.node import Node
from p2p.session.outbox import renewed
from p2p.session.peer_session import PeerSession
from p2p.signalling.errors import CODE_PEER_OFFLINE, CODE_RATE_LIMITED

logger = logging.getLogger(__name__)

_PASSING = (CODE_PEER_OFFLINE, CODE_RATE_LIMITED)


class SignalDelivery:
    """Sends the signals of one program's sessions, and says which must be sent again.

    A rendezvous keeps few bytes for a client that has not read them yet, and lets each client send so many messages a
    second. A hundred sessions that begin at once meet both limits, and one whose addresses are lost has no path.
    """

    def __init__(self) -> None:
        self._refused: dict[str, int] = {}

    async def send(self, node: Node, session: PeerSession, body: PeerBody) -> PeerBody | None:
        """Send a signal; after a refusal that may pass, wait.

        Args:
            node: Has the connection to the rendezvous.
            session: Whose.
            body: The signal.

        Returns:
            What is to be sent now, if the session still is: news as things are now; None when nothing is.
        """
        name = session.session_id
        try:
            await node.signalling.send(session.peer, encode(body), instance=session.peer_instance, knock=session.knock)
        except SignallingError as error:
            logger.info("signal of session %s not sent: %s", name[:8], error)
            tries = self._refused.get(name, 0)
            if error.error_code not in _PASSING or tries == len(SIGNAL_REPEATS_S):
                return None
            self._refused[name] = tries + 1
            await asyncio.sleep(SIGNAL_REPEATS_S[tries])
            if isinstance(body, Trickle):
                return renewed(body, write_lines(session.local_candidates()), node.facts.to_wire())
            return body
        self._refused.pop(name, None)
        return None

    def forget(self, session: PeerSession) -> None:
        """Forget a session that is over."""
        self._refused.pop(session.session_id, None)
