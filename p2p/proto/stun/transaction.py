"""The client's half of a STUN request: when to send it, when to send it again, when to give up."""

from __future__ import annotations

import enum

from p2p.defaults import STUN_INITIAL_RTO_S, STUN_LAST_WAIT_FACTOR, STUN_MAX_REQUESTS, STUN_RELIABLE_TIMEOUT_S


class Step(enum.Enum):
    """What a transaction wants now."""

    WAIT = enum.auto()
    SEND = enum.auto()
    GIVE_UP = enum.auto()


class Transaction:
    """One request on its way, with its timers.

    Over datagrams the request goes out at 0, RTO, 3 RTO, 7 RTO, ... until it was sent ``max_requests`` times; an
    answer may still come in the 16 RTO after that. Over a byte stream it goes out once.

    Whoever owns it calls ``step`` when it is made and whenever ``next_at`` has come, and drops it when the answer
    is there.

    Args:
        request: The bytes to send, the same each time.
        now: The monotonic instant in seconds.
        reliable: Whether a byte stream carries it.
        rto_s: The first retransmission, in seconds.
        max_requests: How often it is sent in all, over datagrams; at least 1.
        backoff: By what each further interval is longer; the RFC doubles them.
        last_wait_s: How long to wait after the last request, in seconds; None for what the RFC says.

    Source: RFC 8489 sections 6.2.1 and 6.2.2.
    """

    __slots__ = ("_backoff", "_last_wait_s", "_left", "_wait_s", "next_at", "request", "sent_count", "started_at")

    def __init__(
        self,
        request: bytes,
        now: float,
        *,
        reliable: bool = False,
        rto_s: float = STUN_INITIAL_RTO_S,
        max_requests: int = STUN_MAX_REQUESTS,
        backoff: float = 2.0,
        last_wait_s: float | None = None,
    ) -> None:
        self.request = request
        self.started_at = now
        self.next_at = now
        self.sent_count = 0
        self._left = 1 if reliable else max_requests
        self._wait_s = rto_s
        self._backoff = backoff
        if last_wait_s is None:
            last_wait_s = STUN_RELIABLE_TIMEOUT_S if reliable else STUN_LAST_WAIT_FACTOR * rto_s
        self._last_wait_s = last_wait_s

    def step(self, now: float) -> Step:
        """Say what is due, and set ``next_at`` to when to ask again.

        Args:
            now: The monotonic instant in seconds.
        """
        if now < self.next_at:
            return Step.WAIT
        if not self._left:
            return Step.GIVE_UP
        self._left -= 1
        self.sent_count += 1
        if self._left:
            wait_s, self._wait_s = self._wait_s, self._backoff * self._wait_s
        else:
            wait_s = self._last_wait_s
        # From now and not from next_at: after a pause of the process, no burst of what was missed.
        self.next_at = now + wait_s
        return Step.SEND

    def round_trip_s(self, now: float) -> float | None:
        """Return the time until the answer, which is here now; None when it is unclear which request it answers."""
        return now - self.started_at if self.sent_count == 1 else None
