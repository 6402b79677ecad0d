"""Where news goes: JSON lines, plain lines, or a live view. One of them is chosen at the start of a command."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol, Self, TextIO

from p2p import defaults
from p2p.cli.describe import describe
from p2p.cli.line import Line, Tone
from p2p.session.events import (
    Connected,
    Event,
    GatewayReady,
    Inspecting,
    PathChanged,
    Problem,
    Public,
    Ready,
    Report,
    SessionOpened,
    SignallingChanged,
)
from p2p.session.status import SignallingPhase, Status


class Output(Protocol):
    """What the commands that run for a while show their news with; a context manager."""

    interval_s: float | None
    """How often ``refresh`` wants to be called; None for never."""

    def event(self, event: Event) -> None:
        """Show what happened."""
        ...

    def note(self, text: str) -> None:
        """Show a remark that is no event, such as what the command waits for."""
        ...

    def refresh(self, status: Status) -> None:
        """Show the present state."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc_info: object) -> None: ...


class Repeats:
    """Keeps what comes back at every attempt from being told every time.

    Success clears the memory: afterwards the same problem is news.
    """

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def is_news(self, event: Event) -> bool:
        """Whether to tell the event."""
        if isinstance(event, SessionOpened | Connected):
            self._told.clear()
        if isinstance(event, Problem):
            key = event.error.code, event.error.detail
        elif isinstance(event, SignallingChanged):
            key = event.state, event.detail
            if event.state is SignallingPhase.ONLINE:
                self._told = {known for known in self._told if known[0] not in set(SignallingPhase)}
        else:
            return True
        is_new = key not in self._told
        self._told.add(key)
        return is_new


class JsonOutput:
    """One JSON object a line; remarks go nowhere, because a program reads this.

    Args:
        stream: Where lines go.
    """

    interval_s: float | None = None

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def event(self, event: Event) -> None:
        """Print the event's object."""
        print_json(event.to_json(), self._stream)

    def note(self, text: str) -> None:
        """Drop the remark."""

    def refresh(self, status: Status) -> None:
        """Do nothing: events tell all."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Nothing to undo."""


class PlainOutput:
    """Lines of text, for a log, a pipe or a dumb terminal.

    Args:
        stream: Where lines go.
        errors: Where problems and remarks go.
        is_quiet: Whether to leave out what is no trouble.
    """

    interval_s: float | None = None

    def __init__(self, stream: TextIO, errors: TextIO, *, is_quiet: bool = False) -> None:
        self._stream = stream
        self._errors = errors
        self._is_quiet = is_quiet
        self._repeats = Repeats()

    def event(self, event: Event) -> None:
        """Print the event in words."""
        if not self._repeats.is_news(event):
            return
        if self._is_quiet and isinstance(event, PathChanged):
            return  # a session begins on the relay, as it should
        is_problem = isinstance(event, Problem)
        for line in [*headline(event), *describe(event)]:
            if is_problem or not self._is_quiet or line.tone in _TROUBLE:
                print(line.text, file=self._errors if is_problem else self._stream, flush=True)

    def note(self, text: str) -> None:
        """Print the remark."""
        print(text, file=self._errors, flush=True)

    def refresh(self, status: Status) -> None:
        """Do nothing: events tell all."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Nothing to undo."""


class LiveOutput:
    """A live view at the bottom of the terminal; what one copies (ticket, address) stays above it.

    Args:
        clock_wall: Unix time, for how long sessions have been open.
    """

    interval_s: float | None = defaults.LIVE_VIEW_INTERVAL_S

    def __init__(self, clock_wall: Callable[[], float] = time.time) -> None:
        from rich.console import Console
        from rich.live import Live

        self._clock_wall = clock_wall
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True, vertical_overflow="ellipsis")
        self._news: deque[tuple[float, Line]] = deque(maxlen=_NEWS_LINES)
        self._snapshots: deque[Status] = deque()
        self._repeats = Repeats()

    def event(self, event: Event) -> None:
        """Keep the event for the view; print what must stay."""
        if not self._repeats.is_news(event):
            return
        for line in headline(event):
            # No wrapping: a ticket that the terminal broke with our newline cannot be copied.
            self._console.print(line.text, style=line.tone or None, soft_wrap=True, markup=False)
        lines = describe(event)
        if isinstance(event, Report):
            self._live.stop()
        if isinstance(event, Report | Problem):
            for line in lines:
                self._console.print(line.text, style=line.tone or None, markup=False)
            return
        now_wall = self._clock_wall()
        # The first line makes sense alone; a few lines of news have no room for advice, which the view itself gives.
        self._news.append((now_wall, lines[0]))

    def note(self, text: str) -> None:
        """Keep the remark for the view."""
        self._news.append((self._clock_wall(), Line(text, Tone.WARNING)))

    def refresh(self, status: Status) -> None:
        """Draw the view."""
        from p2p.cli.view import NewsLine, StatusView

        self._snapshots.append(status)
        while status.taken_at - self._snapshots[0].taken_at > defaults.RATE_WINDOW_S:
            self._snapshots.popleft()
        news = [
            NewsLine(time.strftime("%H:%M:%S", time.localtime(at_wall)), line.text, line.tone)
            for at_wall, line in self._news
        ]
        view = StatusView(status=status, earlier=self._snapshots[0], news=news, now_wall=self._clock_wall())
        self._live.update(view, refresh=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._live.stop()


_TROUBLE: Final = (Tone.WARNING, Tone.BAD)
_NEWS_LINES: Final = 5
"""Lines of news in the live view: the last thing that happened and what led to it."""


def choose_output(*, as_json: bool, stdio: bool = False, verbose: bool = False, stream: TextIO | None = None) -> Output:
    """Choose how to show news.

    Args:
        as_json: Whether a program reads along.
        verbose: Whether to tell more than trouble where the payload owns standard output.
        stdio: Whether standard output carries the payload; then every message goes to standard error.
        stream: Where to write; None takes standard output, or error with ``stdio``.
    """
    stream = stream or (sys.stderr if stdio else sys.stdout)
    if as_json:
        return JsonOutput(stream)
    if stdio or not stream.isatty() or os.environ.get("TERM") == "dumb":
        return PlainOutput(stream, sys.stderr, is_quiet=stdio and not verbose)
    return LiveOutput()


def headline(event: Event) -> tuple[Line, ...]:
    """Lines that a user copies from, which every output keeps in sight."""
    if isinstance(event, Ready):
        return (
            Line("Ticket (whoever has it can connect):", Tone.QUIET),
            Line(event.ticket),
            Line("On the other machine:", Tone.QUIET),
            Line(f"p2p connect {event.ticket}"),
            Line(""),
        )
    if isinstance(event, Inspecting):
        return (Line("Requests, for this machine only:", Tone.QUIET), Line(event.url), Line(""))
    if isinstance(event, GatewayReady):
        return (
            Line("Gateway ticket (whoever has it can publish here):", Tone.QUIET),
            Line(event.ticket),
            Line("On a machine with a service:", Tone.QUIET),
            Line(f"P2P_GATEWAY={event.ticket} p2p expose 8080 --public --name blog"),
            Line(""),
        )
    if isinstance(event, Public):
        return (Line("Public URL (whoever knows it can come):", Tone.QUIET), *map(Line, event.urls), Line(""))
    return ()


def print_json(value: dict[str, Any], stream: TextIO | None = None) -> None:
    """Print one JSON object on a line and flush, so that a reader sees it at once."""
    print(json.dumps(value), file=stream or sys.stdout, flush=True)


def silence_stdout() -> None:
    """Send what is still to come nowhere, because nobody reads any more; Python would complain again at exit."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
