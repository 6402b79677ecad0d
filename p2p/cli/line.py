"""What a line of output is."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

ERROR_PAGES: Final = "docs/errors"
"""Where the pages of errors and reasons are, relative to the project."""


class Tone(StrEnum):
    """What kind of news a line is; the values are styles of the terminal."""

    PLAIN = ""
    QUIET = "dim"
    GOOD = "green"
    WARNING = "yellow"
    BAD = "red"


class Line(NamedTuple):
    """One line to show."""

    text: str
    tone: Tone = Tone.PLAIN
