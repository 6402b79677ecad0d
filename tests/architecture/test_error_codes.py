"""Error codes are unique, well formed, and explained."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest

from tests.architecture.error_codes import FAMILIES, INDEX, PAGES, REASONS, FoundCode, find_codes, page_of, render_index

CODES = find_codes()


def test_codes_are_found() -> None:
    assert len(CODES) > 50


def test_codes_are_unique() -> None:
    places = defaultdict(list)
    for found in CODES:
        places[found.code].append(found.place)
    assert {code: where for code, where in places.items() if len(where) > 1} == {}


@pytest.mark.parametrize("found", CODES, ids=lambda found: found.code)
def test_code_is_well_formed_and_explained(found: FoundCode) -> None:
    assert re.fullmatch(r"P2P-\d{4}", found.code), found.place
    assert found.code[4] in FAMILIES, found.place
    assert found.hint[0].isupper(), f"{found.place}: a hint is a sentence"
    assert found.hint.endswith("."), f"{found.place}: a hint is a sentence"
    page = page_of(found.code)
    assert page.exists(), f"{found.place}: write {page.relative_to(PAGES.parent.parent)}"
    content = page.read_text(encoding="utf-8")
    assert re.match(rf"# {found.code}: \S.*\n\n", content), "the title is `# CODE: what happened`"
    for section in ("Cause", "Fix"):
        match = re.search(rf"^## {section}\n\n(.+?)(?=^## |\Z)", content, re.DOTALL | re.MULTILINE)
        assert match, f"{page.name} has no section {section!r}"
        assert len(match[1].split()) >= 4, f"{page.name}: {section} says nothing"


def test_no_page_without_a_code() -> None:
    known = {page_of(found.code).name for found in CODES} | {INDEX.name, REASONS.name}
    assert {page.name for page in PAGES.iterdir()} == known


def test_index_is_current() -> None:
    assert INDEX.read_text(encoding="utf-8") == render_index(CODES), "run python -m tests.architecture.error_codes"
