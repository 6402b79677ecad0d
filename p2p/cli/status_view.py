"""The answer of ``p2p status`` as a picture: a pure function of the JSON objects that the processes sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from p2p.cli import text
from p2p.cli.line import Tone
from p2p.cli.relay_reason import relay_lines
from p2p.session.status import PathKind, PathTransport


def status_view(processes: Sequence[dict[str, Any]], *, now_wall: float) -> RenderableType:
    """Draw what the processes answered.

    Args:
        processes: One object each, as ``Status.to_json`` makes it, with ``pid`` and ``started``.
        now_wall: Unix time.
    """
    return Group(*(line for process in processes for line in _process(process, now_wall)))


def _process(process: dict[str, Any], now_wall: float) -> Iterator[Text]:
    what = process.get("name") or process.get("target") or "?"
    yield Text.assemble(
        (f"{process['role']} {text.printable(str(what))}", "bold"),
        f"  pid {process['pid']}, {text.duration(now_wall - process['started'])}, rendezvous {process['signalling']}",
    )
    for url in process["public"]:
        yield Text(f"  {text.printable(url)}", style=Tone.GOOD)
    if (relay := process["relay"]) is not None:
        where = f" in {relay['region']}" if relay["region"] else ""
        yield Text(f"  relay {relay['server']} over {relay['transport']}{text.printable(where)}", style=Tone.QUIET)
    sessions = process["sessions"]
    if not sessions:
        yield Text("  no session", style=Tone.QUIET)
    for session in sessions:
        yield from _session(session, now_wall)


def _session(session: dict[str, Any], now_wall: float) -> Iterator[Text]:
    kind = None if session["path"] is None else PathKind(session["path"])
    tone = Tone.BAD if kind is None else Tone.GOOD if kind is PathKind.DIRECT else Tone.WARNING
    rtt_s = None if session["rtt_ms"] is None else session["rtt_ms"] / 1000
    yield Text.assemble(
        f"  {text.short_peer(session['peer'])}  ",
        (text.path_words(kind, PathTransport(session["transport"])), tone),
        f" {session['address'] or ''}  {text.round_trip(rtt_s)}, open {text.duration(now_wall - session['since'])}, "
        f"{text.size(session['bytes_in'])} in, {text.size(session['bytes_out'])} out, "
        f"connections: {session['flows_open']} open, {session['flows_total']} in all",
    )
    for line in relay_lines(session):
        yield Text(line.text, style=line.tone)
