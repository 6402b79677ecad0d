from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from p2p.services import page
from p2p.services.files import FileService
from tests.support.http_pair import request

CONTENT = os.urandom(3_000_000)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[FileService]:
    root = tmp_path / "shared"
    (root / "sub").mkdir(parents=True)
    (root / "big.bin").write_bytes(CONTENT)
    (root / "sub" / "note.txt").write_text("hello")
    (root / "<b>&.html").write_text("<p>x")
    (root / ".env").write_text("KEY=1")
    (root / "site").mkdir()
    (root / "site" / "index.html").write_text("<h1>mine</h1>")
    (tmp_path / "outside").write_text("out")
    async with FileService(root) as service:
        yield service


async def test_a_file_comes_whole(service: FileService) -> None:
    answer = await request(service.connect(), "/big.bin")
    assert answer.status == 200
    assert answer.body == CONTENT
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Server"] == "p2p"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [("bytes=0-0", 0, 1), ("bytes=1000-1999", 1000, 2000), ("bytes=2999990-", -10, None), ("bytes=-5", -5, None)],
)
async def test_ranges(service: FileService, wanted: str, start: int, end: int | None) -> None:
    answer = await request(service.connect(), "/big.bin", Range=wanted)
    assert answer.status == 206
    assert answer.body == CONTENT[start:end]
    assert answer.headers["Content-Range"].endswith(f"/{len(CONTENT)}")


async def test_a_range_behind_the_end_is_told(service: FileService) -> None:
    answer = await request(service.connect(), "/big.bin", Range="bytes=9999999-")
    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(CONTENT)}"


async def test_what_is_known_already_is_not_sent_again(service: FileService) -> None:
    tag = (await request(service.connect(), "/sub/note.txt")).headers["Etag"]
    assert (await request(service.connect(), "/sub/note.txt", If_None_Match=tag)).status == 304


async def test_head_tells_the_size(service: FileService) -> None:
    answer = await request(service.connect(), "/big.bin", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(CONTENT))


async def test_a_folder_is_a_page_without_scripts(service: FileService) -> None:
    answer = await request(service.connect(), "/")
    text = answer.body.decode()
    assert answer.status == 200
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "<html lang=en>" in text
    assert '<a href="./sub/">sub/</a>' in text
    assert "&lt;b&gt;&amp;.html" in text
    assert "<b>" not in text
    assert ".env" not in text
    assert "4 entries, and 1 hidden" in text


async def test_a_folder_is_json_for_programs(service: FileService) -> None:
    answer = await request(service.connect(), "/", Accept="application/json")
    listing = json.loads(answer.body)
    assert listing["hidden"] == 1
    assert [entry["name"] for entry in listing["entries"]] == ["site", "sub", "<b>&.html", "big.bin"]
    assert listing["entries"][3]["size"] == len(CONTENT)
    assert listing["entries"][2]["href"] == "./%3Cb%3E%26.html"


async def test_a_folder_has_a_slash_at_its_end(service: FileService) -> None:
    answer = await request(service.connect(), "/sub")
    assert answer.status == 301
    assert answer.headers["Location"] == "./sub/"


async def test_an_index_is_shown_instead_of_the_list(service: FileService) -> None:
    assert (await request(service.connect(), "/site/")).body == b"<h1>mine</h1>"
    listing = json.loads((await request(service.connect(), "/site/", Accept="application/json")).body)
    assert [entry["name"] for entry in listing["entries"]] == ["index.html"]


@pytest.mark.parametrize("path", ["/../outside", "/%2e%2e/outside", "/nothing", "/.env", "/sub/note.txt/x", "/%00"])
async def test_nothing_else_is_there(service: FileService, path: str) -> None:
    answer = await request(service.connect(), path)
    assert answer.status == 404
    assert b"There is nothing of that name" in answer.body


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
async def test_nothing_can_be_changed(service: FileService, method: str) -> None:
    assert (await request(service.connect(), "/sub/note.txt", method=method, body=b"x")).status == 405
    assert (await request(service.connect(), "/sub/note.txt")).body == b"hello"


async def test_a_connection_serves_many_requests(service: FileService, caplog: pytest.LogCaptureFixture) -> None:
    sock = service.connect()
    assert sock is not None
    before = len(os.listdir("/proc/self/fd"))
    reader, writer = await asyncio.open_connection(sock=sock)
    for _ in range(5):
        for path in ("/sub/note.txt", "/", "/nothing", "/site/"):
            for method in ("GET", "HEAD"):
                writer.write(f"{method} {path} HTTP/1.1\r\nHost: p2p\r\n\r\n".encode())
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.partition("Content-Length: ")[2].partition("\r")[0])
                if method == "GET":
                    await reader.readexactly(length)
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    writer.close()
    await writer.wait_closed()
    assert caplog.records == []


async def test_names_that_are_no_text(service: FileService, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    (tmp_path / "shared" / name).write_text("latin")
    assert "caf\N{REPLACEMENT CHARACTER}.txt" in (await request(service.connect(), "/")).body.decode()
    assert (await request(service.connect(), "/caf%E9.txt")).body == b"latin"


async def test_there_are_only_so_many_connections(tmp_path: Path) -> None:
    async with FileService(tmp_path, max_connections=0) as service:
        assert service.connect() is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.png", "image/png"),
        ("a.tar.gz", "application/gzip"),
        ("a.txt.bz2", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_content_types(name: str, kind: str) -> None:
    assert page.content_type(name) == kind
