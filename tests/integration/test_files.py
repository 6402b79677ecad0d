"""Folders, and ``p2p cp``, over loopback with the real servers in between."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2p.address import TransportAddress
from p2p.cli.problems import find_error
from p2p.errors import P2PError
from p2p.session.copy import CODE_NO_FILES, CopyRun
from p2p.session.copy_plan import CopyPlan
from p2p.session.events import Connected, Listening
from p2p.target import FolderTarget, TcpTarget
from tests.support.http_pair import connection, request
from tests.support.peers import World, echo, echo_service, world

BIG = os.urandom(5_000_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "public"
    (root / "sub").mkdir(parents=True)
    (root / "big.bin").write_bytes(BIG)
    (root / "sub" / "note.txt").write_text("hello")
    (tmp_path / "inbox").mkdir()
    return root


async def copy(here: World, ticket: str, **fields: object) -> CopyRun:
    run = CopyRun(CopyPlan(ticket=ticket, **fields), here.options())
    told: list[P2PError] = []
    await run.run(told.append)
    assert told == []
    return run


async def test_a_folder_is_read_like_a_website(tmp_path: Path, folder: Path) -> None:
    async with world(tmp_path) as here:
        offer, _, _ = await here.expose(FolderTarget(str(folder)))
        _, news, _, address = await here.connect(offer.ticket)
        await news.wait_for(Connected)
        page = await request(await connection(address), "/")
        assert b"big.bin" in page.body
        part = await request(await connection(address), "/big.bin", Range="bytes=1000000-1999999")
        assert part.body == BIG[1_000_000:2_000_000]
        assert (await request(await connection(address), "/sub/note.txt", method="PUT", body=b"x")).status == 405


async def test_files_are_copied_both_ways(tmp_path: Path, folder: Path) -> None:
    async with world(tmp_path) as here:
        offer, _, _ = await here.expose(FolderTarget(str(folder)), inbox=tmp_path / "inbox")
        fetched = await copy(here, offer.ticket, local=tmp_path / "mirror")
        assert (tmp_path / "mirror" / "big.bin").read_bytes() == BIG
        assert (tmp_path / "mirror" / "sub" / "note.txt").read_text() == "hello"
        assert fetched.progress.bytes_copied == len(BIG) + 5
        sent = await copy(here, offer.ticket, upload=(tmp_path / "mirror",))
        assert (tmp_path / "inbox" / "mirror" / "big.bin").read_bytes() == BIG
        assert sent.progress.files_done == 2
        again = await copy(here, offer.ticket, upload=(tmp_path / "mirror",))
        assert again.progress.files_same == 2


async def test_an_inbox_beside_a_service_that_is_no_folder(tmp_path: Path, folder: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        offer, _, _ = await here.expose(port, inbox=tmp_path / "inbox")
        await copy(here, offer.ticket, upload=(folder / "big.bin",), remote=("other.bin",), is_remote_folder=False)
        assert (tmp_path / "inbox" / "other.bin").read_bytes() == BIG


async def test_an_inbox_alone(tmp_path: Path, folder: Path) -> None:
    async with world(tmp_path) as here:
        offer, _, _ = await here.expose({}, inbox=tmp_path / "inbox")
        _, news, _, address = await here.connect(offer.ticket)
        await news.wait_for(Connected)
        assert b"This peer takes files" in (await request(await connection(address), "/")).body
        assert (await request(await connection(address), "/a.txt", method="PUT", body=b"x")).status == 201
        assert (tmp_path / "inbox" / "a.txt").read_text() == "x"


async def test_who_has_no_files_says_so(tmp_path: Path, folder: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        offer, _, _ = await here.expose(port)
        with pytest.raises(ExceptionGroup) as refused:
            await copy(here, offer.ticket, upload=(folder,))
        assert find_error(refused.value).error_code is CODE_NO_FILES


async def test_a_folder_among_several_services(tmp_path: Path, folder: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        offer, _, _ = await here.expose({"echo": TcpTarget("127.0.0.1", port), "docs": FolderTarget(str(folder))})
        places = {"docs": TcpTarget("127.0.0.1", 0), "echo": TcpTarget("127.0.0.1", 0)}
        _, news, _ = await here.connect_at(offer.ticket, places)
        docs = (await news.wait_for(Listening, service="docs")).address
        assert isinstance(docs, TcpTarget)
        answer = await request(await connection(TransportAddress(docs.host, docs.port)), "/sub/note.txt")
        assert answer.body == b"hello"
        service = (await news.wait_for(Listening, service="echo")).address
        assert isinstance(service, TcpTarget)
        await echo(TransportAddress(service.host, service.port), b"as before")
