"""Every relative link in the documents leads to a file and, where it names one, to a heading; named paths exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.architecture.error_codes import ROOT

FOLDERS = ("docs", "deploy", "netns-scripts", "benchmarks", "tests", ".github")
"""Where documents are, beside the root of the repository; not in the virtual environment."""

NOT_IN_THE_REPOSITORY = {
    "p2p/1": "the name of the tunnel protocol, for ALPN",
    "p2p/bench": "a service that an exposer has built in",
    "p2p/proxy": "a service that an exposer has built in",
    "p2p/files": "a service that an exposer has built in",
    "p2p/config.toml": "in the user's configuration folder",
    "deploy/etc/serve.toml": "the reader makes it",
    "deploy/etc/tls": "the reader makes it",
}
"""What looks like a path of ours and is none, each with what it is."""

_PATH = re.compile(r"`((?:p2p|relay|rendezvous|tests|docs|deploy|netns-scripts|benchmarks)/[\w./-]+)`")
_FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
_DEFINITION = re.compile(r"^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:")


def documents() -> Iterator[Path]:
    yield from sorted(ROOT.glob("*.md"))
    for folder in FOLDERS:
        yield from sorted((ROOT / folder).rglob("*.md"))


def links(document: Path) -> list[str]:
    text = _FENCE.sub("", document.read_text(encoding="utf-8"))
    found = _LINK.findall(_CODE.sub("", text)) + _DEFINITION.findall(text)
    return [link for link in found if not _ABSOLUTE.match(link)]


def anchors(document: Path) -> set[str]:
    """The names that headings get on the web: lower case, words joined by hyphens, no punctuation."""
    headings = re.findall(r"^#+ +(.+?) *#*$", _FENCE.sub("", document.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_documents_are_found() -> None:
    assert len(list(documents())) > 100
    assert any(links(document) for document in documents())


@pytest.mark.parametrize("document", list(documents()), ids=relative)
def test_links_resolve(document: Path) -> None:
    for link in links(document):
        path, _, anchor = link.partition("#")
        target = (document.parent / unquote(path)).resolve() if path else document
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target), f"{link}: {relative(target)} has no such heading"


@pytest.mark.parametrize("document", list(documents()), ids=relative)
def test_named_paths_exist(document: Path) -> None:
    named = _PATH.findall(document.read_text(encoding="utf-8"))
    assert [path for path in named if path not in NOT_IN_THE_REPOSITORY and not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", list(documents()), ids=relative)
def test_decisions_are_named_by_their_number(document: Path) -> None:
    for label, target in re.findall(r"\[ADR\s+(\d+)\]\(\S*?adr/(\d+)-\S+\)", document.read_text(encoding="utf-8")):
        assert int(label) == int(target), f"ADR {label} is a link to {target}"


def test_decisions_are_numbered_in_order() -> None:
    numbers = [page.name[:4] for page in sorted((ROOT / "docs" / "adr").glob("*.md"))]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
