"""What runs of the matrix found, in a file: written as it grows, read again to go on or to make a page."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from .errors import LabError
from .results import CellKey, CellResult, cell_from_json

_REPOSITORY: Final = Path(__file__).resolve().parent.parent.parent
_ASK_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where figures come from.

    Attributes:
        date: When the run began, in UTC.
        command: The command line.
        commit: The repository's commit, with ``-dirty`` where files differ from it.
        programs: What the programs under test say of themselves.
        kernel: The kernel's release.
        cores: The machine's processor cores.
    """

    date: str
    command: str
    commit: str
    programs: str
    kernel: str
    cores: int


def this_origin(command: Sequence[str], programs: Sequence[str]) -> Origin:
    """Describe this run.

    Args:
        command: The command line of the lab.
        programs: What the command lines of the programs under test begin with.
    """
    return Origin(
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M"),
        command=shlex.join(command),
        commit=_ask(["git", "-C", str(_REPOSITORY), "describe", "--always", "--dirty"]) or "unknown",
        programs=_ask([*programs, "--version"]) or "unknown",
        kernel=f"{platform.system()} {platform.release()}",
        cores=os.cpu_count() or 1,
    )


def _ask(command: Sequence[str]) -> str:
    """The first line that a command prints, empty when it fails."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if result.returncode else result.stdout.partition("\n")[0].strip()


@dataclass(slots=True, kw_only=True)
class Record:
    """Cells and where they come from.

    Attributes:
        origins: The runs, oldest first.
        cells: What was found, in the order it came.
    """

    origins: list[Origin] = field(default_factory=list)
    cells: dict[CellKey, CellResult] = field(default_factory=dict)

    def add(self, cell: CellResult) -> None:
        """Take up a cell; its sessions are added to those that are there."""
        known = self.cells.get(cell.key)
        self.cells[cell.key] = cell if known is None else known.joined(cell)

    def sessions(self, key: CellKey) -> int:
        """How many sessions of a cell are there."""
        known = self.cells.get(key)
        return 0 if known is None else len(known.runs)

    def to_json(self) -> dict[str, Any]:
        """Make the document for a machine to read."""
        delays = {key.delay_ms for key in self.cells}
        return {
            "delay_ms": delays.pop() if len(delays) == 1 else None,
            "made": [asdict(origin) for origin in self.origins],
            "cells": [cell.to_json() for cell in self.cells.values()],
        }

    def save(self, path: Path, extra: Mapping[str, Any] | None = None) -> None:
        """Write the file; a reader sees the old one or the new one, never half of it.

        Args:
            path: The file.
            extra: More entries for the document.
        """
        document = {**self.to_json(), **(extra or {})}
        # A line for each cell: small, and a change of one cell is a change of one line.
        entries = []
        for name, value in document.items():
            lines = ",\n  ".join(json.dumps(entry) for entry in value) if isinstance(value, list) else ""
            text = f"[\n  {lines}\n ]" if lines else json.dumps(value)
            entries.append(f" {json.dumps(name)}: {text}")
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.write_text("{\n" + ",\n".join(entries) + "\n}\n")
        draft.replace(path)


def load_record(path: Path) -> Record:
    """Read a file that `Record.save` wrote.

    Raises:
        LabError: There is no such file, or it is something else.
    """
    try:
        document = json.loads(path.read_text())
        record = Record(origins=[Origin(**origin) for origin in document["made"]])
        for cell in document["cells"]:
            record.add(cell_from_json(cell))
    except OSError as error:
        raise LabError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(
            f"{path} is no record of a matrix: {error!r}", "Give a file that `lab matrix --json` wrote."
        ) from None
    return record


def merged(records: Iterable[Record]) -> Record:
    """Put records together: the sessions of a cell that several have are added up."""
    whole = Record()
    for record in records:
        whole.origins += [origin for origin in record.origins if origin not in whole.origins]
        for cell in record.cells.values():
            whole.add(cell)
    whole.origins.sort(key=lambda origin: origin.date)
    return whole
