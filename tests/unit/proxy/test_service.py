from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from p2p import defaults
from p2p.proxy_rules import parse_rule
from p2p.services.proxy import ProxyService
from tests.support.peers import echo_service


class Names:
    """A resolver with an answer for each time it is asked."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self._answers = {name.replace("_", "."): list(each) for name, each in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        if host not in self._answers:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        answers = self._answers[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]


@asynccontextmanager
async def client(service: ProxyService) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    sock = service.connect()
    assert sock is not None
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        yield reader, writer
    finally:
        writer.close()


async def socks(service: ProxyService, host: str, port: int, early: bytes = b"") -> tuple[int, bytes]:
    async with client(service) as (reader, writer):
        name = host.encode()
        writer.write(
            b"\x05\x01\x00" + b"\x05\x01\x00\x03" + bytes((len(name),)) + name + port.to_bytes(2, "big") + early
        )
        writer.write_eof()
        assert await reader.readexactly(2) == b"\x05\x00"
        reply = await reader.readexactly(10)
        return reply[1], await reader.read(-1)


async def test_what_is_allowed_is_connected() -> None:
    async with echo_service() as port, ProxyService([parse_rule(f"127.0.0.1:{port}")]) as service:
        assert await socks(service, "127.0.0.1", port, b"there and back") == (0, b"there and back")
        async with client(service) as (reader, writer):
            writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 Connected\r\n\r\n"
            payload = bytes(range(256)) * 10_000
            writer.write(payload)
            assert await reader.readexactly(len(payload)) == payload
            writer.write_eof()
            assert await reader.read(-1) == b""


async def test_what_is_not_allowed_is_told_and_not_even_resolved_into_words() -> None:
    names = Names(inside_example=[["127.0.0.1"]])
    async with echo_service() as port, ProxyService([parse_rule("10.0.0.0/8")], resolve=names) as service:
        assert await socks(service, "127.0.0.1", port) == (2, b"")
        assert await socks(service, "inside.example", port) == (2, b"")
        assert await socks(service, "nothing.example", port) == (2, b"")
        async with client(service) as (reader, writer):
            writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
            assert (await reader.read(-1)).startswith(b"HTTP/1.1 403 ")


async def test_a_name_that_resolves_elsewhere_the_next_moment_leads_nowhere_else() -> None:
    """The rule's answer and the connection come from one look at the name."""
    async with echo_service() as port:
        names = Names(nas_lan=[["127.0.0.1"], ["169.254.169.254"]])
        async with ProxyService([parse_rule(f"127.0.0.0/8:{port}")], resolve=names) as service:
            assert (await socks(service, "nas.lan", port, b"x")) == (0, b"x")
            assert names.asked == ["nas.lan"]
            assert (await socks(service, "nas.lan", port))[0] == 2


async def test_of_several_addresses_only_allowed_ones_are_tried() -> None:
    async with echo_service() as port:
        names = Names(nas_lan=[["169.254.169.254", "127.0.0.2", "127.0.0.1"]])
        async with ProxyService([parse_rule(f"127.0.0.1:{port}")], resolve=names) as service:
            assert (await socks(service, "nas.lan", port, b"x")) == (0, b"x")


async def test_failures_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    async with ProxyService([parse_rule("127.0.0.1"), parse_rule("*")], resolve=Names()) as service:
        assert await socks(service, "127.0.0.1", port) == (5, b"")
        assert (await socks(service, "nothing.example", 80))[0] == 4
        monkeypatch.setattr(defaults, "PROXY_DIAL_S", 0.02)

        async def hang(host: str, port: int) -> list[tuple[Any, ...]]:
            await asyncio.Event().wait()
            return []

        service._resolve = hang
        assert (await socks(service, "slow.example", 80))[0] == 6


async def test_who_says_nothing_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "PROXY_BEGIN_S", 0.02)
    async with ProxyService([parse_rule("*")]) as service, client(service) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)


async def test_a_reset_is_passed_on() -> None:
    async def abort(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.close()

    server = await asyncio.start_server(abort, "127.0.0.1", 0)
    async with server, ProxyService([parse_rule("127.0.0.1")]) as service, client(service) as (reader, writer):
        port = server.sockets[0].getsockname()[1]
        writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\nx".encode())
        await reader.readuntil(b"\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)


async def test_there_are_only_so_many_connections() -> None:
    async with ProxyService([parse_rule("*")], max_connections=1) as service:
        first = service.connect()
        assert first is not None
        assert service.connect() is None
        first.close()
        async with asyncio.timeout(5):
            while (second := service.connect()) is None:
                await asyncio.sleep(0)
        second.close()
