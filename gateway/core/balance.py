"""Which instance of a service gets the next visitor."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Final, TypeVar

EJECT_AFTER_FAILURES: Final = 3
"""Failures in a row after which an instance gets no visitors for a while."""
EJECT_S: Final = 10.0
"""For how long at first; doubled with each ejection in a row."""
EJECT_MAX_S: Final = 300.0
UNHEALTHY_AFTER_CHECKS: Final = 2
"""Bad checks in a row after which an instance that was well gets no visitors; one good check brings it back."""
SLOW_START_S: Final = 10.0
"""An instance that is new, or back, grows to its whole share in this time."""
_SLOW_START_LEAST: Final = 0.1
_RTT_EQUAL_RATIO: Final = 1.25
_RTT_EQUAL_S: Final = 0.002
"""Round trips that differ by less are equal: a measured one varies by as much, and visitors would all swing over."""


class Policy(StrEnum):
    """How an instance is chosen among those that are well."""

    LEAST_CONNECTIONS = "least-connections"
    """The one with the fewest visitors for its weight; among equals in turn."""
    ROUND_ROBIN = "round-robin"
    """In turn, by weight, evenly spread."""
    COOKIE = "cookie"
    """By a cookie, so that a browser stays with its instance while that one is well; whoever has none, and what is no
    HTTP, as ``LEAST_CONNECTIONS``."""
    ADDRESS = "address"
    """By the visitor's address, so that a visitor stays with its instance while that one is well."""
    RTT = "rtt"
    """The one with the shortest way to it; those that are hardly farther count as equal, and among equals as
    ``LEAST_CONNECTIONS``."""


class Instance:
    """One program that serves a published name.

    Args:
        key: Tells it from the others, also after a restart of the gateway.
        weight: Its share.
        now: The monotonic time.

    Attributes:
        open: Visitors that it serves now.
        is_draining: Whether it finishes what it has and gets nothing new, because its program ends.
        is_set_aside: The same, because the gateway's operator wants it.
        is_healthy: Whether it says that it is well when it is asked; True while nobody asks.
        is_heard: Whether the way to it works, as far as can be told.
        is_lost: Whether it was not heard for so long that nobody should wait for it.
        name: What the operator calls it; unique in its service.
        served: Requests that it answered, and connections that it was given.
        failures: Those that it could not serve.
    """

    def __init__(self, key: str, weight: int, now: float) -> None:
        self.key = key
        self.weight = weight
        self.open = 0
        self.is_draining = False
        self.is_set_aside = False
        self.name = key
        self.served = 0
        self.failures = 0
        self.is_healthy = True
        self.is_heard = True
        self.is_lost = False
        self._bad_checks = 0
        self._was_good = False
        self._since = now
        self._failures_in_a_row = 0
        self._ejections = 0
        self._ejected_until = 0.0
        self._current = 0.0

    @property
    def rtt_s(self) -> float | None:
        """The round trip to it in seconds, if it is known."""
        return None

    @property
    def takes_visitors(self) -> bool:
        """Whether it may get visitors at all: nobody wants it otherwise."""
        return self.is_healthy and not (self.is_draining or self.is_set_aside or self.is_lost)

    def is_well(self, now: float) -> bool:
        """Whether it may get a visitor now."""
        return self.takes_visitors and self.is_heard and now >= self._ejected_until

    def state(self, now: float) -> str:
        """How it is, in a word."""
        if self.is_draining:
            return "draining"
        if self.is_set_aside:
            return "set aside"
        if not self.is_healthy:
            return "unhealthy"
        if not self.is_heard:
            return "silent"
        if now < self._ejected_until:
            return "ejected"
        return "starting" if now < self._since + SLOW_START_S else "well"

    def share(self, now: float) -> float:
        """Its weight, less while it is new."""
        return self.weight * min(1.0, max(_SLOW_START_LEAST, (now - self._since) / SLOW_START_S))

    def failed(self, now: float) -> bool:
        """A visitor could not be served.

        Returns:
            Whether it is ejected by that.
        """
        self.failures += 1
        self._failures_in_a_row += 1
        if self._failures_in_a_row < EJECT_AFTER_FAILURES:
            return False
        self._ejected_until = now + min(EJECT_MAX_S, EJECT_S * 2**self._ejections)
        self._ejections += 1
        self._failures_in_a_row = 0
        self._since = self._ejected_until
        return True

    def succeeded(self) -> None:
        """A visitor was served."""
        self.served += 1
        self._failures_in_a_row = self._ejections = 0

    def checked(self, now: float, *, is_good: bool) -> bool:
        """It was asked whether it is well.

        Args:
            now: The monotonic time.
            is_good: What it said; one that has never been well is believed the first time.

        Returns:
            Whether that changes anything.
        """
        was_healthy = self.is_healthy
        self._bad_checks = 0 if is_good else self._bad_checks + 1
        self._was_good |= is_good
        if is_good:
            self.is_healthy = True
        elif self._bad_checks >= UNHEALTHY_AFTER_CHECKS or not self._was_good:
            self.is_healthy = False
        if self.is_healthy and not was_healthy:
            self._since = now
        return self.is_healthy is not was_healthy

    def advance(self, share: float) -> float:
        """Gain this much in a round of ``Policy.ROUND_ROBIN``.

        Returns:
            What it has now.
        """
        self._current += share
        return self._current

    def pay(self, total: float) -> None:
        """Give up what a turn costs."""
        self._current -= total


