from __future__ import annotations

from pathlib import Path

import pytest

from p2p.errors import ConfigError
from p2p.session.copy_plan import plan_copy

TICKET = "p2p1abc234"


@pytest.mark.parametrize(
    ("remote", "names", "is_folder"),
    [("", (), True), ("a", ("a",), False), ("a/", ("a",), True), ("./a//b.txt", ("a", "b.txt"), False)],
)
def test_sending(remote: str, names: tuple[str, ...], is_folder: bool) -> None:
    plan = plan_copy(["file", f"{TICKET}:{remote}"], hidden=True)
    assert (plan.ticket, plan.upload, plan.remote, plan.is_remote_folder) == (TICKET, (Path("file"),), names, is_folder)
    assert plan.hidden


def test_several_files_are_sent_into_a_folder() -> None:
    assert plan_copy(["a", "b", f"{TICKET}:in/"], hidden=False).upload == (Path("a"), Path("b"))


def test_fetching() -> None:
    plan = plan_copy([f"{TICKET}:a/b c", "."], hidden=False)
    assert (plan.upload, plan.remote, plan.local) == ((), ("a", "b c"), Path())


@pytest.mark.parametrize(
    "paths",
    [
        ["a"],
        ["a", "b"],
        [f"{TICKET}:a"],
        [f"{TICKET}:a", f"{TICKET}:b"],
        [f"{TICKET}:a", "b", "c"],
        ["a", "b", f"{TICKET}:c"],
        ["a", f"{TICKET}:../c"],
        [TICKET, "a"],
    ],
)
def test_what_is_no_copy(paths: list[str]) -> None:
    with pytest.raises(ConfigError) as told:
        plan_copy(paths, hidden=False)
    assert told.value.code == "P2P-1107"


def test_the_ticket_is_not_shown() -> None:
    assert TICKET not in repr(plan_copy(["a", f"{TICKET}:"], hidden=False))
