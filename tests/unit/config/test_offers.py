"""What can be put on offer, as typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2p.errors import ConfigError
from p2p.parse import parse_offer
from p2p.parse_services import parse_targets
from p2p.target import FolderTarget, TcpTarget, UnixTarget


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("public", "8080"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("text", ["./public", "public", "public/", "~/public", "../{}/public"])
def test_folders(text: str, tmp_path: Path) -> None:
    assert parse_offer(text.format(tmp_path.name)) == FolderTarget(str(tmp_path / "public"))


def test_a_folder_is_shown_by_its_whole_path(tmp_path: Path) -> None:
    assert str(parse_offer(".")) == str(tmp_path)


def test_what_could_be_a_port_is_one() -> None:
    assert parse_offer("8080") == TcpTarget("localhost", 8080)
    assert parse_offer("./8080").__class__ is FolderTarget
    assert parse_offer("unix:/run/app.sock") == UnixTarget("/run/app.sock")


@pytest.mark.parametrize(
    ("text", "code"),
    [("./nothing", "P2P-1106"), ("/nothing", "P2P-1106"), ("nothing", "P2P-1102"), ("http://host/", "P2P-1102")],
)
def test_what_is_none(text: str, code: str) -> None:
    with pytest.raises(ConfigError) as told:
        parse_offer(text)
    assert told.value.code == code


def test_folders_beside_other_services(tmp_path: Path) -> None:
    folder = FolderTarget(str(tmp_path / "public"))
    assert parse_targets(["docs=./public", "8080"], {}) == {"docs": folder, "8080": TcpTarget("localhost", 8080)}
    assert parse_targets(["./public"], {}) == {"": folder}
    (tmp_path / "photos-2023-2024").mkdir()
    assert parse_targets(["./photos-2023-2024"], {}) == {"": FolderTarget(str(tmp_path / "photos-2023-2024"))}
    with pytest.raises(ConfigError, match="needs a name"):
        parse_targets(["./public", "8080"], {})