InstanceT = TypeVar("InstanceT", bound=Instance)


def choose(
    instances: Sequence[InstanceT], policy: Policy, *, visitor: str, now: float, without: Collection[InstanceT] = ()
) -> InstanceT | None:
    """Choose an instance for a visitor.

    When none is well, those that were ejected or have fallen silent get another chance: an error page helps nobody.
    Those that say themselves that they are not well do not.

    Args:
        instances: All of the service.
        policy: How to choose.
        visitor: The visitor's IP address.
        now: The monotonic time.
        without: Those that were tried in vain.

    Returns:
        The instance, or None when nothing is left to try.
    """
    left = [instance for instance in instances if instance not in without and instance.takes_visitors]
    well = [instance for instance in left if instance.is_well(now)] or left
    if len(well) < 2:
        return well[0] if well else None
    if policy is Policy.ADDRESS:
        return max(well, key=lambda instance: _rendezvous_score(instance, visitor))
    if policy is Policy.RTT:
        well = _nearest(well)
    if policy is not Policy.ROUND_ROBIN:
        least = min(instance.open / instance.share(now) for instance in well)
        well = [instance for instance in well if instance.open / instance.share(now) <= least]
    return _smooth_round_robin(well, now)


def _nearest(instances: list[InstanceT]) -> list[InstanceT]:
    """Those with the shortest round trip; all of them while none is known."""
    known = [(instance.rtt_s, instance) for instance in instances if instance.rtt_s is not None]
    if not known:
        return instances
    shortest = min(rtt_s for rtt_s, _ in known)
    enough_s = max(shortest * _RTT_EQUAL_RATIO, shortest + _RTT_EQUAL_S)
    return [instance for rtt_s, instance in known if rtt_s <= enough_s]


def _smooth_round_robin(instances: Sequence[InstanceT], now: float) -> InstanceT:
    """In turn by weight, without runs: each gains its share, the richest pays the sum of all (as nginx does it)."""
    shares = [instance.share(now) for instance in instances]
    best = max(zip(instances, shares, strict=True), key=lambda pair: pair[0].advance(pair[1]))[0]
    best.pay(sum(shares))
    return best


def _rendezvous_score(instance: Instance, visitor: str) -> float:
    """Highest random weight: when an instance goes, only its own visitors move."""
    digest = hashlib.sha256(f"{instance.key}\0{visitor}".encode()).digest()
    share = (int.from_bytes(digest[:8], "big") + 1) / (1 << 64)
    return float(share ** (1 / instance.weight))
