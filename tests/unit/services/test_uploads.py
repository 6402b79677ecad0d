from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from p2p import defaults
from p2p.services.digest import format_digest, parse_digest_untrusted
from p2p.services.files import FileService
from p2p.services.tree import PART_PREFIX
from tests.support.http_pair import Answer, request

CONTENT = os.urandom(2_500_000)
DIGEST = format_digest(hashlib.sha256(CONTENT).digest())
KEY = "ab" * 16


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
async def service(folder: Path) -> AsyncIterator[FileService]:
    async with FileService(None, inbox=folder) as service:
        yield service


async def patch(service: FileService, name: str, body: bytes, **headers: str) -> Answer:
    return await request(service.connect(), f"/{name}?part={KEY}", method="PATCH", body=body, **headers)


async def test_a_whole_file_is_taken(service: FileService, folder: Path) -> None:
    answer = await request(service.connect(), "/sub/a.bin", method="PUT", body=CONTENT)
    assert answer.status == 201
    assert (folder / "sub" / "a.bin").read_bytes() == CONTENT
    again = await request(service.connect(), "/sub/a.bin", method="PUT", body=CONTENT, Repr_Digest=DIGEST)
    assert again.status == 200
    other = await request(service.connect(), "/sub/a.bin", method="PUT", body=b"other")
    assert other.status == 409
    assert sorted(os.listdir(folder)) == ["sub"]


async def test_a_file_comes_in_parts_over_several_connections(service: FileService, folder: Path) -> None:
    assert (await patch(service, "a.bin", CONTENT[:2_000_000], Upload_Offset="0")).status == 204
    there = await request(service.connect(), f"/a.bin?part={KEY}", method="HEAD")
    assert there.headers["Upload-Offset"] == "2000000"
    assert "Upload-Taken" not in there.headers
    done = await patch(
        service, "a.bin", CONTENT[2_000_000:], Upload_Offset="2000000", Upload_Complete="?1", Repr_Digest=DIGEST
    )
    assert done.status == 201
    assert (folder / "a.bin").read_bytes() == CONTENT
    assert os.listdir(folder) == ["a.bin"]
    assert "Upload-Taken" in (await request(service.connect(), f"/a.bin?part={KEY}", method="HEAD")).headers
    same = await patch(service, "a.bin", b"", Upload_Offset="0", Upload_Complete="?1", Repr_Digest=DIGEST)
    assert same.status == 200


async def test_a_piece_at_the_wrong_place_is_refused(service: FileService) -> None:
    await patch(service, "a.bin", b"12345", Upload_Offset="0")
    answer = await patch(service, "a.bin", b"67890", Upload_Offset="4")
    assert answer.status == 409
    assert answer.headers["Upload-Offset"] == "5"


async def test_a_wrong_digest_is_told_and_the_part_dropped(service: FileService, folder: Path) -> None:
    answer = await patch(service, "a.bin", b"other", Upload_Offset="0", Upload_Complete="?1", Repr_Digest=DIGEST)
    assert answer.status == 422
    assert os.listdir(folder) == []


@pytest.mark.parametrize(
    "headers",
    [{}, {"Upload_Offset": "-1"}, {"Upload_Offset": "0", "Upload_Complete": "?1"}, {"Upload_Offset": "\u0661"}],
)
async def test_what_is_missing_is_told(service: FileService, headers: dict[str, str]) -> None:
    assert (await patch(service, "a.bin", b"x", **headers)).status == 400


@pytest.mark.parametrize("path", ["/.bashrc", "/../x", "/%2e%2e/x", "/", f"/{PART_PREFIX}x"])
async def test_some_names_are_refused(service: FileService, folder: Path, path: str) -> None:
    assert (await request(service.connect(), path, method="PUT", body=b"x")).status in {201, 403}
    assert os.listdir(folder) == []


async def test_a_file_in_the_way_is_told(service: FileService, folder: Path) -> None:
    (folder / "file").touch()
    assert (await request(service.connect(), "/file/x", method="PUT", body=b"x")).status == 409


async def test_a_full_disk_is_told(service: FileService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "FILES_ROOM_LEFT_BYTES", 1 << 62)
    assert (await request(service.connect(), "/a", method="PUT", body=b"x")).status == 507


async def test_folders_are_made(service: FileService, folder: Path) -> None:
    assert (await request(service.connect(), "/a/b/", method="PUT")).status == 201
    assert (folder / "a" / "b").is_dir()


async def test_an_inbox_shows_nothing(service: FileService, folder: Path) -> None:
    (folder / "secret").write_text("s")
    front = await request(service.connect(), "/")
    assert front.status == 200
    assert b"p2p cp FILE TICKET:" in front.body
    assert b"secret" not in front.body
    assert (await request(service.connect(), "/secret")).status == 404
    assert (await request(service.connect(), "/secret", method="HEAD")).status == 404


@pytest.mark.parametrize("text", ["", "sha-256=:AAAA:", "sha-256=AAAA", "md5=:AAAA:", "sha-256=:" + "!" * 44 + ":"])
def test_what_is_no_digest(text: str) -> None:
    assert parse_digest_untrusted(text) is None


def test_a_digest_among_others() -> None:
    digest = hashlib.sha256(b"x").digest()
    assert parse_digest_untrusted(f"md5=:AA==:, {format_digest(digest)}") == digest
