"""What Prometheus sees of an exposer or a connector.

Nothing names a peer, an address or a service: the numbers may go where the status must not.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as PrometheusHistogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from p2p.address import TransportAddress
from p2p.defaults import METRICS_TIME_TO_DIRECT_BUCKETS_S
from p2p.errors import ConnectivityError, ErrorCode
from p2p.session.events import Connected, Event, PathChanged, Problem, Relayed, SessionClosed, SessionOpened
from p2p.session.status import PathKind, SessionStatus, SignallingPhase, Status

CODE_METRICS: Final = ErrorCode("P2P-4103", "Choose another address for --metrics.")
METRICS_PATH: Final = "/metrics"


class PeerMetrics(Collector):
    """Turns status and events into metrics.

    Concurrency: events and the asking for metrics come on one event loop; a session's last figures are taken when its
    end is told, because the status forgets it after that.

    Args:
        status: Gives the present state, whenever metrics are asked for.
        session: Gives the state of one open session by its id. An event costs that much, however many sessions there
            are.
        registry: What else is served beside these; None: nothing.
    """

    def __init__(
        self,
        status: Callable[[], Status],
        session: Callable[[str], SessionStatus | None],
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._status = status
        self._session = session
        self._opened = 0
        self._path_changes: Counter[str] = Counter()
        self._relayed: Counter[str] = Counter()
        self._closed: Counter[str] = Counter()
        self._problems: Counter[str] = Counter()
        self._bytes_in = self._bytes_out = self._flows = self._datagrams_dropped = 0
        self._went_direct: set[str] = set()
        self.registry = registry or CollectorRegistry()
        self._time_to_direct = PrometheusHistogram(
            "p2p_time_to_direct_seconds",
            "From a session's first path of any kind to its first direct one.",
            buckets=METRICS_TIME_TO_DIRECT_BUCKETS_S,
            registry=self.registry,
        )
        self.registry.register(self)

    def event(self, event: Event) -> None:
        """Count an event. Call it when the event is told, not later."""
        match event:
            case SessionOpened() | Connected():
                self._opened += 1
                self._look_for_direct(event.session)
            case PathChanged():
                self._path_changes[event.path.value] += 1
                self._look_for_direct(event.session)
            case Relayed():
                self._relayed[event.reason.code] += 1
            case SessionClosed():
                self._closed[event.code or ""] += 1
                self._went_direct.discard(event.session)
                if (last := self._session(event.session)) is not None:
                    self._bytes_in += last.bytes_in
                    self._bytes_out += last.bytes_out
                    self._flows += last.flows_total
                    self._datagrams_dropped += last.datagrams_dropped
            case Problem():
                self._problems[event.error.code] += 1

    def _look_for_direct(self, name: str) -> None:
        """Note how long a session took to go direct, once. Before it is open its status is not there yet."""
        if name in self._went_direct or (session := self._session(name)) is None:
            return
        direct_at = next((t_s for t_s, kind in session.history if kind is PathKind.DIRECT), None)
        if direct_at is not None:
            self._went_direct.add(name)
            self._time_to_direct.observe(direct_at - session.history[0][0])

    def describe(self) -> list[Metric]:
        """Name nothing beforehand: names are fixed, and collecting is cheap."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read the state."""
        status = self._status()
        open_now = Counter(
            (session.path.value if session.path else "none", session.relayed.code if session.relayed else "")
            for session in status.sessions
        )
        sessions = GaugeMetricFamily("p2p_sessions", "Open sessions.", labels=("path", "reason"))
        for labels, count in open_now.items():
            sessions.add_metric(labels, count)
        yield sessions
        online = status.signalling is SignallingPhase.ONLINE
        yield GaugeMetricFamily("p2p_rendezvous_online", "Whether the rendezvous is reached.", value=online)
        flows_open = sum(session.flows_open for session in status.sessions)
        yield GaugeMetricFamily("p2p_flows_open", "Forwarded connections open now.", value=flows_open)
        flows = self._flows + sum(session.flows_total for session in status.sessions)
        yield CounterMetricFamily("p2p_flows", "Forwarded connections.", value=flows)
        dropped = self._datagrams_dropped + status.datagrams_dropped
        dropped += sum(session.datagrams_dropped for session in status.sessions)
        yield CounterMetricFamily("p2p_datagrams_dropped", "Forwarded datagrams given up on this side.", value=dropped)
        size = {
            "in": self._bytes_in + sum(session.bytes_in for session in status.sessions),
            "out": self._bytes_out + sum(session.bytes_out for session in status.sessions),
        }
        yield _by_label("p2p_bytes", "Payload, from and to the peers.", "direction", size)
        sent = status.checks
        kinds = {"check": sent.checks, "heartbeat": sent.heartbeats, "guess": sent.guesses}
        yield _by_label("p2p_checks_sent", "Packets sent to find paths and to keep them.", "kind", kinds)
        text = "Checks and guesses that the budget did not allow at their time."
        yield CounterMetricFamily("p2p_checks_withheld", text, value=sent.withheld)
        yield CounterMetricFamily("p2p_sessions_opened", "Sessions opened.", value=self._opened)
        yield _by_label("p2p_sessions_closed", "Sessions that ended; orderly without a code.", "code", self._closed)
        text = "Times a session went over to another path, by the kind of the new one."
        yield _by_label("p2p_path_changes", text, "path", self._path_changes)
        yield _by_label("p2p_relayed", "Times a session was found to stay on a relay.", "reason", self._relayed)
        yield _by_label("p2p_problems", "Problems told to the user.", "code", self._problems)


def _by_label(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    metric = CounterMetricFamily(name, text, labels=(label,))
    for value, count in values.items():
        metric.add_metric((value,), count)
    return metric


@contextlib.asynccontextmanager
async def metrics_server(address: TransportAddress, metrics: PeerMetrics) -> AsyncIterator[TransportAddress]:
    """Serve metrics over HTTP, on this event loop, which owns the state: another thread would see it half changed.

    Args:
        address: Where to listen; port 0 takes a free one.
        metrics: What to serve.

    Yields:
        Where it listens.

    Raises:
        ConnectivityError: The address cannot be used.
    """

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.router.add_get(METRICS_PATH, answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address.host, address.port)
        try:
            await site.start()
        except OSError as error:
            raise ConnectivityError(f"cannot serve metrics on {address}: {error}", code=CODE_METRICS) from error
        yield TransportAddress(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()
