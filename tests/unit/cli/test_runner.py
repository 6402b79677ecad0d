"""From start to end: signals, problems, what is shown once and with which exit code."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
import typer

from p2p import defaults
from p2p.address import TransportAddress
from p2p.cli import local_status
from p2p.cli.output import JsonOutput
from p2p.cli.runner import run_peer
from p2p.errors import ForwardError, IdentityError, P2PError, SignallingError
from p2p.session.events import Event, Problem, Relayed, Report
from tests.support.scripted_peer import HARD, ScriptedPeer, full_status, relayed_session, session


@pytest.fixture(autouse=True)
def runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("P2P_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "run"


class Recorder(JsonOutput):
    """Records instead of printing."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.events: list[Event] = []
        self.notes: list[str] = []

    def event(self, event: Event) -> None:
        self.events.append(event)

    def note(self, text: str) -> None:
        self.notes.append(text)


class Run:
    """A run in progress, with its peer and what it showed."""

    def __init__(self) -> None:
        self.output = Recorder()
        self.peer: ScriptedPeer | None = None

    async def start(
        self,
        group: asyncio.TaskGroup,
        play: Callable[[ScriptedPeer], object] | None = None,
        *,
        enter_error: P2PError | None = None,
    ) -> asyncio.Task[Report | int]:
        def make(on_event: Callable[[Event], None]) -> ScriptedPeer:
            self.peer = ScriptedPeer(on_event, play, enter_error=enter_error)
            return self.peer

        async def run() -> Report | int:
            try:
                return await run_peer(make, self.output)
            except typer.Exit as exit_:
                return exit_.exit_code

        task = group.create_task(run())
        if enter_error is None:
            while self.peer is None:
                await asyncio.sleep(0)
            await self.peer.running.wait()
        return task

    @property
    def problems(self) -> list[P2PError]:
        return [event.error for event in self.output.events if isinstance(event, Problem)]


def kill(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


async def test_signal_without_connections_ends_at_once() -> None:
    async with asyncio.TaskGroup() as group:
        run = Run()
        task = await run.start(group)
        kill()
        report = await task
    assert isinstance(report, Report)
    assert run.output.events == [report]
    assert run.output.notes == []


@pytest.mark.parametrize(
    ("number", "note"),
    [
        (signal.SIGINT, "waiting for 2 connections to end; Ctrl-C again to abort"),
        (signal.SIGTERM, "waiting for 2 connections to end, at most 30 s"),
    ],
)
async def test_first_signal_drains(number: int, note: str) -> None:
    async with asyncio.TaskGroup() as group:
        run = Run()
        task = await run.start(group, lambda peer: peer.sessions(session()))
        assert run.peer is not None
        kill(number)
        await run.peer.drain_asked.wait()
        assert run.output.notes == [note]
        assert not task.done()
        run.peer.drained.set()
        assert isinstance(await task, Report)


async def test_second_signal_ends_at_once() -> None:
    async with asyncio.TaskGroup() as group:
        run = Run()
        task = await run.start(group, lambda peer: peer.sessions(session()))
        assert run.peer is not None
        kill()
        await run.peer.drain_asked.wait()
        kill()
        assert isinstance(await task, Report)
        assert not run.peer.drained.is_set()


async def test_sigterm_waits_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "DRAIN_TIMEOUT_S", 0.001)
    async with asyncio.TaskGroup() as group:
        run = Run()
        task = await run.start(group, lambda peer: peer.sessions(session()))
        kill(signal.SIGTERM)
        assert isinstance(await task, Report)
    assert run.output.notes[-1] == "they have not ended, but the time is over"


async def test_hangup_drains_without_a_word() -> None:
    async with asyncio.TaskGroup() as group:
        run = Run()
        task = await run.start(group, lambda peer: peer.sessions(session()))
        assert run.peer is not None
        kill(signal.SIGHUP)
        await run.peer.drain_asked.wait()
        run.peer.drained.set()
        assert isinstance(await task, Report)
    assert run.output.notes == []


async def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        async with asyncio.TaskGroup() as group:
            run = Run()
            task = await run.start(group)
            kill(signal.SIGHUP)
            await asyncio.sleep(0)
            assert not task.done()
            kill()
            assert isinstance(await task, Report)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_third_signal_cancels_a_peer_that_hangs() -> None:
    async def hang(peer: ScriptedPeer) -> None:
        peer.running.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        run = Run()
        task = await run.start(group, hang)
        for _ in range(3):
            kill()
            await asyncio.sleep(0)
        assert await task == 130
        assert run.peer is not None
        assert run.peer.finished.is_set()


