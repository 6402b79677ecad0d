"""What Prometheus sees of a relay."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from relay.core.counters import RelayCounters
from relay.core.five_tuple import ClientTransport
from relay.core.table import AllocationTable


class RelayCollector(Collector):
    """Turns the relay's counters into metrics when they are asked for: the data path only ever adds integers.

    Args:
        counters: The relay's counters.
        table: The relay's allocations.
        connections: How many TCP and TLS connections there are.
        kernel_drops: What the kernel dropped at each UDP port because the relay was too slow.
    """

    def __init__(
        self,
        counters: RelayCounters,
        table: AllocationTable,
        *,
        connections: Callable[[], int],
        kernel_drops: Callable[[], dict[str, int]],
    ) -> None:
        self._counters = counters
        self._table = table
        self._connections = connections
        self._kernel_drops = kernel_drops

    def register(self, registry: CollectorRegistry) -> None:
        """Show the metrics in a registry."""
        registry.register(self)

    def describe(self) -> list[Metric]:
        """Name nothing beforehand: names are fixed, and collecting is cheap."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read the counters."""
        counters = self._counters
        yield self._allocations()
        yield GaugeMetricFamily("relay_connections", "Open TCP and TLS connections.", value=self._connections())
        yield CounterMetricFamily("relay_allocations_created", "Allocations made.", value=counters.allocations_created)
        yield _by_label(
            "relay_allocations_ended", "Allocations that ended.", "reason", dict(counters.allocations_ended)
        )
        packets = {"to_peer": counters.packets_to_peers, "to_client": counters.packets_to_clients}
        yield _by_label("relay_packets", "Datagrams relayed.", "direction", packets)
        size = {"to_peer": counters.bytes_to_peers, "to_client": counters.bytes_to_clients}
        yield _by_label("relay_bytes", "Payload relayed.", "direction", size)
        drops = {drop.value: count for drop, count in counters.drops.items()}
        yield _by_label("relay_dropped_packets", "Packets that went nowhere.", "reason", drops)
        text = "Datagrams of clients that the kernel dropped because its receive buffer was full."
        yield _by_label("relay_receive_buffer_drops", text, "listener", self._kernel_drops())
        failures = dict(counters.authentication_failures)
        yield _by_label("relay_authentication_failures", "Requests that were not authenticated.", "reason", failures)
        requests = CounterMetricFamily("relay_requests", "Answered requests.", labels=("method", "result"))
        for labels, count in counters.requests.items():
            requests.add_metric(labels, count)
        yield requests

    def _allocations(self) -> Metric:
        metric = GaugeMetricFamily("relay_allocations", "Live allocations.", labels=("transport",))
        for transport in ClientTransport:
            metric.add_metric((transport.value,), self._table.count(transport))
        return metric


def _by_label(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    metric = CounterMetricFamily(name, text, labels=(label,))
    for value, count in values.items():
        metric.add_metric((value,), count)
    return metric
