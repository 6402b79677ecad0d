"""A gateway with very many visitors, and with very much to carry."""

from __future__ import annotations

import asyncio
import hashlib
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager

import aiohttp
import pytest

from tests.support.commands import Command
from tests.support.gateway_programs import programs
from tests.support.patient_website import BLOCK
from tests.support.processes import resident_bytes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

WEBSOCKETS = 10_000
OPENING = 64
IDLE_S = 20.0
FILES = 1
"""Open files of a gateway for a visitor: its connection."""
MOST_KIB = 100
"""Of a gateway and of a publisher together, for a WebSocket."""
BLOCKS = 5 * 1024
HOST = {"Host": "blog.gw.test"}


def memory_of(*commands: Command) -> list[int]:
    return [resident_bytes(command.pid) >> 20 for command in commands]


@contextmanager
def patient_website() -> Iterator[int]:
    command = [sys.executable, "-m", "tests.support.patient_website"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


async def test_ten_thousand_websockets_that_say_nothing_are_kept(tmp_path):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most < 2 * WEBSOCKETS:
        pytest.skip(f"{most} files may be open, and a gateway needs {FILES} for a visitor")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gateways = 1 + FILES * WEBSOCKETS // most
    async with (
        programs(tmp_path, gateways) as there,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as visitors,
        AsyncExitStack() as stack,
    ):
        exposing = there.expose("user", stack.enter_context(patient_website()))
        sockets: list[aiohttp.ClientWebSocketResponse] = []
        turns = asyncio.Semaphore(OPENING)

        async def open_one(number: int) -> None:
            async with turns:
                socket = await visitors.ws_connect(f"{there.urls[number % gateways]}/ws", headers=HOST)
                await say(socket, "here")
                sockets.append(socket)

        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(open_one(number))
        before, began_at = memory_of(*there.gateways, exposing), time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(100, WEBSOCKETS):
                group.create_task(open_one(number))
        opened_s = time.monotonic() - began_at
        await asyncio.sleep(IDLE_S)
        after = memory_of(*there.gateways, exposing)
        print(f"{gateways} gateways, {opened_s:.0f} s to open; MiB of each and the publisher: {before}, {after}")
        async with asyncio.TaskGroup() as group:
            for number, socket in enumerate(sockets):
                group.create_task(say(socket, str(number)))
        assert (sum(after) - sum(before)) * 1024 < MOST_KIB * WEBSOCKETS
        async with asyncio.TaskGroup() as group:
            for socket in sockets:
                group.create_task(socket.close())


async def say(socket: aiohttp.ClientWebSocketResponse, text: str) -> None:
    await socket.send_str(text)
    assert await socket.receive_str() == text


async def test_five_gigabytes_each_way_arrive_as_they_left(tmp_path):
    expected = hashlib.sha256()
    for _ in range(BLOCKS):
        expected.update(BLOCK)
    loop = asyncio.get_running_loop()

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(BLOCKS):
            yield BLOCK

    async with (
        programs(tmp_path) as there,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout()) as visitor,
        AsyncExitStack() as stack,
    ):
        exposing = there.expose("user", stack.enter_context(patient_website()))
        found, began_at = hashlib.sha256(), loop.time()
        async with visitor.get(f"{there.urls[0]}/blocks/{BLOCKS}", headers=HOST) as response:
            async for piece in response.content.iter_any():
                found.update(piece)
        middle = loop.time()
        assert found.digest() == expected.digest()
        async with visitor.put(there.urls[0], data=blocks(), headers=HOST) as response:
            assert await response.json() == {"size": BLOCKS * len(BLOCK), "sha256": expected.hexdigest()}
        memory = memory_of(*there.gateways, exposing)
        print(f"{middle - began_at:.0f} s down, {loop.time() - middle:.0f} s up; MiB: {memory}")
        assert max(memory) < 250
