"""What the rendezvous counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """The counters of one server.

    Labels hold codes and message types only, never peers or addresses: their number is bounded and they give nobody
    away.

    Args:
        registry: Where they are registered; /metrics shows all that is in it.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.connections = Gauge(
            "p2p_rendezvous_connections", "Open WebSocket connections, logged in or not.", registry=registry
        )
        self.online = Gauge("p2p_rendezvous_online_peers", "Peers that are logged in.", registry=registry)
        self.logins = Counter("p2p_rendezvous_logins", "Logins by result.", ["result"], registry=registry)
        self.messages = Counter("p2p_rendezvous_messages", "Messages of clients by type.", ["type"], registry=registry)
        self.errors = Counter("p2p_rendezvous_errors", "Errors told to clients, by code.", ["code"], registry=registry)
        self.dismissals = Counter(
            "p2p_rendezvous_dismissals", "Connections that the server ended, by code.", ["code"], registry=registry
        )
        self.refused = Counter(
            "p2p_rendezvous_refused_connections", "Connections refused before a login.", ["reason"], registry=registry
        )
        self.stun = Counter("p2p_rendezvous_stun_requests", "STUN requests answered.", ["transport"], registry=registry)
        self.knocks = Counter("p2p_rendezvous_knocks", "Pieces of knocks, by result.", ["result"], registry=registry)
        self.relay_reports = Counter(
            "p2p_rendezvous_relay_reports", "Reports of relays, by result.", ["result"], registry=registry
        )
        self.relays = Gauge(
            "p2p_rendezvous_relays", "Relay processes that report, by state.", ["state"], registry=registry
        )
        # Finding a label's counter costs more than counting, and this one is found for every message.
        self._of_type: dict[str, Counter] = {}

    def count_knock(self, result: str) -> None:
        """Count a piece of a knock.

        Args:
            result: One of ``KnockResult``.
        """
        self.knocks.labels(result).inc()

    def count_message(self, kind: str) -> None:
        """Count a client's message.

        Args:
            kind: One of the protocol's types, or "unknown".
        """
        counter = self._of_type.get(kind)
        if counter is None:
            counter = self._of_type[kind] = self.messages.labels(kind)
        counter.inc()
