"""Client and service together, joined by pairs of sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from p2p import defaults
from p2p.errors import DecodeError, ForwardError
from p2p.services.copy_plan import local_items, remote_items
from p2p.services.copying import CODE_LOCAL, Copier, Progress
from p2p.services.file_client import (
    CODE_CHANGED,
    CODE_FAILED,
    CODE_NOT_FOUND,
    CODE_NOT_PERMITTED,
    CODE_TAKEN,
    FileClient,
    read_listing_untrusted,
)
from p2p.services.files import FileService
from p2p.services.inbox import Inbox
from p2p.services.tree import PART_PREFIX

BIG = os.urandom(3_000_000)


class Play:
    """A service with a folder to read and one to put files into, and clients of it in threads."""

    def __init__(self, service: FileService, folder: Path) -> None:
        self.service = service
        self.remote, self.inbox, self.here = (folder / name for name in ("remote", "inbox", "here"))
        self.loop = asyncio.get_running_loop()
        self.cut_after: int | None = None

    def connect(self) -> socket.socket:
        async def make() -> socket.socket | None:
            return self.service.connect()

        sock = asyncio.run_coroutine_threadsafe(make(), self.loop).result()
        assert sock is not None
        sock.setblocking(True)
        return sock if self.cut_after is None else _Cut(sock, self.cut_after)

    async def in_thread(self, work: Callable[[FileClient], Any]) -> Any:
        def run() -> Any:
            client = FileClient(self.connect)
            try:
                return work(client)
            finally:
                client.forget()

        return await asyncio.to_thread(run)

    async def upload(self, path: Path, *there: str) -> Progress:
        progress = Progress()

        def work(client: FileClient) -> None:
            root, items, progress.left_out = local_items(path, there, hidden=False)
            progress.add(items)
            for item in items:
                Copier(client, progress, key_of).upload(root, item)

        await self.in_thread(work)
        return progress

    async def download(self, there: tuple[str, ...], here: tuple[str, ...]) -> Progress:
        progress = Progress()

        def work(client: FileClient) -> None:
            items, progress.left_out = remote_items(client, there, here, hidden=False)
            progress.add(items)
            for item in items:
                Copier(client, progress, key_of).download(Inbox(self.here), item)

        await self.in_thread(work)
        return progress


class _Cut(socket.socket):
    """A connection that is lost after so many bytes."""

    def __init__(self, sock: socket.socket, left: int) -> None:
        super().__init__(fileno=sock.detach())
        self._left = left

    def sendall(self, data: Any, *arguments: Any) -> None:
        self._count(len(data))
        super().sendall(data, *arguments)

    def recv_into(self, *arguments: Any) -> int:
        length = super().recv_into(*arguments)
        self._count(length)
        return length

    def _count(self, length: int) -> None:
        self._left -= length
        if self._left < 0:
            raise ConnectionResetError("cut")


def key_of(text: str) -> str:
    return f"{abs(hash(text)):032x}"


@pytest.fixture
async def play(tmp_path: Path) -> AsyncIterator[Play]:
    for name in ("remote", "inbox", "here"):
        (tmp_path / name).mkdir()
    async with FileService(tmp_path / "remote", inbox=tmp_path / "inbox") as service:
        yield Play(service, tmp_path)


def fill(folder: Path) -> None:
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "big.bin").write_bytes(BIG)
    (folder / "sub" / "note.txt").write_text("hello")
    (folder / "sub" / "empty").touch()
    (folder / "sub" / "deep" / "caf\N{LATIN SMALL LETTER E WITH ACUTE} 100%?#.txt").write_text("odd")
    (folder / ".env").write_text("KEY=1")
    os.utime(folder / "big.bin", (1_000_000_000, 1_000_000_000))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_a_folder_goes_there_and_comes_back(play: Play, tmp_path: Path) -> None:
    source = tmp_path / "source"
    fill(source)
    expected = content(source)
    del expected[".env"]
    sent = await play.upload(source, "a", "b")
    assert content(play.inbox / "a" / "b") == expected
    assert (play.inbox / "a" / "b" / "big.bin").stat().st_mtime == 1_000_000_000
    assert (sent.files_done, sent.files_same, sent.left_out) == (4, 0, 1)
    assert sent.bytes_done == sent.bytes_total == sent.bytes_copied
    fill(play.remote)
    fetched = await play.download((), ("copy",))
    assert content(play.here / "copy") == expected
    assert (fetched.files_done, fetched.files_same, fetched.left_out) == (4, 0, 1)


async def test_a_second_time_nothing_is_copied(play: Play, tmp_path: Path) -> None:
    source = tmp_path / "source"
    fill(source)
    await play.upload(source)
    again = await play.upload(source)
    assert again.files_same == again.files_done == 4
    assert again.bytes_copied < 1000, "the large file was sent again"
    fill(play.remote)
    await play.download((), ())
    again = await play.download((), ())
    assert again.files_same == 4
    assert again.bytes_copied == 0


async def test_what_was_broken_off_is_gone_on_with(play: Play, tmp_path: Path) -> None:
    source = tmp_path / "big.bin"
    source.write_bytes(BIG)
    play.cut_after = 2_200_000
    with pytest.raises(ForwardError) as cut:
        await play.upload(source, "big.bin")
    assert cut.value.error_code is CODE_FAILED
    play.cut_after = None
    async with asyncio.timeout(5):
        while not content(play.inbox):
            await asyncio.sleep(0.01)
    (part,) = play.inbox.iterdir()
    assert part.name.startswith(PART_PREFIX)
    rest = await play.upload(source, "big.bin")
    assert content(play.inbox) == {"big.bin": BIG}
    assert rest.bytes_copied < len(BIG)
    assert rest.bytes_done == len(BIG)


async def test_a_fetch_that_was_broken_off_is_gone_on_with(play: Play) -> None:
    (play.remote / "big.bin").write_bytes(BIG)
    play.cut_after = 2_200_000
    with pytest.raises(ForwardError):
        await play.download(("big.bin",), ("mine.bin",))
    play.cut_after = None
    assert [path.name.startswith(PART_PREFIX) for path in play.here.iterdir()] == [True]
    rest = await play.download(("big.bin",), ("mine.bin",))
    assert content(play.here) == {"mine.bin": BIG}
    assert 0 < rest.bytes_copied < len(BIG)


async def test_a_file_that_changed_meanwhile_is_begun_anew(play: Play) -> None:
    (play.remote / "big.bin").write_bytes(BIG)
    play.cut_after = 2_200_000
    with pytest.raises(ForwardError):
        await play.download(("big.bin",), ("big.bin",))
    play.cut_after = None
    changed = os.urandom(len(BIG))
    (play.remote / "big.bin").write_bytes(changed)
    rest = await play.download(("big.bin",), ("big.bin",))
    assert (play.here / "big.bin").read_bytes() == changed
    assert rest.bytes_copied == len(BIG)


async def test_a_part_whose_bytes_went_wrong_is_noticed(play: Play, tmp_path: Path) -> None:
    (play.remote / "big.bin").write_bytes(BIG)
    play.cut_after = 2_200_000
    with pytest.raises(ForwardError):
        await play.download(("big.bin",), ("big.bin",))
    play.cut_after = None
    (part,) = play.here.iterdir()
    with part.open("r+b") as file:
        file.write(b"wrong")
    with pytest.raises(ForwardError) as noticed:
        await play.download(("big.bin",), ("big.bin",))
    assert noticed.value.error_code is CODE_CHANGED
    await play.download(("big.bin",), ("big.bin",))
    assert content(play.here) == {"big.bin": BIG}


async def test_nothing_is_replaced_on_either_side(play: Play, tmp_path: Path) -> None:
    for size in (10, defaults.FILES_SMALL_BYTES + 1):
        source = tmp_path / "file"
        source.write_bytes(bytes(size))
        (play.inbox / "file").write_text("theirs")
        with pytest.raises(ForwardError) as taken:
            await play.upload(source, "file")
        assert taken.value.error_code is CODE_TAKEN
        assert (play.inbox / "file").read_text() == "theirs"
        (play.remote / "file").write_bytes(bytes(size))
        (play.here / "file").write_text("mine")
        with pytest.raises(ForwardError) as taken:
            await play.download(("file",), ("file",))
        assert taken.value.error_code is CODE_TAKEN
        assert content(play.here) == {"file": b"mine"}


async def test_what_is_not_there_or_not_permitted_is_told(play: Play, tmp_path: Path) -> None:
    with pytest.raises(ForwardError) as missing:
        await play.download(("nothing",), ("nothing",))
    assert missing.value.error_code is CODE_NOT_FOUND
    source = tmp_path / "file"
    source.touch()
    with pytest.raises(ForwardError) as refused:
        await play.upload(source, ".bashrc")
    assert refused.value.error_code is CODE_NOT_PERMITTED
    async with FileService(tmp_path) as reading:
        play.service = reading
        with pytest.raises(ForwardError) as refused:
            await play.upload(source, "file")
    assert refused.value.error_code is CODE_NOT_PERMITTED


async def test_a_local_file_that_cannot_be_read_is_told(play: Play, tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_text("x")
    root, (item,), _ = local_items(source, ("file",), hidden=False)
    source.unlink()

    def work(client: FileClient) -> None:
        Copier(client, Progress(), key_of).upload(root, item)

    with pytest.raises(ForwardError) as told:
        await play.in_thread(work)
    assert told.value.error_code is CODE_LOCAL
    assert "No such file" in told.value.detail


def test_links_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    (tmp_path / "file-link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    _, items, left_out = local_items(tmp_path, (), hidden=True)
    assert (items, left_out) == ([], 3)


async def test_a_client_that_is_closed_lets_its_thread_go(play: Play) -> None:
    ours, theirs = socket.socketpair()
    client = FileClient(lambda: ours)
    began = threading.Event()

    def ask() -> None:
        began.set()
        client.ask("GET", "/")

    waiting = asyncio.get_running_loop().run_in_executor(None, ask)
    with theirs:
        assert await asyncio.to_thread(theirs.recv, 100)
        client.close()
        with pytest.raises(ForwardError):
            await waiting
    client.forget()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"entries": [1], "hidden": 0}',
        b'{"entries": [{"href": "./../x", "folder": false, "size": 1, "modified": 0}], "hidden": 0}',
        b'{"entries": [{"href": "./a%2fb", "folder": false, "size": 1, "modified": 0}], "hidden": 0}',
        b'{"entries": [{"href": "./", "folder": true, "size": 1, "modified": 0}], "hidden": 0}',
        b'{"entries": [{"href": "/etc", "folder": true, "size": 1, "modified": 0}], "hidden": 0}',
        b'{"entries": [{"href": "./.p2p-part-x", "folder": true, "size": 1, "modified": 0}], "hidden": 0}',
        b'{"entries": [{"href": "./a", "folder": true, "size": Infinity, "modified": 0}], "hidden": 0}',
        b"[" * 100_000,
    ],
)
def test_lists_that_make_no_sense(data: bytes) -> None:
    with pytest.raises(DecodeError):
        read_listing_untrusted(data)
