"""Which certificate is asked for next, and which has to wait: renewals, backoff, bounds of what publishers cause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

_HOUR_S: Final = 3600.0
_WEEK_S: Final = 7 * 24 * _HOUR_S
NEW_PER_HOUR: Final = 20
"""New certificates of all publishers; an order may take a minute when its host leads elsewhere."""
NEW_PER_WEEK: Final = 45
"""Let's Encrypt gives 50 for one registered domain in a week; the rest is for the operator."""
NEW_PER_HOUR_OF_ONE: Final = 5
NEW_PER_WEEK_OF_ONE: Final = 15
"""Of one publisher's key: three of them cannot leave others without."""
FAILED_S: Final = _HOUR_S
"""A name that failed is left alone for so long, then twice as long, and so on; Let's Encrypt forgives 5 in an hour."""
FAILED_MAX_S: Final = 24 * _HOUR_S
SERVER_AWAY_S: Final = 60.0
"""The same for a server that does not answer, for all names."""
SERVER_AWAY_MAX_S: Final = _HOUR_S
RENEW_WITH_LEFT: Final = 1 / 3
"""Of its life, when a certificate is renewed."""
AGAIN_AFTER_S: Final = _HOUR_S
"""From one certificate of a name to the next: by a clock that is wrong all of them could seem to be over."""

OPERATOR: Final = ""
"""Who wants a certificate for the gateway's own name: nobody's limits count."""


class Held(NamedTuple):
    """The life of a certificate that is there, in seconds since 1970."""

    begins: float
    ends: float

    @property
    def renew_at(self) -> float:
        """When a new one is asked for."""
        return self.ends - (self.ends - self.begins) * RENEW_WITH_LEFT


class Trouble(msgspec.Struct):
    """What went wrong, and when it is tried again.

    Attributes:
        problem: For the operator.
        failures: In a row.
        until: In seconds since 1970.
    """

    problem: str
    failures: int
    until: float


class Memory(msgspec.Struct):
    """What has to outlive a restart, so that one that restarts again and again asks no more than another.

    Attributes:
        orders: When new certificates were asked for, and for which publisher.
        issued: When names got their last certificate, of the last day.
        names: Names that failed.
        server: What the server itself failed with.
    """

    orders: list[tuple[float, str]] = []
    issued: dict[str, float] = {}
    names: dict[str, Trouble] = {}
    server: Trouble | None = None


class OrderPlan:
    """Decides what is ordered. Times are in seconds since 1970, for certificates outlive programs.

    Args:
        memory: Of the last run.
        per_week: New certificates of all publishers in a week.

    Attributes:
        held: The certificates that are there, by name.
        memory: To be kept.
    """

    def __init__(self, memory: Memory, *, per_week: int = NEW_PER_WEEK) -> None:
        self.held: dict[str, Held] = {}
        self.memory = memory
        self._per_week = per_week

    def next(self, wanted: Mapping[str, str], now: float) -> str | None:
        """Choose what to order: the gateway's own name, then what ends first, then what is new.

        Args:
            wanted: Who wants a certificate, by name.
            now: The time.
        """
        due = [name for name, owner in wanted.items() if self.is_due(name, now) and not self.obstacle(name, owner, now)]
        return min(due, key=lambda name: (wanted[name] != OPERATOR, self._ends(name)), default=None)

    def is_due(self, name: str, now: float) -> bool:
        """Whether a certificate is missing or soon over."""
        held = self.held.get(name)
        if held is None:
            return True
        return now >= max(held.renew_at, self.memory.issued.get(name, 0.0) + AGAIN_AFTER_S)

    def obstacle(self, name: str, owner: str, now: float) -> str:
        """Why a certificate is not asked for now; empty when nothing speaks against it."""
        for trouble in (self.memory.names.get(name), self.memory.server):
            if trouble is not None and now < trouble.until:
                return trouble.problem
        if name in self.held or owner == OPERATOR:
            # A renewal: what was once within bounds cannot be crowded out by others.
            return ""
        all_at = [at for at, _ in self.memory.orders]
        own_at = [at for at, of in self.memory.orders if of == owner]
        bounds = (
            (own_at, NEW_PER_HOUR_OF_ONE, _HOUR_S),
            (own_at, NEW_PER_WEEK_OF_ONE, _WEEK_S),
            (all_at, NEW_PER_HOUR, _HOUR_S),
            (all_at, self._per_week, _WEEK_S),
        )
        for times, limit, within_s in bounds:
            if sum(at > now - within_s for at in times) >= limit:
                whose = "its publisher has had" if times is own_at else "the gateway has asked for"
                return f"{whose} {limit} new certificates in {'an hour' if within_s == _HOUR_S else 'a week'}"
        return ""

    def began(self, name: str, owner: str, now: float) -> None:
        """An order begins."""
        self.memory.orders = [(at, of) for at, of in self.memory.orders if at > now - _WEEK_S]
        forgotten = now - FAILED_MAX_S
        self.memory.issued = {key: at for key, at in self.memory.issued.items() if at > forgotten}
        self.memory.names = {key: trouble for key, trouble in self.memory.names.items() if trouble.until > forgotten}
        if name not in self.held and owner != OPERATOR:
            self.memory.orders.append((now, owner))

    def issued(self, name: str, held: Held, now: float) -> None:
        """An order came to a certificate."""
        self.held[name] = held
        self.memory.issued[name] = now
        self.memory.names.pop(name, None)
        self.memory.server = None

    def refused(self, name: str, problem: str, now: float) -> None:
        """An order came to nothing because of its name: it has another address, most likely."""
        before = self.memory.names.get(name)
        self.memory.names[name] = _worse(before, problem, now, FAILED_S, FAILED_MAX_S)
        self.memory.server = None

    def server_failed(self, name: str, owner: str, problem: str, now: float) -> None:
        """An order came to nothing because of the server, which is nobody's fault and counts against nobody."""
        if name not in self.held and owner != OPERATOR:
            self.memory.orders.pop()
        self.memory.server = _worse(self.memory.server, problem, now, SERVER_AWAY_S, SERVER_AWAY_MAX_S)

    def _ends(self, name: str) -> float:
        held = self.held.get(name)
        return float("inf") if held is None else held.ends


def _worse(before: Trouble | None, problem: str, now: float, first_s: float, longest_s: float) -> Trouble:
    failures = 1 if before is None else before.failures + 1
    # The exponent is bounded: a name may fail for years.
    return Trouble(problem, failures, now + min(first_s * 2 ** min(failures - 1, 16), longest_s))
