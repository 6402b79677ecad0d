from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2p.errors import DecodeError
from p2p.services.tree import PART_PREFIX, Tree, names_untrusted


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "a.txt").write_text("a")
    (root / "sub" / "b.txt").write_text("bb")
    (root / ".secret").write_text("s")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("c")
    (tmp_path / "outside").write_text("out")
    (tmp_path / "rooted").mkdir()
    return root


def read(tree: Tree, path: str) -> str:
    descriptor, _ = tree.open_untrusted(names_untrusted(path))
    with os.fdopen(descriptor) as file:
        return file.read()


def test_files_are_read_by_their_path(folder: Path) -> None:
    tree = Tree(folder)
    assert read(tree, "/a.txt") == "a"
    assert read(tree, "/sub//b.txt") == "bb"
    assert read(tree, "/%61%2etxt") == "a"


@pytest.mark.parametrize(
    "path",
    ["/..", "/../outside", "/sub/../../outside", "/%2e%2e/outside", "/sub/..%2f..%2foutside", "/./a.txt", "/a%00"],
)
def test_no_name_leads_up(path: str) -> None:
    with pytest.raises(DecodeError, match="leads nowhere"):
        names_untrusted(path)


def test_names_and_paths_have_a_bound() -> None:
    with pytest.raises(DecodeError, match="leads nowhere"):
        names_untrusted("/" + "x" * 256)
    with pytest.raises(DecodeError, match="too long"):
        names_untrusted("/x" * 2000)


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "sub/../../outside", "..", "../rooted", "loop"])
def test_links_that_lead_out_lead_nowhere(folder: Path, target: str) -> None:
    (folder / "loop").symlink_to(target)
    tree = Tree(folder)
    with pytest.raises(OSError, match=r"leads out|symbolic links"):
        tree.open_untrusted(("loop",))
    assert [entry.name for entry in tree.entries(())[0]] == ["sub", "a.txt"]


def test_links_that_stay_inside_are_followed(folder: Path) -> None:
    (folder / "link").symlink_to("sub")
    (folder / "sub" / "up").symlink_to("../a.txt")
    tree = Tree(folder)
    assert read(tree, "/link/b.txt") == "bb"
    assert read(tree, "/link/up") == "a"
    assert [entry.name for entry in tree.entries(())[0]] == ["link", "sub", "a.txt"]


def test_a_link_that_is_put_in_the_way_meanwhile_leads_nowhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    realpath = os.path.realpath

    def slow(path: str, *, strict: bool = False) -> str:
        real = realpath(path, strict=strict)
        if str(path).endswith("b.txt"):
            (folder / "sub").rename(folder / "was")
            (folder / "sub").symlink_to(folder.parent)
        return real

    tree = Tree(folder)
    monkeypatch.setattr(os.path, "realpath", slow)
    with pytest.raises(FileNotFoundError):
        tree.open_untrusted(("sub", "b.txt"))


def test_the_folder_itself_may_be_reached_by_a_link(folder: Path) -> None:
    (folder.parent / "link").symlink_to(folder)
    assert read(Tree(folder.parent / "link"), "/sub/b.txt") == "bb"


def test_hidden_names_are_for_those_who_were_allowed(folder: Path) -> None:
    tree = Tree(folder)
    for path in ("/.secret", "/.git/config", "/.git"):
        with pytest.raises(FileNotFoundError):
            read(tree, path)
    (folder / "link").symlink_to(".secret")
    with pytest.raises(FileNotFoundError):
        read(tree, "/link")
    assert tree.entries(())[1] == 2
    assert read(Tree(folder, hidden=True), "/.git/config") == "c"
    assert len(Tree(folder, hidden=True).entries(())[0]) == 5


def test_what_is_not_complete_is_never_shown(folder: Path) -> None:
    (folder / f"{PART_PREFIX}x").write_text("half")
    tree = Tree(folder, hidden=True)
    assert all(not entry.name.startswith(PART_PREFIX) for entry in tree.entries(())[0])
    with pytest.raises(FileNotFoundError):
        tree.open_untrusted((f"{PART_PREFIX}x",))


def test_neither_pipes_nor_sockets_are_opened(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    tree = Tree(folder)
    with pytest.raises(FileNotFoundError):
        tree.open_untrusted(("pipe",))
    assert "pipe" not in {entry.name for entry in tree.entries(())[0]}


def test_a_whole_file_system_may_be_served(folder: Path) -> None:
    names = tuple(part for part in folder.parts[1:])
    assert Tree(Path("/"), hidden=True).open_untrusted(names)[1].st_ino == folder.stat().st_ino


def test_no_descriptor_stays_open(folder: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    tree = Tree(folder)
    tree.entries(())
    for name in ("nothing", ".secret", "a.txt/b"):
        with pytest.raises(OSError, match="a"):
            tree.open_untrusted(name.split("/"))
    assert len(os.listdir("/proc/self/fd")) == before
