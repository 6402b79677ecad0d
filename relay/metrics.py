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
        is_draining: Whether new allocations are refused.
        ports: Relayed ports in use, and all of them, by host.
        top_users: Users with most payload, if they are to be named.
        kernel_drops: What the kernel dropped at each UDP port because the relay was too slow.
    """

    def __init__(
        self,
        counters: RelayCounters,
        table: AllocationTable,
        *,
        connections: Callable[[], int],
        is_draining: Callable[[], bool],
        ports: Callable[[], dict[str, tuple[int, int]]],
        top_users: Callable[[], list[tuple[str, int]]],
        kernel_drops: Callable[[], dict[str, int]],
    ) -> None:
        self._counters = counters
        self._table = table
        self._connections = connections
        self._is_draining = is_draining
        self._ports = ports
        self._top_users = top_users
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
        yield GaugeMetricFamily("relay_draining", "Whether new allocations are refused.", value=self._is_draining())
        used = GaugeMetricFamily("relay_ports_used", "Relayed ports in use.", labels=("host",))
        size = GaugeMetricFamily("relay_ports", "Relayed ports there are.", labels=("host",))
        for host, (in_use, count) in self._ports().items():
            used.add_metric((host,), in_use)
            size.add_metric((host,), count)
        yield used
        yield size
        yield CounterMetricFamily("relay_allocations_created", "Allocations made.", value=counters.allocations_created)
        yield _by_label(
            "relay_allocations_ended", "Allocations that ended.", "reason", dict(counters.allocations_ended)
        )
        packets = {"to_peer": counters.packets_to_peers, "to_client": counters.packets_to_clients}
        yield _by_label("relay_packets", "Datagrams relayed.", "direction", packets)
        payload = {"to_peer": counters.bytes_to_peers, "to_client": counters.bytes_to_clients}
        yield _by_label("relay_bytes", "Payload relayed.", "direction", payload)
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
        users = GaugeMetricFamily("relay_top_user_bytes", "Payload of the users with most of it.", labels=("user",))
        for user, relayed_bytes in self._top_users():
            users.add_metric((user,), relayed_bytes)
        yield users

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
