"""A lost SYN does not cost the second after which the system repeats it."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from p2p.signalling import http
from p2p.signalling.http import http_session


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
    await writer.drain()
    writer.close()


@pytest.mark.parametrize("lost", [0, 1, 2])
async def test_the_next_syn_takes_over(monkeypatch: pytest.MonkeyPatch, lost: int) -> None:
    monkeypatch.setattr(http, "SIGNALLING_SYN_SPACING_S", 0.01)
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect
    count = 0

    async def sometimes(sock: socket.socket, address: Any) -> None:
        nonlocal count
        count += 1
        if count <= lost:
            await asyncio.Event().wait()
        await connect(sock, address)

    monkeypatch.setattr(loop, "sock_connect", sometimes)
    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with asyncio.timeout(5), http_session() as session, session.get(url) as response:
            assert await response.text() == "hi"
    assert count == lost + 1


async def test_a_refusal_is_told_once() -> None:
    async with http_session() as session:
        with pytest.raises(OSError, match="Connect call failed") as raised:
            await session.get("http://127.0.0.1:9/")
    assert "Multiple" not in str(raised.value)
