"""Who may import whom, how large files may get, and words we do not use."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.error_codes import ROOT, source_files

LINE_LIMIT = 400
LARGE_FILES: dict[str, str] = {
    "p2p/defaults.py": "a list of constants with their reasons; it has no logic to lose sight of",
}
"""Files beyond the limit, each with the reason why cutting it would make it harder to read."""

BANNED_WORDS = {
    r"\bcones?\b": "say the mapping and the filtering behaviour",
    r"\bmasters?\b": "say controlling, or primary",
    r"\bslaves?\b": "say controlled, or replica",
    r"\bTODO\b|\bFIXME\b|\bXXX\b": "do it, or say in the docs that it is missing",
    r"pattern=r\"[^\"]*\$\"": "end it with \\Z: a $ lets a line break pass",
    r"\bwhitelist|\bblacklist": "say allow list, deny list",
}
FOREIGN_WORDS: dict[str, str] = {
    "p2p/gather/classic.py": "pystun3 names NAT types in RFC 3489's words; this file passes them on",
}
"""Files that must use a banned word because a foreign interface does, each with the reason."""


def test_import_contracts_are_kept() -> None:
    lint_imports = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", list(source_files()), ids=relative)
def test_file_is_readable(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    if relative(path) not in LARGE_FILES:
        assert len(lines) <= LINE_LIMIT, f"{len(lines)} lines: cut the file, or give a reason in LARGE_FILES"
    if relative(path) in FOREIGN_WORDS:
        return
    for number, line in enumerate(lines, 1):
        for word, instead in BANNED_WORDS.items():
            assert not re.search(word, line, re.IGNORECASE if word.islower() else 0), f"line {number}: {instead}"


def test_exceptions_are_still_needed() -> None:
    for name in LARGE_FILES:
        assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) > LINE_LIMIT, f"{name} is small again"
    for name in FOREIGN_WORDS:
        content = (ROOT / name).read_text(encoding="utf-8")
        assert any(re.search(word, content, re.IGNORECASE) for word in BANNED_WORDS), f"{name} needs no exception"
