"""Unix sockets to listen on: whom they let in, what they replace and what they leave behind."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from p2p.errors import ForwardError
from p2p.forward import unix_socket
from p2p.forward.listener import StreamListenerForward
from p2p.target import UnixTarget
from tests.support.forward_session import Session, read_exactly, until


def listening(path: str | Path) -> StreamListenerForward:
    return StreamListenerForward(UnixTarget(str(path)), loop=asyncio.get_running_loop())


def connect(address: str | Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(address))
    sock.setblocking(False)
    return sock


async def test_connections_become_flows_without_an_origin(tmp_path: Path) -> None:
    path = tmp_path / "app"
    async with Session() as session, listening(path) as listener:
        assert listener.place == UnixTarget(str(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        listener.attach(session.dialer)
        with connect(path) as client:
            client.send(b"hello")
            await until(lambda: bool(session.acceptor.sockets))
            assert session.acceptor.headers[0].origin is None
            assert await read_exactly(session.acceptor.sockets[0], 5) == b"hello"
    assert not path.exists()


async def test_a_socket_that_nobody_listens_on_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "app"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    async with listening(path):
        connect(path).close()


async def test_a_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "app"
    async with listening(path):
        with pytest.raises(ForwardError) as caught:
            await listening(path).__aenter__()
        assert caught.value.code == "P2P-6130"
        connect(path).close()


async def test_a_file_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "app"
    path.write_text("precious")
    with pytest.raises(ForwardError):
        await listening(path).__aenter__()
    assert path.read_text() == "precious"


async def test_what_another_program_put_there_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "app"
    async with listening(path):
        path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
    assert path.exists()


async def test_an_abstract_name_is_for_its_owner_only(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"p2p-test-{os.getpid()}"
    async with listening(f"@{name}") as listener:
        with connect(f"\0{name}"):
            await until(lambda: listener.waiting_count == 1)
        monkeypatch.setattr(unix_socket.os, "geteuid", lambda: 12345)
        if os.getuid() == 0:
            monkeypatch.setattr(unix_socket, "_CREDENTIALS", AnotherUser())
        with connect(f"\0{name}") as stranger:
            await until(lambda: listener.refused == 1)
            assert stranger.recv(1) == b""


class AnotherUser:
    """What the kernel says of a connection from another user."""

    size = unix_socket._CREDENTIALS.size

    def unpack(self, _: bytes) -> tuple[int, int, int]:
        return 1, 54321, 54321
