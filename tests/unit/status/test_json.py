"""The JSON lines: names and fields that programs rely on."""

from __future__ import annotations

import json

import pytest

from p2p.address import TransportAddress
from p2p.errors import SignallingError
from p2p.session.events import (
    Connected,
    Event,
    Listening,
    PathChanged,
    Problem,
    Ready,
    Relayed,
    Report,
    SessionClosed,
    SessionOpened,
    SignallingChanged,
)
from p2p.session.nat_report import NatReport, RelayReach
from p2p.session.reports import PingReply
from p2p.session.router_report import OutsideVerdict, RouterAnswer, RouterReport
from p2p.session.status import NatFacts, PathKind, PathTransport, RelayedReason, SignallingPhase, Status
from tests.support.scripted_peer import full_status, relayed_session, session

ADDRESS = TransportAddress("203.0.113.9", 40022)
EVENTS = [
    (
        Ready(t_s=0.1, ticket="p2p1x", name="web", service="web-1", peer_id="k7", rendezvous="wss://r.example"),
        {"ticket", "name", "service", "peer_id", "rendezvous", "services", "nat"},
    ),
    (Listening(t_s=0.1, address=ADDRESS), {"address"}),
    (
        SessionOpened(t_s=0.1, session="a1", peer="k7", path=PathKind.RELAY),
        {"session", "peer", "path", "transport", "address", "rtt_ms"},
    ),
    (
        Connected(t_s=0.1, session="a1", peer="k7", path=PathKind.RELAY),
        {"session", "peer", "path", "transport", "address", "rtt_ms"},
    ),
    (
        PathChanged(t_s=0.1, session="a1", path=PathKind.DIRECT, address=ADDRESS, rtt_s=0.0405),
        {"session", "path", "transport", "address", "rtt_ms"},
    ),
    (
        Relayed(t_s=0.1, session="a1", reason=RelayedReason("udp_blocked", "because")),
        {"session", "reason", "nat", "pairs"},
    ),
    (SessionClosed(t_s=0.1, session="a1", reason="bye"), {"session", "reason", "code"}),
    (SignallingChanged(t_s=0.1, state=SignallingPhase.ONLINE), {"state"}),
    (Problem(t_s=0.1, error=SignallingError("no answer")), {"code", "detail", "hint"}),
    (
        Report(t_s=0.1),
        {"sessions", "bytes_in", "bytes_out", "flows_total", "flows_failed", "outages", "datagrams_dropped"},
    ),
]
NAMES = [
    "ready",
    "listening",
    "session_opened",
    "connected",
    "path",
    "relayed",
    "session_closed",
    "signalling",
    "error",
    "report",
]


@pytest.mark.parametrize(("event", "fields"), EVENTS, ids=NAMES)
def test_event_has_its_fields_and_is_json(event: Event, fields: set[str]) -> None:
    value = json.loads(json.dumps(event.to_json()))
    assert list(value)[:2] == ["event", "t"]
    assert value["event"] == NAMES[[known for known, _ in EVENTS].index(event)]
    assert value["t"] == 0.1
    assert set(value) == {"event", "t"} | fields


def test_path_event_values() -> None:
    event = PathChanged(
        t_s=1.23456789, session="a1", path=PathKind.DIRECT, transport=PathTransport.UDP, address=ADDRESS, rtt_s=0.0405
    )
    assert json.loads(json.dumps(event.to_json())) == {
        "event": "path",
        "t": 1.234568,
        "session": "a1",
        "path": "direct",
        "transport": "udp",
        "address": "203.0.113.9:40022",
        "rtt_ms": 40.5,
    }


def test_reason_is_an_object() -> None:
    reason = Relayed(t_s=0, session="a1", reason=RelayedReason("c", "t")).to_json()["reason"]
    assert reason == {"code": "c", "text": "t", "remedy": "", "certain": True}


def test_problem_carries_the_stable_code() -> None:
    value = Problem(t_s=0, error=SignallingError("no answer")).to_json()
    assert (value["code"], value["detail"]) == ("P2P-3001", "no answer")


def test_report_adds_up() -> None:
    value = Report(t_s=9, sessions=(session(bytes_in=1, bytes_out=2), relayed_session()), flows_failed=3).to_json()
    assert value["bytes_in"] == 1_500_001
    assert value["flows_total"] == 34
    assert value["flows_failed"] == 3
    assert value["sessions"][1]["reason"]["code"] == "both-mappings-dependent"
    assert value["sessions"][1]["nat"]["remote"]["filtering"] == "address_and_port_dependent"
    assert value["sessions"][1]["pairs"][0] == {
        "local": "host 192.168.1.7:4000",
        "remote": "srflx 192.0.2.9:5000",
        "state": "failed",
        "detail": "unanswered after 7 checks",
        "rtt_ms": None,
        "local_type": "host",
        "local_address": "192.168.1.7:4000",
        "remote_type": "srflx",
        "remote_address": "192.0.2.9:5000",
        "relayed": False,
        "end": "unanswered",
        "attempts": 7,
        "selected": False,
    }


def test_status_shows_no_ticket() -> None:
    status = full_status([session()])
    assert status.ticket
    assert status.ticket not in json.dumps(status.to_json())


def test_unknown_is_null() -> None:
    value = json.loads(json.dumps(Status(role="connect", taken_at=0.0).to_json()))
    assert value["nat"] == {
        "mapping": None, "filtering": None, "port_preserving": None, "udp_blocked": None, "mapped_address": None,
    }  # fmt: skip


def test_nat_report() -> None:
    relay = RelayReach(url="turns:r.example:5349", region="eu", transport=PathTransport.TLS, reachable=True, rtt_s=0.02)
    report = NatReport(facts=NatFacts(mapping="none"), relays=(relay,), local_addresses=(ADDRESS,))
    value = json.loads(json.dumps(report.to_json()))
    assert value["mapping"] == "none"
    assert value["port_mapping"] is None
    assert value["port_mapping_details"] is None
    assert value["relays"] == [
        {
            "url": "turns:r.example:5349",
            "region": "eu",
            "transport": "tls",
            "reachable": True,
            "rtt_ms": 20.0,
            "detail": "",
        }
    ]


def test_router_report() -> None:
    answer = RouterAnswer(
        protocol="upnp", gateway="10.0.0.1", external_host="8.8.8.8", verdict=OutsideVerdict.ELSEWHERE, igd_version=2
    )
    report = NatReport(facts=NatFacts(), router=RouterReport(gateways=("10.0.0.1",), answers=(answer,)))
    value = json.loads(json.dumps(report.to_json()))
    assert value["port_mapping"] == ["upnp"]
    details = value["port_mapping_details"]
    assert (details["useful"], details["gateways"], details["problems"]) == (False, ["10.0.0.1"], [])
    assert details["answers"] == [
        {
            "protocol": "upnp", "gateway": "10.0.0.1", "external_address": "8.8.8.8", "verdict": "elsewhere",
            "igd_version": 2, "took_ms": 0.0,
        }
    ]  # fmt: skip


def test_ping_reply() -> None:
    value = PingReply(sequence=1, path=PathKind.DIRECT, address=ADDRESS, rtt_s=None).to_json()
    assert value["rtt_ms"] is None
    assert value["path"] == "direct"
