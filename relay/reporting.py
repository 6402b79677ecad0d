"""Telling rendezvous servers how a relay does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import aiohttp
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from p2p.aio.tasks import TaskScope
from p2p.defaults import RELAY_REPORT_LOOK_S, RELAY_REPORT_S, RELAY_REPORT_TIMEOUT_S
from p2p.errors import ConfigError
from p2p.proto.signalling.relay_report import REPORT_PATH, RelayReport, seal
from relay.config import RelayConfig
from relay.service import RelayService

logger = logging.getLogger(__name__)

_BITS_OF_A_MBIT = 1_000_000
_REPORTER_BYTES = 8


class Reporter(Collector):
    """Reports to each rendezvous of the configuration, for as long as its ``async with`` block.

    A report goes out every ``RELAY_REPORT_S``, sooner when the relay drains, is full or has room again, or when one did
    not get through; the last one says that the relay is gone.

    Concurrency: one task in a scope of its own.

    Args:
        service: The relay, serving.
        registry: Where the counts are shown.

    Raises:
        ConfigError: The authority's file cannot be used.

    Attributes:
        results: How many reports were "taken" and how many have "failed", by the URL of the rendezvous and these words.
    """

    def __init__(self, service: RelayService, registry: CollectorRegistry) -> None:
        self.results: Counter[tuple[str, str]] = Counter()
        self._service = service
        self._reporter = secrets.token_hex(_REPORTER_BYTES)
        self._scope = TaskScope()
        self._trust = _trust(service.config)
        self._failing: set[str] = set()
        self._relayed_bytes = 0
        self._reported_at = 0.0
        registry.register(self)

    @property
    def region(self) -> str:
        """Where the relay is, as it says."""
        return self._service.config.region

    def collect(self) -> Iterator[Metric]:
        """Give the counts to Prometheus."""
        reports = CounterMetricFamily("relay_reports", "Reports to rendezvous servers.", labels=("server", "result"))
        for labels, count in self.results.items():
            reports.add_metric(labels, count)
        yield reports

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=RELAY_REPORT_TIMEOUT_S))
        await self._scope.__aenter__()
        self._reported_at = asyncio.get_running_loop().time()
        self._reporting = self._scope.start(self._run(), name="reports to rendezvous")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._reporting.cancel()
        try:
            # What went wrong in the block leaves it as it is, not inside of a group.
            await self._scope.__aexit__(None, None, None)
            await self._tell(self._report(is_gone=True))
        finally:
            await self._session.close()

    async def _run(self) -> None:
        while True:
            told = self._state()
            is_taken = await self._tell(self._report())
            for _ in range(int(RELAY_REPORT_S / RELAY_REPORT_LOOK_S) if is_taken else 1):
                await asyncio.sleep(RELAY_REPORT_LOOK_S)
                if self._state() != told:
                    break

    def _state(self) -> tuple[bool, bool]:
        """What cannot wait for the next report; how busy the line is changes from one second to the next and can."""
        report = self._draw(mbit_s=0.0)
        return report.is_draining, report.has_room

    def _report(self, *, is_gone: bool = False) -> RelayReport:
        now = asyncio.get_running_loop().time()
        counters = self._service.counters
        relayed_bytes = counters.bytes_to_peers + counters.bytes_to_clients
        elapsed_s = max(now - self._reported_at, RELAY_REPORT_LOOK_S)
        mbit_s = 8 * (relayed_bytes - self._relayed_bytes) / elapsed_s / _BITS_OF_A_MBIT
        self._relayed_bytes, self._reported_at = relayed_bytes, now
        return self._draw(mbit_s=mbit_s, is_gone=is_gone)

    def _draw(self, *, mbit_s: float, is_gone: bool = False) -> RelayReport:
        service, config = self._service, self._service.config
        used, size = service.addresses_in_use()
        return RelayReport(
            reporter=self._reporter,
            at_wall=time.time(),
            urls=config.turn_urls(),
            region=config.region,
            is_draining=service.is_draining,
            is_gone=is_gone,
            addresses=used,
            addresses_max=size,
            mbit_s=round(mbit_s, 3),
            mbit_s_max=config.rates.total.mbit_s,
        )

    async def _tell(self, report: RelayReport) -> bool:
        """Send a report to all; returns whether all have taken it."""
        config = self._service.config
        data = seal(report, config.shared_secrets[0])
        return all(await asyncio.gather(*(self._post(url, data) for url in config.report_to)))

    async def _post(self, url: str, data: bytes) -> bool:
        problem = ""
        try:
            async with self._session.post(url.rstrip("/") + REPORT_PATH, data=data, ssl=self._trust) as answer:
                if answer.status != 204:
                    problem = f"HTTP {answer.status}"
                    with contextlib.suppress(UnicodeDecodeError):
                        problem += f", {(await answer.content.read(200)).decode().strip()!r}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            problem = str(error) or type(error).__name__
        self.results[url, "failed" if problem else "taken"] += 1
        if problem and url not in self._failing:
            self._failing.add(url)
            logger.warning("the rendezvous %s did not take the report: %s", url, problem)
        elif not problem and url in self._failing:
            self._failing.discard(url)
            logger.info("the rendezvous %s takes reports again", url)
        return not problem


def _trust(config: RelayConfig) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(config.report_ca) if config.report_ca else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"rendezvous.ca_file: cannot use {config.report_ca}: {error}") from error
