"""The live view and the reports, drawn at several widths."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from p2p.cli.line import Tone
from p2p.cli.status_view import status_view
from p2p.cli.view import NewsLine, Rate, StatusView, rates
from p2p.session.status import SignallingPhase, Status
from tests.support.scripted_peer import HARD, PEER_B, full_status, relayed_session, session


def draw(picture: RenderableType, width: int = 100, height: int = 40) -> str:
    console = Console(record=True, width=width, height=height, file=open("/dev/null", "w"), legacy_windows=False)  # noqa: SIM115
    try:
        console.print(picture)
        return console.export_text()
    finally:
        console.file.close()


def view(status: Status, **more: object) -> StatusView:
    return StatusView(status=status, now_wall=1060.0, **more)  # type: ignore[arg-type]


def test_waiting_exposer() -> None:
    drawn = draw(view(full_status()))
    assert "web at localhost:8080" in drawn
    assert "● online  wss://rendezvous.example" in drawn
    assert "direct paths are likely" in drawn
    assert "Nobody is connected" in drawn


def test_waiting_connector_has_other_words() -> None:
    drawn = draw(view(full_status(role="connect", target="127.0.0.1:9000")))
    assert "127.0.0.1:9000, for web" in drawn
    assert "No session yet." in drawn


def test_sessions_with_rates_and_reason() -> None:
    earlier = full_status([session(bytes_in=0, bytes_out=0)], taken_at=8.0)
    drawn = draw(view(full_status([session(), relayed_session()]), earlier=earlier), width=110)
    direct, relayed, reason, remedy, page = drawn.splitlines()[6:11]
    for words in ("k7aaaaaaaa…", "direct", "203.0.113.9:40022", "23 ms", "750 kB/s", "2.1 kB/s", "2/17", "1 min 0 s"):
        assert words in direct
    assert "relay over tls" in relayed
    assert reason.strip() == f"q3bbbbbbbb… stays on the relay: {HARD.text}"
    assert remedy.strip() == f"to change it: {HARD.remedy}"
    assert page.strip() == f"more: docs/errors/relayed.md#{HARD.code}"


def test_no_path_is_said() -> None:
    assert "no path" in draw(view(full_status([session(path=None, address=None, rtt_s=None)])))


@pytest.mark.parametrize("width", [20, 40, 48, 75, 76, 80, 200])
def test_never_wider_than_the_terminal(width: int) -> None:
    news = [NewsLine("12:00:00", "something long happened " * 8, Tone.PLAIN)]
    drawn = draw(view(full_status([session(), relayed_session()]), news=news), width=width)
    assert max(len(line) for line in drawn.splitlines()) <= width


def test_narrow_terminal_gets_lines_instead_of_a_table() -> None:
    drawn = draw(view(full_status([session()])), width=50)
    assert "Flows" not in drawn
    assert "k7aaaaaaaa… direct 23 ms\n  203.0.113.9:40022\n  in 0 B/s, out 0 B/s, 2 open" in drawn
    assert "wss://rendezvous.example" not in drawn


@pytest.mark.parametrize("width", [50, 100])
def test_many_sessions_fit_the_height(width: int) -> None:
    many = [session(f"s{number}") for number in range(100)]
    drawn = draw(view(full_status(many)), width=width, height=24)
    assert len(drawn.splitlines()) <= 24
    assert "more sessions" in drawn


def test_news_and_draining() -> None:
    news = [NewsLine("12:00:00", "listening on [::1]:80", Tone.GOOD)]
    drawn = draw(view(full_status(draining=True), news=news))
    assert "12:00:00  listening on [::1]:80" in drawn
    assert "Ctrl-C again to abort" in drawn


def test_markup_in_names_is_not_interpreted() -> None:
    assert "[red]x[/red]" in draw(view(full_status(name="[red]x[/red]")))


def test_every_signalling_phase_can_be_drawn() -> None:
    for phase in SignallingPhase:
        assert phase in draw(view(full_status(signalling=phase)))


class TestRates:
    def test_without_an_older_snapshot(self) -> None:
        assert rates(None, full_status([session()])) == {"a1": Rate(0, 0)}

    def test_same_instant(self) -> None:
        status = full_status([session()])
        assert rates(status, status) == {"a1": Rate(0, 0)}

    def test_new_session_counts_from_zero(self) -> None:
        earlier = full_status(taken_at=8.0)
        assert rates(earlier, full_status([session(bytes_in=100, bytes_out=50)])) == {"a1": Rate(50, 25)}

    def test_counters_that_fell_give_no_negative_rate(self) -> None:
        earlier = full_status([session(bytes_in=1000)], taken_at=8.0)
        assert rates(earlier, full_status([session(bytes_in=10)]))["a1"].received == 0


def test_status_view() -> None:
    process = {"pid": 7, "started": 1000.0, **full_status([session(), relayed_session()]).to_json()}
    idle = {"pid": 8, "started": 1000.0, **replace(full_status(), name="").to_json()}
    lost = {"pid": 9, "started": 1000.0, **full_status([session(path=None, address=None, rtt_s=None)]).to_json()}
    drawn = draw(status_view([process, idle, lost], now_wall=1060.0), width=160)
    assert "expose web  pid 7, 1 min 0 s, rendezvous online" in drawn
    assert "k7aaaaaaaa…  direct 203.0.113.9:40022  23 ms, open 1 min 0 s" in drawn
    assert f"relayed: {HARD.text}" in drawn
    block = drawn.split(HARD.text)[1].split("expose localhost:8080")[0]
    assert [line.strip() for line in block.splitlines() if line.strip()] == [
        "to change it: map a port on one side",
        "more: docs/errors/relayed.md#both-mappings-dependent",
        "network here:  mapping address-and-port-dependent",
        "network there: mapping address-and-port-dependent, filtering address-and-port-dependent",
        "tried host 192.168.1.7:4000 to srflx 192.0.2.9:5000: failed (unanswered after 7 checks)",
    ]
    assert "expose localhost:8080  pid 8" in drawn
    assert "no session" in drawn
    assert "no path" in drawn
    assert PEER_B not in drawn


def test_dropped_datagrams_are_in_sight() -> None:
    status = replace(full_status((session(datagrams_dropped=4),)), datagrams_dropped=1)
    assert "5 datagrams dropped on this side" in draw(view(status))
    assert "dropped" not in draw(view(full_status((session(),))))
