"""Runs an exposer or a connector from start to end: news, live view, signals, `p2p status`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import typer

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.cli import local_status, text
from p2p.cli.output import Output, silence_stdout
from p2p.cli.problems import find_error
from p2p.cli.stopping import EXIT_INTERRUPTED, Stopper, interruptible
from p2p.errors import P2PError
from p2p.session.events import Event, Problem, Report
from p2p.session.status import SessionStatus, Status

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


class Runnable(Protocol):
    """What an exposer and a connector have in common. ``status`` is there before the first ``await``."""

    @property
    def status(self) -> Status:
        """The present state."""
        ...

    def session_status(self, name: str) -> SessionStatus | None:
        """The state of one open session, by its id in events."""
        ...

    async def __aenter__(self) -> object: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> bool | None: ...

    async def run_until(self, stop: asyncio.Event) -> Report:
        """Run until ``stop`` is set or the work is done. The report is returned, not sent as an event."""
        ...

    async def drain(self) -> None:
        """Refuse what is new; return when the last connection is closed."""
        ...


EventSink = Callable[[Event], None]
"""Takes each event, in order."""
Preflight = Callable[[], Awaitable[P2PError | None]]
"""Looks for trouble that does not stop the command, and tells it."""


async def run_peer(
    make: Callable[[EventSink], Runnable],
    output: Output,
    *,
    preflight: Preflight | None = None,
    metrics_address: TransportAddress | None = None,
    registry: CollectorRegistry | None = None,
    hang_up: Callable[[], None] | None = None,
) -> Report:
    """Run an exposer or a connector, and show what happens.

    Args:
        make: Makes the exposer or connector, which tells its events to the sink.
        output: Where news goes; entered here.
        preflight: Runs beside it; what it returns is shown as a problem.
        metrics_address: Where to serve metrics; None serves none.
        registry: Metrics of its own to serve as well.
        hang_up: What SIGHUP does instead of ending it.

    Returns:
        What happened from start to end; it was shown already.

    Raises:
        typer.Exit: It failed, which was shown, or a signal ended it before it ran.
    """
    scope = TaskScope()
    news = _News(output)
    stopper = Stopper(scope, output.note, hang_up)
    news.on_reader_gone = stopper.end
    with output:
        try:
            async with interruptible(stopper), scope:
                peer = make(news.event)
                report = await _run(peer, output, news, stopper, scope, preflight, metrics_address, registry)
        except typer.Exit:
            raise
        except (Exception, BaseExceptionGroup) as exception:
            if stopper.was_cancelled:
                raise typer.Exit(EXIT_INTERRUPTED) from exception
            news.failed(exception)
            raise typer.Exit(find_error(exception).exit_code) from exception
        news.event(report)
        return report


async def _run(
    peer: Runnable,
    output: Output,
    news: _News,
    stopper: Stopper,
    scope: TaskScope,
    preflight: Preflight | None,
    metrics_address: TransportAddress | None,
    registry: CollectorRegistry | None,
) -> Report:
    started_wall = time.time()

    def describe() -> dict[str, Any]:
        return {"pid": os.getpid(), "started": round(started_wall, 3), **peer.status.to_json()}

    if preflight is not None:
        scope.start(_warn(preflight, news), name="preflight")
    if output.interval_s is not None:
        scope.start(_refresh(output, peer, output.interval_s), name="live view")
    async with (
        _metrics(metrics_address, peer, news, registry),
        peer,
        local_status.StatusServer(local_status.runtime_folder(), describe),
    ):
        stopper.ready(lambda: _what_is_open(peer.status), peer.drain)
        return await peer.run_until(stopper.stop)


@contextlib.asynccontextmanager
async def _metrics(
    address: TransportAddress | None, peer: Runnable, news: _News, registry: CollectorRegistry | None
) -> AsyncIterator[None]:
    if address is None:
        yield
        return
    # The libraries behind it are loaded only when somebody wants metrics.
    from p2p.observe.metrics import PeerMetrics, metrics_server

    metrics = PeerMetrics(lambda: peer.status, peer.session_status, registry)
    async with metrics_server(address, metrics):
        news.count = metrics.event
        yield


def _what_is_open(status: Status) -> str:
    """What a drain waits for, in words."""
    count = sum(session.flows_open for session in status.sessions)
    # Whoever is before the public always drains: the gateway has to hear of it before the next visitor comes.
    waits = [*([text.plural(count, "connection")] if count else []), *(["visitors"] if status.public else [])]
    return " and ".join(waits)


class _News:
    """Passes events on, and knows which errors the user has seen."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._started_at = time.monotonic()
        self._shown: list[P2PError] = []
        self.on_reader_gone: Callable[[], None] = lambda: None
        self.count: EventSink = lambda _: None

    def event(self, event: Event) -> None:
        """Show an event; when nobody reads any more, end the command as a full pipe would."""
        self.count(event)
        if isinstance(event, Problem):
            self._shown.append(event.error)
        try:
            self._output.event(event)
        except BrokenPipeError:
            silence_stdout()
            self.on_reader_gone()

    def problem(self, error: P2PError) -> None:
        """Show an error."""
        self.event(Problem(t_s=time.monotonic() - self._started_at, error=error))

    def failed(self, exception: BaseException) -> None:
        """Show what ended the command, unless it was shown when it happened."""
        error = find_error(exception)
        if not any(error is known for known in self._shown):
            self.problem(error)


async def _warn(preflight: Preflight, news: _News) -> None:
    error = await preflight()
    if error is not None:
        news.problem(error)


async def _refresh(output: Output, peer: Runnable, interval_s: float) -> None:
    while True:
        output.refresh(peer.status)
        await asyncio.sleep(interval_s)
