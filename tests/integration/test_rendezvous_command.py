"""``python -m rendezvous`` as a service manager runs it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from p2p.errors import SignallingError
from p2p.signalling import SignallingClient, SignallingState
from tests.support.ports import free_port
from tests.support.rendezvous_world import ALICE, BOB, until

TEMPLATE = """
listen = ["127.0.0.1:{port}"]
names = ["127.0.0.1"]
drain_s = {drain_s}

[stun]
enabled = false
"""
ALICES = '\n[[tokens]]\nname = "alice"\nsecret = "alice-correct-horse"\n'
BOBS = '\n[[tokens]]\nname = "bob"\nsecret = "bob-battery-staple"\n'


class Command:
    """A running rendezvous and its file."""

    def __init__(self, process: Process, file: Path, url: str) -> None:
        self.process, self.file, self.url = process, file, url

    async def line_with(self, words: str) -> str:
        assert self.process.stderr is not None
        async with asyncio.timeout(20):
            while line := (await self.process.stderr.readline()).decode():
                if words in line:
                    return line
        raise AssertionError(f"the command ended without saying {words!r}")


@contextlib.asynccontextmanager
async def running(folder: Path, *, drain_s: float = 0.2) -> AsyncIterator[Command]:
    port = free_port()
    file = folder / "rendezvous.toml"
    file.write_text(TEMPLATE.format(port=port, drain_s=drain_s) + ALICES + BOBS)
    file.chmod(0o600)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rendezvous", "--config", str(file), stdout=PIPE, stderr=PIPE
    )
    command = Command(process, file, f"ws://127.0.0.1:{port}")
    try:
        await command.line_with("signalling on")
        yield command
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def test_sigterm_drains_and_ends_with_success(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as command,
        SignallingClient([command.url], ALICE, token="alice-correct-horse") as alice,
    ):
        await alice.welcome()
        command.process.send_signal(signal.SIGTERM)
        await command.line_with("draining 1 connections")
        assert await asyncio.wait_for(command.process.wait(), 10) == 0
        await until(lambda: alice.state is not SignallingState.CONNECTED)


async def test_a_second_sigterm_ends_at_once(tmp_path: Path) -> None:
    async with (
        running(tmp_path, drain_s=60) as command,
        SignallingClient([command.url], ALICE, token="alice-correct-horse") as alice,
    ):
        await alice.welcome()
        command.process.send_signal(signal.SIGTERM)
        await command.line_with("draining")
        command.process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(command.process.wait(), 10) == 0


async def test_sighup_revokes_a_token_and_survives_a_mistake(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as command,
        SignallingClient([command.url], ALICE, token="alice-correct-horse") as alice,
        SignallingClient([command.url], BOB, token="bob-battery-staple") as bob,
    ):
        await alice.welcome()
        await bob.welcome()
        sound = command.file.read_text()
        command.file.write_text("oops = 1")
        command.process.send_signal(signal.SIGHUP)
        assert "oops" in await command.line_with("stays as it was")
        command.file.write_text(sound.replace(ALICES, ""))
        command.process.send_signal(signal.SIGHUP)
        await until(lambda: alice.state is SignallingState.WAITING)
        assert bob.connected
        with pytest.raises(SignallingError):
            await bob.send(ALICE.peer_id, b"hello")


async def test_a_wrong_file_ends_with_status_2_and_one_line(tmp_path: Path) -> None:
    file = tmp_path / "rendezvous.toml"
    file.write_text("listen = 5")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rendezvous", "-c", str(file), stdout=PIPE, stderr=PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"Traceback" not in errors
    assert b"P2P-1402" in errors
