"""A gateway with very many visitors, and with very much to carry."""

from __future__ import annotations

import asyncio
import hashlib
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager

import aiohttp
import pytest

from tests.support.commands import Command
from tests.support.gateway_programs import programs
from tests.support.patient_website import BLOCK
from tests.support.processes import resident_bytes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

WEBSOCKETS = 10_000
OPENING = 64
IDLE_S = 30.0
BLOCKS = 5 * 1024
HOST = {"Host": "blog.gw.test"}


def memory_of(*commands: Command) -> list[int]:
    return [resident_bytes(command.pid) >> 20 for command in commands]


@contextmanager
def patient_website() -> Iterator[int]:
    command = [sys.executable, "-m", "tests.support.patient_website"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.terminate()


async def test_ten_thousand_websockets_that_say_nothing_are_kept(tmp_path):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most < WEBSOCKETS + 1000:
        pytest.skip(f"{most} files may be open, and {WEBSOCKETS} are needed for the visitors alone")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    async with (
        programs(tmp_path) as there,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as visitors,
        AsyncExitStack() as stack,
    ):
        exposing = there.expose("user", stack.enter_context(patient_website()))
        sockets: list[aiohttp.ClientWebSocketResponse] = []
        turns = asyncio.Semaphore(OPENING)

        async def open_one() -> None:
            async with turns:
                socket = await visitors.ws_connect(f"{there.url}/ws", headers=HOST)
                await socket.send_str("here")
                assert await socket.receive_str() == "here"
                sockets.append(socket)

        async def say_again(socket: aiohttp.ClientWebSocketResponse, number: int) -> None:
            await socket.send_str(str(number))
            assert await socket.receive_str() == str(number)

        before = memory_of(there.gateway, exposing)
        async with asyncio.TaskGroup() as group:
            for _ in range(WEBSOCKETS):
                group.create_task(open_one())
        await asyncio.sleep(IDLE_S)
        after = memory_of(there.gateway, exposing)
        print("MiB of the gateway and of the publisher, before and with all:", before, after)
        async with asyncio.TaskGroup() as group:
            for number, socket in enumerate(sockets):
                group.create_task(say_again(socket, number))
        # As many as of frp would take: 28 KiB each at its server.
        assert after[0] - before[0] < WEBSOCKETS * 28 / 1024
        async with asyncio.TaskGroup() as group:
            for socket in sockets:
                group.create_task(socket.close())


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
        async with visitor.get(f"{there.url}/blocks/{BLOCKS}", headers=HOST) as response:
            async for piece in response.content.iter_any():
                found.update(piece)
        middle = loop.time()
        assert found.digest() == expected.digest()
        async with visitor.put(there.url, data=blocks(), headers=HOST) as response:
            assert await response.json() == {"size": BLOCKS * len(BLOCK), "sha256": expected.hexdigest()}
        memory = memory_of(there.gateway, exposing)
        print(f"{middle - began_at:.0f} s down, {loop.time() - middle:.0f} s up; MiB: {memory}")
        assert max(memory) < 250
