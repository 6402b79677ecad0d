"""The sockets that `p2p status` reads."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
from pathlib import Path

import pytest

from p2p.cli import local_status
from p2p.cli.local_status import StatusServer, make_private_folder, read_all, runtime_folder


async def read(folder: Path) -> list[dict[str, object]]:
    return await asyncio.to_thread(lambda: list(read_all(folder)))


async def test_answers_with_the_present_state(tmp_path: Path) -> None:
    state = {"n": 1}
    async with StatusServer(tmp_path / "run", lambda: state):
        assert await read(tmp_path / "run") == [{"n": 1}]
        state["n"] = 2
        assert await read(tmp_path / "run") == [{"n": 2}]
        assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700
    assert await read(tmp_path / "run") == []


async def test_large_answer_arrives_whole(tmp_path: Path) -> None:
    async with StatusServer(tmp_path, lambda: {"x": "y" * 3_000_000}):
        (answer,) = await read(tmp_path)
        assert len(str(answer["x"])) == 3_000_000


def test_socket_of_a_dead_process_is_removed(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "1.sock"))
    assert list(read_all(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


async def test_what_is_no_status_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "12.sock").write_text("a file")
    async with StatusServer(tmp_path, lambda: {"ok": True}):
        with caplog.at_level(logging.CRITICAL):
            assert await read(tmp_path) == [{"ok": True}]


async def test_hanging_process_does_not_hang_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_status.defaults, "STATUS_QUERY_TIMEOUT_S", 0.01)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "1.sock"))
        silent.listen()
        assert await read(tmp_path) == []


async def test_left_over_socket_is_replaced(tmp_path: Path) -> None:
    (tmp_path / f"{os.getpid()}.sock").write_text("")
    async with StatusServer(tmp_path, lambda: {"ok": True}):
        assert await read(tmp_path) == [{"ok": True}]


async def test_unusable_folder_is_no_reason_to_fail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    async with StatusServer(tmp_path / "file", lambda: {}):
        pass
    assert "no status for `p2p status`" in caplog.text


def test_folder_of_someone_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(PermissionError):
        make_private_folder(tmp_path)


def test_open_folder_is_closed(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    make_private_folder(tmp_path / "run")
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700


def test_place(tmp_path: Path) -> None:
    assert runtime_folder({"P2P_RUNTIME_DIR": str(tmp_path)}) == tmp_path
    assert runtime_folder({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "p2p"
    assert runtime_folder({}).parts[-2:] == ("p2p", "run")
