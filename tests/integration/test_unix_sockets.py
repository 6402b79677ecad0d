"""Unix sockets as service and as the place where one appears."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from p2p.session.events import Connected, Listening, Problem
from p2p.target import Target, TcpTarget, UnixTarget
from tests.support.peers import echo, echo_service, end, world

PAYLOAD = os.urandom(1 << 18)


def place(folder: Path, name: str, *, is_abstract: bool) -> UnixTarget:
    # An abstract name is the whole machine's: the folder's makes it unique.
    return UnixTarget(f"@{folder}-{name}"[:100] if is_abstract else str(folder / name))


@asynccontextmanager
async def unix_echo(target: UnixTarget) -> AsyncIterator[None]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()

    server = await asyncio.start_unix_server(serve, target.address)
    async with server:
        yield


async def unix_exchange(target: UnixTarget) -> bytes:
    reader, writer = await asyncio.open_unix_connection(target.address)
    writer.write(PAYLOAD)
    writer.write_eof()
    data = await reader.read()
    await end(writer)
    return data


@pytest.mark.parametrize("is_abstract", [False, True])
async def test_a_unix_socket_appears_as_a_tcp_port(tmp_path: Path, is_abstract: bool) -> None:
    target = place(tmp_path, "service", is_abstract=is_abstract)
    async with world(tmp_path) as here, unix_echo(target):
        offer, _, _ = await here.expose(target)
        _, news, _, address = await here.connect(offer.ticket)
        await news.wait_for(Connected)
        await echo(address, PAYLOAD)


@pytest.mark.parametrize("is_abstract", [False, True])
async def test_a_tcp_service_appears_as_a_unix_socket_for_us_alone(tmp_path: Path, is_abstract: bool) -> None:
    where = place(tmp_path, "here", is_abstract=is_abstract)
    async with world(tmp_path) as here, echo_service() as port:
        offer, _, _ = await here.expose(TcpTarget("127.0.0.1", port))
        _, news, _ = await here.connect_at(offer.ticket, where)
        await news.wait_for(Connected)
        assert (await news.wait_for(Listening)).address == where
        if not is_abstract:
            assert stat.S_IMODE(os.stat(where.path).st_mode) == 0o600
        assert await unix_exchange(where) == PAYLOAD
    assert is_abstract or not os.path.exists(where.path)


async def test_a_socket_that_is_not_there_is_told(tmp_path: Path) -> None:
    target: Target = UnixTarget(str(tmp_path / "nothing"))
    async with world(tmp_path) as here:
        offer, _, _ = await here.expose(target)
        _, news, _, address = await here.connect(offer.ticket)
        await news.wait_for(Connected)
        _, writer = await asyncio.open_connection(*address)
        assert (await news.wait_for(Problem)).error.code == "P2P-6111"
        await end(writer)
