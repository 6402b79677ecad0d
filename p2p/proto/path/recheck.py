"""When a pair that failed is tried again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from p2p import defaults
from p2p.proto.ice import CandidatePair, PairFailure


@dataclass(slots=True)
class _Plan:
    delay_s: float
    due_at: float | None


class RecheckSchedule:
    """New attempts on failed pairs: soon at first, twice as late each time, every ``PATH_RECHECK_S`` in the end."""

    def __init__(self) -> None:
        self._plans: dict[CandidatePair, _Plan] = {}

    def failed(self, pair: CandidatePair, failure: PairFailure, now: float, *, without_path_s: float | None) -> None:
        """Plan the next attempt on a pair.

        Args:
            pair: It has just failed.
            failure: Why; one that carried data is tried again sooner.
            now: The monotonic time.
            without_path_s: How long there has been no path at all, None while there is one: without any the next
                attempt comes after a share of that time, if not earlier.
        """
        at_most_s = defaults.PATH_RECHECK_S
        if without_path_s is not None:
            patience_s = max(defaults.PATH_RECHECK_ALL_LOST_S, defaults.OUTAGE_SHARE * without_path_s)
            at_most_s = min(at_most_s, patience_s)
        plan = self._plans.get(pair)
        if plan is None or failure is PairFailure.LOST:
            lost = failure is PairFailure.LOST
            delay_s = defaults.PATH_RECHECK_FIRST_S if lost else defaults.PATH_RECHECK_UNPROVEN_S
        else:
            delay_s = plan.delay_s * 2
        delay_s = min(delay_s, at_most_s)
        self._plans[pair] = _Plan(delay_s, now + delay_s)

    def forget(self, pair: CandidatePair) -> None:
        """A pair became valid or is gone."""
        self._plans.pop(pair, None)

    def all_due(self, pairs: Iterable[CandidatePair], now: float) -> None:
        """Make every failed pair due now, as if it had never failed: the network has changed, or the peer has come."""
        for pair in pairs:
            self._plans[pair] = _Plan(defaults.PATH_RECHECK_UNPROVEN_S / 2, now)

    def take_due(self, now: float) -> list[CandidatePair]:
        """Take the pairs whose time has come."""
        due = [pair for pair, plan in self._plans.items() if plan.due_at is not None and plan.due_at <= now]
        for pair in due:
            self._plans[pair].due_at = None
        return due

    def get_timer(self) -> float | None:
        """When ``take_due`` has something to give next, or None."""
        return min((plan.due_at for plan in self._plans.values() if plan.due_at is not None), default=None)