async def test_end_that_takes_too_long_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "STOP_GRACE_S", 0.001)

    async def hang(peer: ScriptedPeer) -> None:
        peer.running.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        run = Run()
        task = await run.start(group, hang)
        kill()
        assert await task == 130


async def test_signal_while_starting_cancels() -> None:
    class NeverOnline(ScriptedPeer):
        async def __aenter__(self) -> ScriptedPeer:
            self.running.set()
            await asyncio.Event().wait()
            raise AssertionError

    output = Recorder()
    with pytest.raises(typer.Exit) as caught:
        async with asyncio.timeout(5):

            def make(on_event: Callable[[Event], None]) -> ScriptedPeer:
                asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, kill)
                return NeverOnline(on_event)

            await run_peer(make, output)
    assert caught.value.exit_code == 130


async def test_error_while_starting_is_shown_with_its_exit_code() -> None:
    async with asyncio.TaskGroup() as group:
        run = Run()
        error = SignallingError("no answer")
        assert await (await run.start(group, enter_error=error)) == SignallingError.exit_code
    assert run.problems == [error]


async def test_error_that_was_told_already_is_shown_once() -> None:
    error = IdentityError("ticket expired")

    def fail(peer: ScriptedPeer) -> None:
        peer.running.set()
        peer.emit(Problem(t_s=0.5, error=error))
        raise error

    async with asyncio.TaskGroup() as group:
        run = Run()
        assert await (await run.start(group, fail)) == IdentityError.exit_code
    assert run.problems == [error]


async def test_bug_becomes_an_internal_error() -> None:
    def fail(peer: ScriptedPeer) -> None:
        peer.running.set()
        raise ValueError("oops")

    async with asyncio.TaskGroup() as group:
        run = Run()
        assert await (await run.start(group, fail)) == 70
    assert [problem.detail for problem in run.problems] == ["ValueError: oops"]


async def test_preflight_warns_and_the_run_goes_on() -> None:
    output = Recorder()
    peers: list[ScriptedPeer] = []
    warning = ForwardError("nothing answers")

    async def preflight() -> P2PError | None:
        return warning

    def make(on_event: Callable[[Event], None]) -> ScriptedPeer:
        peers.append(ScriptedPeer(on_event, lambda peer: asyncio.get_running_loop().call_later(0.01, kill)))
        return peers[0]

    report = await run_peer(make, output, preflight=preflight)
    assert [event.error for event in output.events if isinstance(event, Problem)] == [warning]
    assert output.events[-1] is report


async def test_reader_that_went_away_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    silenced = []
    monkeypatch.setattr("p2p.cli.runner.silence_stdout", lambda: silenced.append(True))

    class BrokenPipe(Recorder):
        def event(self, event: Event) -> None:
            raise BrokenPipeError

    report = await run_peer(
        lambda on_event: ScriptedPeer(on_event, lambda peer: peer.emit(Report(t_s=0))), BrokenPipe()
    )
    assert isinstance(report, Report)
    assert silenced


async def test_status_can_be_read_from_outside(runtime_folder: Path) -> None:
    async with asyncio.TaskGroup() as group:
        run = Run()

        def play(peer: ScriptedPeer) -> None:
            peer.status = full_status([session()])

        task = await run.start(group, play)
        answers = await asyncio.to_thread(lambda: list(local_status.read_all(runtime_folder)))
        kill()
        kill()
        await task
    assert [answer["pid"] for answer in answers] == [os.getpid()]
    assert answers[0]["sessions"][0]["path"] == "direct"
    assert list(runtime_folder.iterdir()) == []
    assert json.dumps(answers)


async def test_live_refresh_is_called_with_the_status() -> None:
    seen: list[str] = []

    class Refreshing(Recorder):
        interval_s = 0.001

        def refresh(self, status: object) -> None:
            seen.append(type(status).__name__)
            if len(seen) == 3:
                kill()

    await run_peer(ScriptedPeer, Refreshing())
    assert seen[:3] == ["Status"] * 3


async def test_metrics_are_served_while_it_runs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = TransportAddress(*free.getsockname()[:2])
    pages: list[str] = []

    async def play(peer: ScriptedPeer) -> None:
        peer.sessions(relayed_session())
        peer.emit(Relayed(t_s=1, session="b2", reason=HARD))
        async with aiohttp.ClientSession() as client, client.get(f"http://{address}/metrics") as answer:
            pages.append(await answer.text())
        raise SignallingError("enough seen")

    with pytest.raises(typer.Exit):
        await run_peer(lambda on_event: ScriptedPeer(on_event, play), Recorder(), metrics_address=address)
    assert 'p2p_relayed_total{reason="both-mappings-dependent"} 1.0' in pages[0]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(tuple(address))
