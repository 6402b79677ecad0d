"""The live view: a pure function from a status to what rich prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from p2p.cli import text
from p2p.cli.line import Tone
from p2p.cli.relay_reason import advice
from p2p.session.status import PathKind, SessionStatus, SignallingPhase, Status

_WIDE_COLUMNS: Final = 76
"""Below this width the table of sessions becomes a few short lines each."""
_FRAME_LINES: Final = 10
"""Lines of a view that are not sessions; what is left of the terminal's height shows sessions."""

_PHASE_TONE: Final = {
    SignallingPhase.ONLINE: Tone.GOOD,
    SignallingPhase.CONNECTING: Tone.WARNING,
    SignallingPhase.OFFLINE: Tone.BAD,
    SignallingPhase.CLOSED: Tone.QUIET,
    SignallingPhase.NONE: Tone.QUIET,
}
_NO_RENDEZVOUS: Final = "none: peers are called at their addresses"


class Rate(NamedTuple):
    """Payload bytes a second."""

    received: float = 0.0
    sent: float = 0.0


class NewsLine(NamedTuple):
    """One of the last events."""

    clock: str
    """Local time of day, such as ``14:03:12``."""
    text: str
    tone: Tone


def rates(earlier: Status | None, status: Status) -> dict[str, Rate]:
    """Compute each session's throughput from two snapshots.

    Args:
        earlier: The older snapshot; None gives zero for all.
        status: The newer one.

    Returns:
        Bytes a second by session id; a session that the older snapshot lacks counts from zero.
    """
    if earlier is None or status.taken_at <= earlier.taken_at:
        return {session.session: Rate() for session in status.sessions}
    elapsed_s = status.taken_at - earlier.taken_at
    before = {session.session: session for session in earlier.sessions}
    result = {}
    for session in status.sessions:
        old = before.get(session.session)
        received = session.bytes_in - (old.bytes_in if old else 0)
        sent = session.bytes_out - (old.bytes_out if old else 0)
        result[session.session] = Rate(max(0, received) / elapsed_s, max(0, sent) / elapsed_s)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusView:
    """A picture of a status; rich asks it to draw itself for the width it has.

    Attributes:
        status: What to draw.
        earlier: An older snapshot, for the rates.
        news: The last events, oldest first.
        now_wall: Unix time, for how long sessions have been open.
    """

    status: Status
    earlier: Status | None = None
    news: Sequence[NewsLine] = ()
    now_wall: float = 0.0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        is_wide = options.max_width >= _WIDE_COLUMNS
        room = max(1, (options.height or console.size.height) - _FRAME_LINES)
        yield self._facts(is_wide=is_wide)
        yield Text()
        if not self.status.sessions:
            yield Text(self._waiting_words(), style="dim")
        elif is_wide:
            yield self._session_table(room // 2 or 1)
        else:
            yield from self._session_lines(room // 3 or 1)
        yield from self._reasons(room // 8 or 1)
        dropped = self.status.datagrams_dropped + sum(session.datagrams_dropped for session in self.status.sessions)
        if dropped:
            yield Text(f"{text.plural(dropped, 'datagram')} dropped on this side", style=Tone.WARNING)
        if self.news:
            yield Text()
        for line in self.news:
            yield Text.assemble((f"{line.clock}  ", "dim"), (line.text, line.tone), overflow="ellipsis", no_wrap=True)
        # The terminal echoes ^C where the picture ends; on a full line that would scroll it away.
        yield Text()

    def _facts(self, *, is_wide: bool) -> Table:
        """The lines on top: what is on offer, the rendezvous, the network."""
        status = self.status
        grid = Table.grid(padding=(0, 2), expand=False)
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column(overflow="fold")
        name = text.printable(status.name)
        if status.role == "expose":
            grid.add_row("Service", Text(f"{name} at {status.target}" if name != status.target else name))
        else:
            grid.add_row("Listening", Text(f"{status.target or 'not yet'}{f', for {name}' if name else ''}"))
        phase = _NO_RENDEZVOUS if status.signalling is SignallingPhase.NONE else str(status.signalling)
        state = Text("● ", style=_PHASE_TONE[status.signalling]).append(phase, style="default")
        if is_wide and status.rendezvous:
            state.append(f"  {status.rendezvous}", style="dim")
        grid.add_row("Rendezvous", state)
        grid.add_row("Network", Text(text.nat_sentence(status.nat)))
        if status.draining:
            grid.add_row("Ending", Text("waiting for open connections; Ctrl-C again to abort", style=Tone.WARNING))
        return grid

    def _waiting_words(self) -> str:
        if self.status.role == "connect":
            return "No session yet."
        return "Nobody is connected. Give the other side the ticket above."

    def _reasons(self, limit: int) -> RenderResult:
        """Why sessions stay on the relay."""
        relayed = [session for session in self.status.sessions if session.relayed is not None]
        for session in relayed[:limit]:
            assert session.relayed is not None
            yield Text(
                f"{text.short_peer(session.peer)} stays on the relay: {text.printable(session.relayed.text)}",
                style=Tone.WARNING,
            )
            for line in advice(session.relayed.to_json()):
                yield Text(line.text, style=line.tone)

    def _session_table(self, limit: int) -> Table:
        """Sessions as a table."""
        table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="bold", pad_edge=False)
        for heading in ("Peer", "Path", "Address"):
            table.add_column(heading, overflow="ellipsis", no_wrap=True)
        for heading in ("RTT", "In", "Out", "Flows", "Open for"):
            table.add_column(heading, justify="right", no_wrap=True)
        throughput = rates(self.earlier, self.status)
        for session in self.status.sessions[:limit]:
            speed = throughput[session.session]
            table.add_row(
                text.short_peer(session.peer),
                _path_text(session),
                "-" if session.address is None else str(session.address),
                text.round_trip(session.rtt_s),
                text.rate(speed.received),
                text.rate(speed.sent),
                f"{session.flows_open}/{session.flows_total}",
                text.duration(self.now_wall - session.since_wall),
            )
        hidden = len(self.status.sessions) - limit
        if hidden > 0:
            table.caption = f"and {text.plural(hidden, 'more session')}"
        return table

    def _session_lines(self, limit: int) -> RenderResult:
        """Sessions as short lines, for narrow terminals."""
        throughput = rates(self.earlier, self.status)
        for session in self.status.sessions[:limit]:
            speed = throughput[session.session]
            yield Text.assemble(
                text.short_peer(session.peer), " ", _path_text(session), f" {text.round_trip(session.rtt_s)}"
            )
            if session.address is not None:
                yield Text(f"  {session.address}", overflow="ellipsis", no_wrap=True)
            yield Text(
                f"  in {text.rate(speed.received)}, out {text.rate(speed.sent)}, {session.flows_open} open",
                overflow="ellipsis",
                no_wrap=True,
            )
        hidden = len(self.status.sessions) - limit
        if hidden > 0:
            yield Text(f"and {text.plural(hidden, 'more session')}", style="dim")


def _path_text(session: SessionStatus) -> Text:
    tone = Tone.BAD if session.path is None else Tone.GOOD if session.path is PathKind.DIRECT else Tone.WARNING
    return Text(text.path_words(session.path, session.transport), style=tone)
