"""Every reason for a relay is explained where the command line says that it is."""

from __future__ import annotations

import re

import pytest

from p2p.cli.relay_reason import advice
from p2p.proto.path.reason import RelayReasonCode
from tests.architecture.error_codes import REASONS, ROOT

PARTS = ("What it means", "How to verify", "What would change it")
SECTIONS = dict(re.findall(r"^## (\S+)\n\n(.+?)(?=^## |\Z)", REASONS.read_text(), re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("code", RelayReasonCode)
def test_reason_has_its_section(code: RelayReasonCode) -> None:
    paragraphs = dict(re.findall(r"^\*\*(.+?)\.\*\* (.+?)(?=\n\n|\Z)", SECTIONS[code], re.DOTALL | re.MULTILINE))
    assert tuple(paragraphs) == PARTS
    for part, words in paragraphs.items():
        assert len(words.split()) >= 4, f"{code}: {part} says nothing"


def test_no_section_without_a_reason() -> None:
    assert set(SECTIONS) == set(RelayReasonCode)


@pytest.mark.parametrize("code", RelayReasonCode)
def test_the_command_line_names_the_section(code: RelayReasonCode) -> None:
    *_, last = advice({"code": code.value, "remedy": "Wait."})
    page, _, anchor = last.text.strip().removeprefix("more: ").partition("#")
    assert ROOT / page == REASONS
    assert anchor in SECTIONS
