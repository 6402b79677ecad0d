"""Events as lines of text."""

from __future__ import annotations

from functools import singledispatch
from typing import Final

from p2p.cli import text
from p2p.cli.line import ERROR_PAGES, Line, Tone
from p2p.cli.relay_reason import advice, relay_lines
from p2p.errors import AllPathsFailedError, P2PError
from p2p.os_errors import reason_of
from p2p.session.events import (
    Connected,
    Event,
    GatewayReady,
    Inspecting,
    Listening,
    PathChanged,
    Problem,
    Public,
    Ready,
    Relayed,
    Report,
    SessionClosed,
    SessionOpened,
    SignallingChanged,
    Visit,
)
from p2p.session.status import PathKind, SessionStatus, SignallingPhase

_SERVER_ERROR: Final = 500


def error_lines(error: P2PError) -> list[str]:
    """Put an error into words: code, what happened, evidence, cause, fix, page.

    Args:
        error: What went wrong.
    """
    lines = [f"Error {error.code}: {text.printable(error.detail or type(error).__name__)}"]
    if isinstance(error, AllPathsFailedError):
        lines.extend(f"  Tried: {text.printable(line)}" for line in error.report)
    cause = error.__cause__
    if cause is not None and (said := _words_of(cause)) and said not in error.detail:
        lines.append(f"  Cause: {type(cause).__name__}: {text.printable(str(cause))}")
    lines.append(f"  Fix:   {error.hint}")
    lines.append(f"  More:  {ERROR_PAGES}/{error.code}.md")
    return lines


def _words_of(cause: BaseException) -> str:
    """What a cause says beyond its numbers: an error that repeats it needs no second line."""
    if isinstance(cause, P2PError):
        return cause.detail
    return reason_of(cause) if isinstance(cause, OSError) else str(cause)


@singledispatch
def describe(event: Event) -> tuple[Line, ...]:
    """Tell an event in words.

    Args:
        event: What happened.

    Returns:
        Lines, the first of which makes sense alone.
    """
    return (Line(event.name_in_json, Tone.QUIET),)


@describe.register
def _(event: Ready) -> tuple[Line, ...]:
    where = f"at {event.rendezvous}" if event.rendezvous else "to this network, without a rendezvous"
    return (Line(f"{text.printable(event.name)} is on offer {where}", Tone.GOOD),)


@describe.register
def _(event: Listening) -> tuple[Line, ...]:
    service = f" for {text.printable(event.service)}" if event.service else ""
    return (Line(f"listening on {event.address}{service}", Tone.GOOD),)


@describe.register
def _(event: Inspecting) -> tuple[Line, ...]:
    return (Line(f"requests are shown at {event.url}", Tone.GOOD),)


@describe.register
def _(event: GatewayReady) -> tuple[Line, ...]:
    return tuple(Line(f"listening for {listener}", Tone.GOOD) for listener in event.listeners)


@describe.register
def _(event: Public) -> tuple[Line, ...]:
    others = f", {text.plural(event.instances, 'instance')}" if event.instances > 1 else ""
    return tuple(Line(f"public at {text.printable(url)}{others}", Tone.GOOD) for url in event.urls)


@describe.register
def _(event: Visit) -> tuple[Line, ...]:
    outcome = f" {event.status} in {event.took_s * 1000:.0f} ms" if event.status else ""
    tone = Tone.BAD if event.status >= _SERVER_ERROR else Tone.QUIET
    return (Line(f"{text.printable(event.visitor)} {text.printable(event.summary)}{outcome}", tone),)


@describe.register
def _(event: SessionOpened) -> tuple[Line, ...]:
    return (Line(f"{text.short_peer(event.peer)} connected, {_path(event)}", Tone.GOOD),)


@describe.register
def _(event: Connected) -> tuple[Line, ...]:
    return (Line(f"connected to {text.short_peer(event.peer)}, {_path(event)}", Tone.GOOD),)


@describe.register
def _(event: PathChanged) -> tuple[Line, ...]:
    tone = Tone.GOOD if event.path is PathKind.DIRECT else Tone.WARNING
    return (Line(f"session {event.session} is {_path(event)} from now on", tone),)


@describe.register
def _(event: Relayed) -> tuple[Line, ...]:
    first = Line(f"session {event.session} stays on the relay: {text.printable(event.reason.text)}", Tone.WARNING)
    return (first, *advice(event.reason.to_json()))


@describe.register
def _(event: SessionClosed) -> tuple[Line, ...]:
    code = f" [{event.code}]" if event.code else ""
    tone = Tone.BAD if event.code else Tone.QUIET
    return (Line(f"session {event.session} closed: {text.printable(event.reason)}{code}", tone),)


@describe.register
def _(event: SignallingChanged) -> tuple[Line, ...]:
    tone = {SignallingPhase.ONLINE: Tone.GOOD, SignallingPhase.OFFLINE: Tone.WARNING}.get(event.state, Tone.QUIET)
    detail = f": {text.printable(event.detail)}" if event.detail else ""
    return (Line(f"rendezvous {event.state}{detail}", tone),)


@describe.register
def _(event: Problem) -> tuple[Line, ...]:
    first, *rest = error_lines(event.error)
    return (Line(first, Tone.BAD), *(Line(line) for line in rest))


@describe.register
def _(event: Report) -> tuple[Line, ...]:
    if not event.sessions:
        return (Line(f"ended after {text.duration(event.t_s)}, without a session", Tone.QUIET),)
    received = sum(session.bytes_in for session in event.sessions)
    sent = sum(session.bytes_out for session in event.sessions)
    flows = sum(session.flows_total for session in event.sessions)
    failed = f", {event.flows_failed} failed" if event.flows_failed else ""
    lines = [
        Line(
            f"ended after {text.duration(event.t_s)}: {text.plural(len(event.sessions), 'session')}, "
            f"{text.plural(flows, 'connection')}{failed}, {text.size(received)} in, {text.size(sent)} out"
        )
    ]
    for session in event.sessions:
        lines.extend(_session_summary(session))
    dropped = event.datagrams_dropped + sum(session.datagrams_dropped for session in event.sessions)
    if dropped:
        lines.append(Line(f"  {text.plural(dropped, 'datagram')} dropped on this side", Tone.QUIET))
    if event.outages:
        lines.append(Line(f"  the rendezvous was lost {text.plural(event.outages, 'time')}", Tone.QUIET))
    return tuple(lines)


def _session_summary(session: SessionStatus) -> list[Line]:
    """How a session travelled, and if it was relayed, what was tried instead."""
    rtt = f", {text.round_trip(session.rtt_s)}" if session.rtt_s is not None else ""
    address = f" {session.address}" if session.address else ""
    lines = [
        Line(
            f"  {text.short_peer(session.peer)}: {text.path_words(session.path, session.transport)}{address}{rtt}, "
            f"{text.size(session.bytes_in)} in, {text.size(session.bytes_out)} out",
            Tone.QUIET,
        )
    ]
    if len(session.history) > 1:
        stays = ", ".join(f"{kind} at {t_s:.1f} s" for t_s, kind in session.history)
        lines.append(Line(f"    {stays}", Tone.QUIET))
    return [*lines, *relay_lines(session.to_json())]


def _path(event: SessionOpened | Connected | PathChanged) -> str:
    """The path of an event in words."""
    words = text.path_words(event.path, event.transport)
    destination = f" to {event.address}" if event.address else ""
    rtt = f" ({text.round_trip(event.rtt_s)})" if event.rtt_s is not None else ""
    return f"{words}{destination}{rtt}"
