"""Metrics of a peer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from p2p.address import TransportAddress
from p2p.errors import ConnectivityError, SignallingError
from p2p.observe.metrics import METRICS_PATH, PeerMetrics, metrics_server
from p2p.session.events import Connected, PathChanged, Problem, Relayed, SessionClosed
from p2p.session.status import CheckCounts, PathKind, SessionStatus, Status
from tests.support.scripted_peer import HARD, PEER_A, PEER_B, full_status, relayed_session, session

LOOPBACK = TransportAddress("127.0.0.1", 0)


class Peer:
    """Has whatever status the test gives it."""

    def __init__(self, sessions: Sequence[SessionStatus] = ()) -> None:
        self.sessions = tuple(sessions)
        self.checks = CheckCounts()
        self.statuses_made = 0
        self.metrics = PeerMetrics(self.status, self.session)

    def status(self) -> Status:
        self.statuses_made += 1
        return replace(full_status(self.sessions), checks=self.checks)

    def session(self, name: str) -> SessionStatus | None:
        return next((session for session in self.sessions if session.session == name), None)

    def value(self, name: str, **labels: str) -> float | None:
        registry: CollectorRegistry = self.metrics.registry
        return registry.get_sample_value(name, labels)


def test_open_sessions_by_path_and_reason() -> None:
    peer = Peer([session(), relayed_session(), session("c3", path=None)])
    assert peer.value("p2p_sessions", path="direct", reason="") == 1
    assert peer.value("p2p_sessions", path="relay", reason="both-mappings-dependent") == 1
    assert peer.value("p2p_sessions", path="none", reason="") == 1
    assert peer.value("p2p_rendezvous_online") == 1
    assert peer.value("p2p_flows_open") == 6


def test_totals_outlive_a_session() -> None:
    peer = Peer([session(bytes_in=10, bytes_out=3, flows_total=2, datagrams_dropped=4)])
    peer.metrics.event(SessionClosed(t_s=1, session="a1", reason="bye"))
    peer.sessions = ()
    assert peer.value("p2p_bytes_total", direction="in") == 10
    peer.sessions = (session("b2", bytes_in=5, bytes_out=1, flows_total=1, datagrams_dropped=1),)
    assert peer.value("p2p_datagrams_dropped_total") == 5
    assert peer.value("p2p_bytes_total", direction="in") == 15
    assert peer.value("p2p_bytes_total", direction="out") == 4
    assert peer.value("p2p_flows_total") == 3
    assert peer.value("p2p_sessions_closed_total", code="") == 1


def test_time_to_direct_is_counted_once() -> None:
    peer = Peer()
    direct = PathChanged(t_s=1.5, session="a1", path=PathKind.DIRECT)
    peer.metrics.event(PathChanged(t_s=1.0, session="a1", path=PathKind.RELAY))
    peer.metrics.event(direct)
    assert peer.value("p2p_time_to_direct_seconds_count") == 0, "it is not open yet"
    history = ((1.0, PathKind.RELAY), (1.5, PathKind.DIRECT))
    peer.sessions = (session(history=history),)
    peer.metrics.event(Connected(t_s=1.6, session="a1", peer=PEER_A, path=PathKind.DIRECT))
    peer.metrics.event(direct)
    assert peer.value("p2p_time_to_direct_seconds_count") == 1
    assert peer.value("p2p_time_to_direct_seconds_sum") == 0.5
    assert peer.value("p2p_path_changes_total", path="direct") == 2
    assert peer.value("p2p_path_changes_total", path="relay") == 1
    assert peer.value("p2p_sessions_opened_total") == 1


def test_a_session_that_stays_on_the_relay_has_no_time() -> None:
    peer = Peer([replace(relayed_session(), history=((1.0, PathKind.RELAY),))])
    peer.metrics.event(Connected(t_s=1.6, session="b2", peer=PEER_B, path=PathKind.RELAY))
    peer.metrics.event(Relayed(t_s=3, session="b2", reason=HARD))
    assert peer.value("p2p_time_to_direct_seconds_count") == 0
    assert peer.value("p2p_relayed_total", reason="both-mappings-dependent") == 1


def test_what_was_sent_to_find_paths() -> None:
    peer = Peer()
    peer.checks = CheckCounts(checks=30, heartbeats=4, guesses=200, withheld=7)
    assert peer.value("p2p_checks_sent_total", kind="check") == 30
    assert peer.value("p2p_checks_sent_total", kind="heartbeat") == 4
    assert peer.value("p2p_checks_sent_total", kind="guess") == 200
    assert peer.value("p2p_checks_withheld_total") == 7


def test_no_event_costs_a_status_of_all_sessions() -> None:
    peer = Peer([session()])
    before = peer.statuses_made
    peer.metrics.event(Connected(t_s=1.6, session="a1", peer=PEER_A, path=PathKind.DIRECT))
    peer.metrics.event(PathChanged(t_s=1.7, session="a1", path=PathKind.RELAY))
    peer.metrics.event(SessionClosed(t_s=2, session="a1", reason="bye"))
    assert peer.statuses_made == before


def test_problems_by_code() -> None:
    peer = Peer()
    peer.metrics.event(Problem(t_s=1, error=SignallingError("no answer")))
    assert peer.value("p2p_problems_total", code="P2P-3001") == 1


async def test_the_page_names_nobody() -> None:
    peer = Peer([session(), relayed_session()])
    async with (
        metrics_server(LOOPBACK, peer.metrics) as address,
        aiohttp.ClientSession() as client,
        client.get(f"http://{address}{METRICS_PATH}") as answer,
    ):
        page = await answer.text()
    assert answer.status == 200
    assert 'p2p_sessions{path="direct",reason=""} 1.0' in page
    for secret in (PEER_A, PEER_B, "203.0.113.9", "192.168.1.7", full_status().ticket):
        assert secret not in page


async def test_a_port_that_is_taken_is_said() -> None:
    peer = Peer()
    async with metrics_server(LOOPBACK, peer.metrics) as address:
        with pytest.raises(ConnectivityError) as caught:
            async with metrics_server(address, peer.metrics):
                pass
    assert caught.value.code == "P2P-4103"
