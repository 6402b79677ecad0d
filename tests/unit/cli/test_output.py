"""Events as lines of JSON, as plain lines, and above the live view."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace

import pytest

from p2p.address import TransportAddress
from p2p.cli.describe import describe, error_lines
from p2p.cli.output import JsonOutput, LiveOutput, Output, PlainOutput, choose_output
from p2p.cli.relay_reason import network
from p2p.errors import AllPathsFailedError, SignallingError
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
from p2p.session.status import NatFacts, PathKind, SignallingPhase
from tests.support.scripted_peer import HARD, PEER_A, TICKET, full_status, relayed_session, session

READY = Ready(t_s=0.1, ticket=TICKET, name="web", service="web-1", peer_id=PEER_A, rendezvous="wss://r.example")
ADDRESS = TransportAddress("203.0.113.9", 40022)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (READY, "web is on offer at wss://r.example"),
        (Listening(t_s=0, address=ADDRESS), "listening on 203.0.113.9:40022"),
        (SessionOpened(t_s=0, session="a1", peer=PEER_A, path=PathKind.RELAY), "k7aaaaaaaa… connected, relay"),
        (Connected(t_s=0, session="a1", peer=PEER_A, path=PathKind.RELAY), "connected to k7aaaaaaaa…, relay"),
        (
            PathChanged(t_s=0, session="a1", path=PathKind.DIRECT, address=ADDRESS, rtt_s=0.02),
            "session a1 is direct to 203.0.113.9:40022 (20 ms) from now on",
        ),
        (Relayed(t_s=0, session="a1", reason=HARD), f"session a1 stays on the relay: {HARD.text}"),
        (SessionClosed(t_s=0, session="a1", reason="bye\x1b[2J"), "session a1 closed: bye\ufffd[2J"),
        (SessionClosed(t_s=0, session="a1", reason="gone", code="P2P-6001"), "session a1 closed: gone [P2P-6001]"),
        (
            SignallingChanged(t_s=0, state=SignallingPhase.OFFLINE, detail="refused"),
            "rendezvous offline: refused",
        ),
        (Report(t_s=61), "ended after 1 min 1 s, without a session"),
    ],
)
def test_words(event: Event, words: str) -> None:
    assert describe(event)[0].text == words


def test_report_explains_the_relay_pair_by_pair() -> None:
    lines = [line.text for line in describe(Report(t_s=9, sessions=(session(), relayed_session()), flows_failed=1))]
    assert lines[0] == "ended after 9 s: 2 sessions, 34 connections, 1 failed, 3.0 MB in, 8.4 kB out"
    assert f"    relayed: {HARD.text}" in lines
    assert "      to change it: map a port on one side" in lines
    assert "      more: docs/errors/relayed.md#both-mappings-dependent" in lines
    assert "      network here:  mapping address-and-port-dependent" in lines
    assert "      tried host 192.168.1.7:4000 to srflx 192.0.2.9:5000: failed (unanswered after 7 checks)" in lines
    assert not any("198.51.100.10:50000" in line for line in lines), "what a relay carries explains no relay"


def test_many_pairs_are_cut_short() -> None:
    relayed = relayed_session()
    many = replace(relayed, pairs=relayed.pairs[:1] * 9)
    lines = [line.text for line in describe(Report(t_s=9, sessions=(many,)))]
    assert sum("tried" in line for line in lines) == 6
    assert lines[-1].strip() == "and 3 more pairs; --json names them all"


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (NatFacts(), "nothing known"),
        (NatFacts(udp_blocked=True, mapping="none"), "no UDP"),
        (
            NatFacts(mapping="none", filtering="address_dependent", port_preserving=True, mapped_address=ADDRESS),
            "mapping none, filtering address-dependent, keeps the port, seen as 203.0.113.9:40022",
        ),
    ],
)
def test_network_in_few_words(facts: NatFacts, words: str) -> None:
    assert network(facts.to_json()) == words


def test_error_has_code_evidence_cause_fix_and_page() -> None:
    error = AllPathsFailedError("nothing worked", report=["host a to host b: failed"])
    error.__cause__ = OSError("network unreachable")
    assert error_lines(error) == [
        "Error P2P-4002: nothing worked",
        "  Tried: host a to host b: failed",
        "  Cause: OSError: network unreachable",
        f"  Fix:   {error.hint}",
        "  More:  docs/errors/P2P-4002.md",
    ]


def test_json_lines() -> None:
    with JsonOutput(stream := io.StringIO()) as output:
        output.event(READY)
        output.note("a remark")
        output.refresh(full_status())
        output.event(Report(t_s=2))
    values = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [value["event"] for value in values] == ["ready", "report"]


def test_plain_lines_keep_errors_apart() -> None:
    with PlainOutput(stream := io.StringIO(), errors := io.StringIO()) as output:
        output.event(READY)
        output.event(Problem(t_s=0, error=SignallingError("no answer")))
        output.note("waiting")
        output.refresh(full_status())
    assert f"\n{TICKET}\n" in stream.getvalue()
    assert f"\np2p connect {TICKET}\n" in stream.getvalue()
    assert errors.getvalue().startswith("Error P2P-3001: no answer\n")
    assert errors.getvalue().endswith("waiting\n")


def test_problem_of_every_attempt_is_told_once() -> None:
    problem = Problem(t_s=0, error=SignallingError("peer offline"))
    with PlainOutput(io.StringIO(), errors := io.StringIO()) as output:
        output.event(problem)
        output.event(Problem(t_s=1, error=SignallingError("peer offline")))
        output.event(Problem(t_s=1, error=SignallingError("something else")))
        assert errors.getvalue().count("Error P2P-3001") == 2
        output.event(Connected(t_s=2, session="a1", peer=PEER_A, path=PathKind.RELAY))
        output.event(problem)
    assert errors.getvalue().count("peer offline") == 2


def test_reconnecting_is_told_once_per_outage() -> None:
    def change(state: SignallingPhase, detail: str = "") -> SignallingChanged:
        return SignallingChanged(t_s=0, state=state, detail=detail)

    with PlainOutput(stream := io.StringIO(), io.StringIO()) as output:
        for _ in range(2):
            for _ in range(3):
                output.event(change(SignallingPhase.CONNECTING))
                output.event(change(SignallingPhase.OFFLINE, "refused"))
            output.event(change(SignallingPhase.ONLINE))
    assert (
        stream.getvalue().splitlines()
        == [
            "rendezvous connecting",
            "rendezvous offline: refused",
            "rendezvous online",
        ]
        * 2
    )


def test_live_view_keeps_the_ticket_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", stream := Terminal())
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "30")
    monkeypatch.setenv("TERM", "xterm")
    with LiveOutput(clock_wall=lambda: 1060.0) as output:
        output.event(READY)
        output.event(SessionOpened(t_s=1, session="a1", peer=PEER_A, path=PathKind.RELAY))
        output.refresh(full_status([session()], taken_at=10.0))
        output.refresh(full_status([session(bytes_in=3_500_000)], taken_at=11.0))
        output.event(Problem(t_s=1, error=SignallingError("no answer")))
        output.note("waiting for 1 open connection")
        output.refresh(full_status([session(bytes_in=3_500_000)], taken_at=99.0))
        output.event(Report(t_s=2, sessions=(session(),)))
    shown = stream.getvalue()
    assert f"p2p connect {TICKET}" in shown
    assert "2.0 MB/s" in shown
    assert "Error P2P-3001: no answer" in shown
    assert "waiting for 1 open connection" in shown
    assert "ended after 2 s: 1 session" in shown


class TestChoice:
    @pytest.fixture(autouse=True)
    def a_real_terminal_type(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "xterm")

    def check(self, output: Output, kind: type) -> None:
        assert type(output) is kind

    def test_pipe(self) -> None:
        self.check(choose_output(as_json=False, stream=io.StringIO()), PlainOutput)

    def test_terminal(self) -> None:
        self.check(choose_output(as_json=False, stream=Terminal()), LiveOutput)

    def test_dumb_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "dumb")
        self.check(choose_output(as_json=False, stream=Terminal()), PlainOutput)

    def test_json_even_on_a_terminal(self) -> None:
        self.check(choose_output(as_json=True, stream=Terminal()), JsonOutput)

    def test_payload_owns_standard_output(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdout", stdout := io.StringIO())
        monkeypatch.setattr(sys, "stderr", stderr := io.StringIO())
        for as_json, verbose in [(False, False), (False, True), (True, False)]:
            choose_output(as_json=as_json, stdio=True, verbose=verbose).event(Report(t_s=1))
        assert stdout.getvalue() == ""
        assert len(stderr.getvalue().splitlines()) == 2

    def test_payload_mode_tells_of_trouble_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stderr", stderr := io.StringIO())
        output = choose_output(as_json=False, stdio=True)
        output.event(PathChanged(t_s=0, session="a1", path=PathKind.RELAY))
        output.event(Connected(t_s=0, session="a1", peer=PEER_A, path=PathKind.RELAY))
        output.event(Relayed(t_s=0, session="a1", reason=HARD))
        output.event(Problem(t_s=0, error=SignallingError("no answer")))
        lines = stderr.getvalue().splitlines()
        assert lines[0].startswith("session a1 stays on the relay")
        assert lines[1] == "Error P2P-3001: no answer"
        assert lines[2].startswith("  Fix: ")


def test_dropped_datagrams_are_told_at_the_end() -> None:
    lost = session(datagrams_dropped=2)
    lines = [line.text for line in describe(Report(t_s=9, sessions=(lost,), datagrams_dropped=3))]
    assert "  5 datagrams dropped on this side" in lines
    assert not any("dropped" in line.text for line in describe(Report(t_s=9, sessions=(session(),))))
