"""A program with many relayed sessions, each with its own place on the relay, that notes how long each was silent.

``python -m tests.support.relayed_crowd FOLDER URL PORT EXPOSERS DIALERS PAUSE`` offers the echo service at PORT by
EXPOSERS peers and reaches it by DIALERS others, over the relay only. Through each session runs one connection, with a
number on it every PAUSE seconds; with 0 it is silent. It prints "ready" when all are up; when its standard input
ends it prints one JSON object: for each session the instants (``time.monotonic``) of what came back, and whether the
connection lived to the end.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from p2p.aio import loop
from p2p.aio.descriptors import raise_descriptor_limit
from p2p.aio.tasks import TaskScope
from p2p.session.exposer import Exposer
from p2p.session.options import PeerOptions, RelayPolicy
from tests.support.peers import World

_OPENING_AT_ONCE: Final = 16
_NUMBER: Final = struct.Struct("!I")
_END_WAIT_S: Final = 15.0


@dataclass
class Pulse:
    """The connection of one session: sends numbers, and expects all of them back, in order."""

    arrivals: list[float] = field(default_factory=list)
    sent: int = 0
    error: str = ""

    async def run(self, host: str, port: int, pause_s: float, started: asyncio.Event, stop: asyncio.Event) -> None:
        """Send and expect until ``stop`` is set; then the last word must come back, and all before it.

        Args:
            host: Where the connector listens.
            port: The same.
            pause_s: Between two numbers; 0 for silence between the first and the last.
            started: Set when the first number is back, or never will be.
            stop: Set from outside.
        """
        try:
            reader, writer = await asyncio.open_connection(host, port)
            try:
                self._send(writer)
                await self._receive(reader, 1)
                started.set()
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._keep_sending(writer, pause_s, stop))
                    receiving = group.create_task(self._receive(reader, None))
                    await stop.wait()
                    receiving.cancel()
                self._send(writer)
                async with asyncio.timeout(_END_WAIT_S):
                    await self._receive(reader, self.sent)
            finally:
                writer.transport.abort()
        except* (OSError, TimeoutError, EOFError) as errors:
            self.error = "; ".join(f"{type(error).__name__}: {error}" for error in errors.exceptions)
        finally:
            started.set()

    async def _keep_sending(self, writer: asyncio.StreamWriter, pause_s: float, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                async with asyncio.timeout(pause_s or None):
                    await stop.wait()
            except TimeoutError:
                self._send(writer)

    def _send(self, writer: asyncio.StreamWriter) -> None:
        writer.write(_NUMBER.pack(self.sent))
        self.sent += 1

    async def _receive(self, reader: asyncio.StreamReader, count: int | None) -> None:
        """Receive until so many have come in all; None for without end."""
        while count is None or len(self.arrivals) < count:
            number = await reader.readexactly(_NUMBER.size)
            if number != _NUMBER.pack(len(self.arrivals)):
                raise OSError(f"{number.hex()} came instead of {len(self.arrivals)}")
            self.arrivals.append(time.monotonic())


class Crowd:
    """The peers of one process.

    Args:
        world: Makes them.
        port: Of the echo service.
        pause_s: Between two numbers on a connection.
    """

    def __init__(self, world: World, port: int, pause_s: float) -> None:
        self.pulses: list[Pulse] = []
        self._world = world
        self._port = port
        self._pause_s = pause_s
        self._gate = asyncio.Semaphore(_OPENING_AT_ONCE)
        self._stop = asyncio.Event()

    async def run(self, exposers: int, dialers: int) -> None:
        """Open all sessions, and keep them until standard input ends."""
        offers = []
        for _ in range(exposers):
            offer, _, _ = await self._world.expose(self._port, options=self._options())
            offers.append(offer)
        async with asyncio.TaskGroup() as group:
            started = [self._start(group, offers[number % exposers]) for number in range(dialers)]
            for event in started:
                await event.wait()
            print("ready", flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
            self._stop.set()

    def _start(self, group: asyncio.TaskGroup, offer: Exposer) -> asyncio.Event:
        started = asyncio.Event()
        pulse = Pulse()
        self.pulses.append(pulse)
        group.create_task(self._keep(group, offer, pulse, started))
        return started

    async def _keep(self, group: asyncio.TaskGroup, offer: Exposer, pulse: Pulse, started: asyncio.Event) -> None:
        async with self._gate:
            _, _, _, address = await self._world.connect(offer.ticket, options=self._options())
            group.create_task(pulse.run(address.host, address.port, self._pause_s, started, self._stop))
            await started.wait()

    def _options(self) -> PeerOptions:
        return self._world.options(relay_policy=RelayPolicy.ONLY, timeout_s=60.0)


async def _main(folder: Path, url: str, port: int, exposers: int, dialers: int, pause_s: float) -> None:
    raise_descriptor_limit()
    async with TaskScope() as scope, AsyncExitStack() as stack:
        crowd = Crowd(World(folder, stack, scope, url), port, pause_s)
        await crowd.run(exposers, dialers)
        report = [{"arrivals": pulse.arrivals, "sent": pulse.sent, "error": pulse.error} for pulse in crowd.pulses]
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    loop.run(
        _main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6]))
    )
