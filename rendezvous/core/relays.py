"""Which relays clients are told of: those of the configuration, and those that report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from p2p.defaults import RELAY_REPORT_LASTS_S, RELAYS_REPORTING
from p2p.errors import IntegrityError
from p2p.proto.signalling.relay_report import RelayReport

SERVERS_MAX = 16
"""Relays that fit in a welcome; clients use half of them."""
_LOAD_STEPS = 4


class RelayPlace(NamedTuple):
    """A way to a relay.

    Attributes:
        url: As clients are told.
        region: As its relay says; empty when it does not.
    """

    url: str
    region: str


@dataclass(slots=True)
class _Heard:
    report: RelayReport
    at: float


class RelayBook:
    """The last report of each relay process, and what follows for clients.

    A URL is offered while a process that reports it has room. One of the configuration is offered also while no process
    has ever reported it: a coturn, or a relay that reports nothing. When a relay falls silent its URLs are offered no
    more; when that leaves none at all, all are: a relay that is full or silent is worth more than none, and says itself
    what it is.
    """

    def __init__(self) -> None:
        self._heard: dict[str, _Heard] = {}

    def take(self, report: RelayReport, now: float) -> None:
        """Note a report.

        Args:
            report: Authenticated.
            now: Monotonic instant in seconds.

        Raises:
            IntegrityError: It is not newer than the last one of its process, or there are too many processes.
        """
        before = self._heard.get(report.reporter)
        if before is not None and report.at_wall <= before.report.at_wall:
            raise IntegrityError("older than what is known")
        if before is None and len(self._heard) >= RELAYS_REPORTING:
            self._forget_longest_silent(now)
        self._heard[report.reporter] = _Heard(report, now)

    def offered(self, configured: Sequence[str], now: float, *, region: str = "") -> tuple[RelayPlace, ...]:
        """Choose what a client is told, the best first.

        Those of the configuration keep their order and come first. Of the others those of this server's region come
        first, then those with most room; a client goes by its own measurements among them.

        Args:
            configured: The URLs of the configuration.
            now: Monotonic instant in seconds.
            region: Where this server is.
        """
        fresh = [heard.report for heard in self._heard.values() if self._is_fresh(heard, now)]
        ready = sorted((report for report in fresh if report.has_room), key=lambda report: _rank(report, region))
        regions = {url: report.region for report in (*reversed(fresh), *reversed(ready)) for url in report.urls}
        with_room = {url for report in ready for url in report.urls}
        ever = {url for heard in self._heard.values() for url in heard.report.urls}
        urls = [url for url in configured if url in with_room or url not in ever]
        urls += _ways_in_turn(ready)
        if not urls:
            urls = [*configured, *_ways_in_turn(fresh)]
        chosen = list(dict.fromkeys(urls))[:SERVERS_MAX]
        return tuple(RelayPlace(url, regions.get(url, "")) for url in chosen)

    def count(self, now: float) -> dict[str, int]:
        """How many processes report that they have room, have none, or are draining; and how many fell silent."""
        states = {"ready": 0, "full": 0, "draining": 0, "silent": 0}
        for heard in self._heard.values():
            report = heard.report
            if report.is_gone:
                continue
            if not self._is_fresh(heard, now):
                states["silent"] += 1
            elif report.is_draining:
                states["draining"] += 1
            else:
                states["ready" if report.has_room else "full"] += 1
        return states

    @staticmethod
    def _is_fresh(heard: _Heard, now: float) -> bool:
        return not heard.report.is_gone and now - heard.at < RELAY_REPORT_LASTS_S

    def _forget_longest_silent(self, now: float) -> None:
        reporter, heard = min(self._heard.items(), key=lambda item: item[1].at)
        if self._is_fresh(heard, now):
            raise IntegrityError("too many relays report")
        del self._heard[reporter]


def _rank(report: RelayReport, region: str) -> tuple[bool, int]:
    # In steps: an order that changes with every client would send all of them to and fro.
    return report.region != region, int(report.load * _LOAD_STEPS)


def _ways_in_turn(reports: Sequence[RelayReport]) -> list[str]:
    """The best way to each relay, then the second best to each: should not all fit, each relay is there."""
    longest = max((len(report.urls) for report in reports), default=0)
    return [report.urls[place] for place in range(longest) for report in reports if place < len(report.urls)]
