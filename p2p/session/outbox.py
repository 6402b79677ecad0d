"""News of addresses on their way to the peers of running sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from msgspec import structs

from p2p.defaults import TRICKLES_BURST, TRICKLES_PER_S, TRICKLES_UNPROVEN_S
from p2p.proto.signalling.bodies import MAX_CANDIDATES, Trickle
from p2p.proto.token_bucket import TokenBucket


class Sender(Protocol):
    """Whose news they are."""

    @property
    def session_id(self) -> str:
        """Names the session."""
        ...

    @property
    def peer_knows(self) -> bool:
        """Whether the peer knows the session before it hears news of it."""
        ...


SenderT = TypeVar("SenderT", bound=Sender)


class TrickleOutbox(Generic[SenderT]):
    """Sends news as soon as it may, and what could not be sent, or may have been lost, when we are logged in again.

    News of a session that wait are merged, so that after an outage its peer gets one message. All sessions together
    send at most ``TRICKLES_PER_S``, since a rendezvous disconnects who sends it too much, and a change of network is
    news for all of them at once.

    Concurrency: one event loop; at most one timer, which ``close`` cancels.

    Args:
        loop: The event loop.
        can_send: Whether there is a way to a session's peer now.
        send: Sends a session's news.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        can_send: Callable[[SenderT], bool],
        send: Callable[[SenderT, Trickle], object],
    ) -> None:
        self._loop = loop
        self._can_send = can_send
        self._send = send
        self._budget = TokenBucket(TRICKLES_PER_S, TRICKLES_BURST)
        self._waiting: dict[str, tuple[SenderT, Trickle]] = {}
        self._unproven: dict[str, tuple[float, SenderT, Trickle]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def put(self, session: SenderT, news: Trickle) -> None:
        """Send news, now or later.

        Args:
            session: Whose.
            news: With the session's id.
        """
        waits = self._waiting.get(session.session_id)
        if waits is None and session.peer_knows and self._can_send(session) and self._budget.take(self._loop.time()):
            self._send_now(session, news)
            return
        self._waiting[session.session_id] = session, news if waits is None else merge(waits[1], news)
        self._set_timer()

    def announced(self, session: SenderT) -> None:
        """Send what has waited for the peer to know the session."""
        if session.session_id in self._waiting:
            self.flush()

    def forget(self, session: SenderT) -> None:
        """Drop the news of a session that is over."""
        self._waiting.pop(session.session_id, None)
        self._unproven.pop(session.session_id, None)

    def connected(self) -> None:
        """We are logged in again: send what waits, and again what may have gone into a connection that was dead."""
        lost_since = self._loop.time() - TRICKLES_UNPROVEN_S
        unproven, self._unproven = self._unproven, {}
        for session_id, (sent_at, session, news) in unproven.items():
            if sent_at >= lost_since:
                waits = self._waiting.get(session_id)
                self._waiting[session_id] = session, news if waits is None else merge(news, waits[1])
        self.flush()

    def close(self) -> None:
        """Drop everything; nothing stays with the loop."""
        self._waiting.clear()
        self._unproven.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def flush(self) -> None:
        """Send what waits, as far as it can be sent: a way to a peer has been found."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # Ports to guess are worth something for a second only; addresses can wait.
        waiting = sorted(self._waiting.items(), key=lambda item: item[1][1].guess is None)
        for session_id, (session, news) in waiting:
            # The offer of a session that the peer does not know yet must be there before its news.
            if session.peer_knows and self._can_send(session):
                if not self._budget.take(self._loop.time()):
                    break
                del self._waiting[session_id]
                self._send_now(session, news)
        self._set_timer()

    def _send_now(self, session: SenderT, news: Trickle) -> None:
        now = self._loop.time()
        sent_at, _, before = self._unproven.get(session.session_id, (now, session, None))
        if before is not None and now - sent_at < TRICKLES_UNPROVEN_S:
            self._unproven[session.session_id] = now, session, merge(before, news)
        else:
            self._unproven[session.session_id] = now, session, news
        self._send(session, news)

    def _set_timer(self) -> None:
        # Where there is no way, there is no need for one: ``connected`` or ``flush`` comes.
        if self._timer is None and any(self._can_send(session) for session, _ in self._waiting.values()):
            self._timer = self._loop.call_later(1 / TRICKLES_PER_S, self.flush)


def renewed(lost: Trickle, candidates: tuple[str, ...], facts: dict[str, Any]) -> Trickle:
    """Make news of what has not arrived: as things are now, for later news may have arrived before.

    Args:
        lost: What has not.
        candidates: Our addresses.
        facts: What is known of our NAT.
    """
    gone = tuple(line for line in lost.gone if line not in candidates)
    return structs.replace(lost, candidates=candidates[-MAX_CANDIDATES:], gone=gone, nat=facts)


def merge(earlier: Trickle, later: Trickle) -> Trickle:
    """Make one message of two of the same session; what the later one says holds."""
    candidates = dict.fromkeys(line for line in earlier.candidates if line not in later.gone)
    candidates.update(dict.fromkeys(later.candidates))
    gone = dict.fromkeys(line for line in earlier.gone if line not in later.candidates)
    gone.update(dict.fromkeys(later.gone))
    # The latest are the most worth, should there be too many.
    merged: dict[str, Any] = {"candidates": tuple(candidates)[-MAX_CANDIDATES:], "gone": tuple(gone)[-MAX_CANDIDATES:]}
    for name in Trickle.__struct_fields__:
        latest = getattr(later, name)
        merged.setdefault(name, getattr(earlier, name) if latest in (None, False) else latest)
    return Trickle(**merged)
