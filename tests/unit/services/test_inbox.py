from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from p2p import defaults
from p2p.services.inbox import Arrival, Inbox, WrongDigestError
from p2p.services.tree import PART_PREFIX

KEY = "0123456789abcdef" * 2
DATA = b"some content"
DIGEST = hashlib.sha256(DATA).digest()


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    (tmp_path / "in").mkdir()
    return Inbox(tmp_path / "in")


def names(inbox: Inbox) -> list[str]:
    return sorted(os.listdir(inbox.root))


def put(inbox: Inbox, *way: str, data: bytes = DATA) -> Arrival:
    inbox.write(KEY, 0, data)
    return inbox.finish(KEY, way, hashlib.sha256(data).digest(), None)


def test_a_file_appears_when_it_is_whole(inbox: Inbox) -> None:
    inbox.write(KEY, 0, DATA[:5])
    assert names(inbox) == [f"{PART_PREFIX}{KEY}"]
    assert inbox.offset(KEY) == 5
    inbox.write(KEY, 5, DATA[5:])
    assert inbox.finish(KEY, ("sub", "deep", "a.txt"), DIGEST, 1_000_000_000.0) is Arrival.NEW
    assert names(inbox) == ["sub"]
    file = Path(inbox.root, "sub", "deep", "a.txt")
    assert file.read_bytes() == DATA
    assert file.stat().st_mtime == 1_000_000_000.0
    assert file.stat().st_nlink == 1


def test_a_file_has_the_rights_of_the_users_other_files(inbox: Inbox, tmp_path: Path) -> None:
    inbox.write(KEY, 0, DATA)
    assert os.stat(os.path.join(inbox.root, f"{PART_PREFIX}{KEY}")).st_mode & 0o777 == 0o600
    inbox.finish(KEY, ("a",), DIGEST, None)
    other = tmp_path / "other"
    other.touch()
    assert os.stat(os.path.join(inbox.root, "a")).st_mode == other.stat().st_mode


def test_what_is_not_what_was_sent_never_appears(inbox: Inbox) -> None:
    inbox.write(KEY, 0, b"other")
    with pytest.raises(WrongDigestError):
        inbox.finish(KEY, ("a",), DIGEST, None)
    assert names(inbox) == []


def test_nothing_is_replaced(inbox: Inbox) -> None:
    put(inbox, "a")
    with pytest.raises(FileExistsError):
        put(inbox, "a", data=b"other")
    assert Path(inbox.root, "a").read_bytes() == DATA
    assert names(inbox) == ["a"]


def test_the_same_file_again_is_no_failure(inbox: Inbox) -> None:
    put(inbox, "a")
    assert put(inbox, "a") is Arrival.SAME
    assert inbox.finish(KEY, ("a",), DIGEST, None) is Arrival.SAME
    assert names(inbox) == ["a"]


def test_a_file_that_comes_in_between_is_not_replaced(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox.write(KEY, 0, DATA)
    link = os.link

    def late(*arguments: object, **options: object) -> None:
        Path(inbox.root, "a").write_text("first")
        link(*arguments, **options)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(FileExistsError):
        inbox.finish(KEY, ("a",), DIGEST, None)
    assert Path(inbox.root, "a").read_text() == "first"


def test_a_file_system_without_links_will_do(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    assert put(inbox, "a") is Arrival.NEW
    assert names(inbox) == ["a"]


def test_an_empty_file_needs_no_part(inbox: Inbox) -> None:
    assert inbox.finish(KEY, ("empty",), hashlib.sha256().digest(), None) is Arrival.NEW
    assert Path(inbox.root, "empty").read_bytes() == b""


@pytest.mark.parametrize("way", [(), (".ssh", "authorized_keys"), ("a", ".env"), (f"{PART_PREFIX}x",)])
def test_some_names_are_not_taken(inbox: Inbox, way: tuple[str, ...]) -> None:
    with pytest.raises(PermissionError):
        put(inbox, *way)


def test_nothing_is_written_through_a_link(inbox: Inbox, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    Path(inbox.root, "link").symlink_to(outside)
    Path(inbox.root, "file").symlink_to(outside / "new")
    with pytest.raises(OSError, match=r"Not a directory|symbolic"):
        put(inbox, "link", "a")
    with pytest.raises(FileExistsError):
        put(inbox, "file")
    assert list(outside.iterdir()) == []


def test_a_part_that_is_a_link_is_not_written(inbox: Inbox, tmp_path: Path) -> None:
    Path(inbox.root, f"{PART_PREFIX}{KEY}").symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match="symbolic"):
        inbox.write(KEY, 0, DATA)
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("key", ["", "../../etc/passwd", KEY + "0", KEY.upper()])
def test_keys_have_one_form(inbox: Inbox, key: str) -> None:
    with pytest.raises(ValueError, match="no key"):
        inbox.write(key, 0, DATA)


def test_room_is_left_for_others(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "FILES_ROOM_LEFT_BYTES", 1 << 62)
    with pytest.raises(OSError, match="no room"):
        inbox.write(KEY, 0, DATA)
    assert names(inbox) == []


def test_old_parts_are_forgotten(inbox: Inbox) -> None:
    inbox.write(KEY, 0, DATA)
    inbox.drop_old()
    assert inbox.offset(KEY) == len(DATA)
    part = os.path.join(inbox.root, f"{PART_PREFIX}{KEY}")
    os.utime(part, (0, 0))
    put_there = Path(inbox.root, "old")
    put_there.touch()
    os.utime(put_there, (0, 0))
    inbox.drop_old()
    assert names(inbox) == ["old"]
