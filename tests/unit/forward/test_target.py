from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from p2p import defaults
from p2p.forward import target as module
from p2p.forward.target import ServiceDialer
from p2p.proto.tunnel.codes import StreamCode
from p2p.proto.tunnel.header import FlowKind, StreamHeader
from p2p.target import Target, TcpTarget, UnixTarget
from tests.support.forward_session import turns

Result = socket.socket | StreamCode


async def dial(targets: dict[str, Target], header: StreamHeader, *, timeout_s: float = 5.0) -> Result:
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Result] = loop.create_future()
    ServiceDialer(targets, loop, timeout_s=timeout_s).dial(header, result.set_result)
    return await result


def server() -> tuple[socket.socket, TcpTarget]:
    sock = socket.create_server(("127.0.0.1", 0))
    return sock, TcpTarget("127.0.0.1", sock.getsockname()[1])


def refused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


async def test_a_service_is_found_by_its_name() -> None:
    sock, where = server()
    with sock:
        for header in (StreamHeader("web"), StreamHeader("")):
            connection = await dial({"web": where}, header)
            assert isinstance(connection, socket.socket)
            assert not connection.getblocking()
            connection.close()


async def test_only_services_of_the_session_are_dialled() -> None:
    sock, where = server()
    with sock:
        assert await dial({"web": where}, StreamHeader("ssh")) is StreamCode.SERVICE_UNKNOWN
        assert await dial({"web": where, "ssh": where}, StreamHeader("")) is StreamCode.SERVICE_UNKNOWN
        later = StreamHeader("web", kind=FlowKind.DATAGRAMS)
        assert await dial({"web": where}, later) is StreamCode.KIND_UNSUPPORTED


async def test_a_refused_connection_is_told_as_such() -> None:
    where = TcpTarget("127.0.0.1", refused_port())
    assert await dial({"": where}, StreamHeader("")) is StreamCode.FORWARD_REFUSED


async def test_a_name_is_resolved_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    sock, where = server()
    lookups = []

    def look_up(host: str, port: int, **_: object) -> list[object]:
        lookups.append(host)
        return [
            (socket.AF_INET6, 0, 0, "", ("::1", refused_port(), 0, 0)),
            (socket.AF_INET, 0, 0, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(module.socket, "getaddrinfo", look_up)
    loop = asyncio.get_running_loop()
    dialer = ServiceDialer({"": TcpTarget("service.test", where.port)}, loop)
    with sock:
        for _ in range(2):
            result: asyncio.Future[Result] = loop.create_future()
            dialer.dial(StreamHeader(""), result.set_result)
            connection = await result
            assert isinstance(connection, socket.socket), "the second address answers"
            connection.close()
    assert lookups == ["service.test"]


async def test_an_unknown_name_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(module.socket, "getaddrinfo", look_up)
    where = TcpTarget("nowhere.invalid", 1)
    assert await dial({"": where}, StreamHeader("")) is StreamCode.FORWARD_NAME_UNKNOWN


def full_server() -> tuple[socket.socket, list[socket.socket]]:
    """A server whose queue is full: the kernel drops further connection requests."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(0)
    fillers = []
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(sock.getsockname())
        fillers.append(filler)
    return sock, fillers


async def test_silence_ends_at_the_timeout() -> None:
    silent, fillers = full_server()
    where = TcpTarget("127.0.0.1", silent.getsockname()[1])
    assert await dial({"": where}, StreamHeader(""), timeout_s=0.05) is StreamCode.FORWARD_TIMEOUT
    for sock in (silent, *fillers):
        sock.close()


async def test_the_next_address_is_tried_beside_a_slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "FORWARD_DIAL_STAGGER_S", 0.01)
    silent, fillers = full_server()
    sock, where = server()

    def look_up(*_: object, **__: object) -> list[object]:
        return [
            (socket.AF_INET, 0, 0, "", silent.getsockname()),
            (socket.AF_INET, 0, 0, "", ("127.0.0.1", where.port)),
        ]

    monkeypatch.setattr(module.socket, "getaddrinfo", look_up)
    connection = await dial({"": TcpTarget("service.test", 1)}, StreamHeader(""))
    assert isinstance(connection, socket.socket)
    assert connection.getpeername() == sock.getsockname()
    for each in (connection, sock, silent, *fillers):
        each.close()


@pytest.mark.parametrize("after_lookup", [True, False])
async def test_a_cancelled_attempt_leaves_nothing_behind(after_lookup: bool) -> None:
    silent, fillers = full_server()
    loop = asyncio.get_running_loop()
    results: list[Result] = []
    host = "127.0.0.1" if after_lookup else "localhost"
    dialer = ServiceDialer({"": TcpTarget(host, silent.getsockname()[1])}, loop)
    cancel: Callable[[], None] = dialer.dial(StreamHeader(""), results.append)
    cancel()
    await loop.run_in_executor(None, lambda: None)
    await turns(5)
    cancel()
    assert results == []
    for sock in (silent, *fillers):
        sock.close()


async def test_a_unix_socket_is_a_service_too() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as sock:
        path = str(Path(folder) / "service")
        assert await dial({"": UnixTarget(path)}, StreamHeader("")) is StreamCode.FORWARD_REFUSED
        sock.bind(path)
        sock.listen()
        connection = await dial({"": UnixTarget(path)}, StreamHeader(""))
        assert isinstance(connection, socket.socket)
        connection.close()


async def test_an_address_that_cannot_be_used_is_told_as_such() -> None:
    result = await dial({"": TcpTarget("255.255.255.255", 1)}, StreamHeader(""))
    assert result is StreamCode.FORWARD_UNREACHABLE
