"""What a link does to packets: delay, jitter, loss and rate, and how these are written in files and flags."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from .errors import LabError

LINKS_FOLDER: Final = Path(__file__).resolve().parent.parent / "links"

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s)")
_DURATION_UNITS_S: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)(kbit|mbit|gbit)")
_RATE_UNITS_BPS: Final = {"kbit": 1_000, "mbit": 1_000_000, "gbit": 1_000_000_000}
_LOSS: Final = re.compile(r"(\d+(?:\.\d+)?)%")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkShape:
    """What happens to each packet on a router's uplink, the same in both directions.

    Attributes:
        delay_s: One-way delay in seconds.
        jitter_s: Up to this much is added to the delay of a packet, evenly spread; the order of packets is kept.
        loss: Share of packets that vanish, 0 to 1.
        rate_bps: Bits a second, or 0 for no limit.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    rate_bps: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.delay_s <= 10 or not 0 <= self.jitter_s <= 10:
            raise LabError(f"a delay of {self.delay_s} s + {self.jitter_s} s is out of range", "Give 0 s to 10 s.")
        if not 0 <= self.loss <= 1:
            raise LabError(f"a loss of {self.loss:.0%} is out of range", "Give 0% to 100%.")

    @property
    def delays(self) -> bool:
        """Whether packets have to wait at all."""
        return self.delay_s > 0 or self.jitter_s > 0


def parse_duration_s(text: str) -> float:
    """Read ``20ms``, ``0.5s`` or ``300us``; a bare ``0`` is allowed.

    Raises:
        LabError: The text is no duration.
    """
    if text == "0":
        return 0.0
    match = _DURATION.fullmatch(text)
    if match is None:
        raise LabError(f"{text!r} is no duration", "Write it like 20ms, 0.5s or 300us.")
    return float(match[1]) * _DURATION_UNITS_S[match[2]]


def parse_rate_bps(text: str) -> int:
    """Read ``50mbit``, ``512kbit`` or ``1gbit``; a bare ``0`` means no limit.

    Raises:
        LabError: The text is no rate.
    """
    if text == "0":
        return 0
    match = _RATE.fullmatch(text)
    if match is None:
        raise LabError(f"{text!r} is no rate", "Write it like 50mbit, 512kbit or 1gbit.")
    return int(float(match[1]) * _RATE_UNITS_BPS[match[2]])


def parse_loss(text: str) -> float:
    """Read ``1%`` or ``0.1%``; a bare ``0`` is allowed.

    Raises:
        LabError: The text is no percentage.
    """
    if text == "0":
        return 0.0
    match = _LOSS.fullmatch(text)
    if match is None:
        raise LabError(f"{text!r} is no loss", "Write it in percent, like 1% or 0.1%.")
    return float(match[1]) / 100


def parse_shape(table: object, *, where: str) -> LinkShape:
    """Read a link out of a topology: a table, or the name of a file in ``links/``.

    Args:
        table: ``{delay = "20ms", jitter = "2ms", loss = "1%", rate = "50mbit"}`` or a name such as ``"lte"``.
        where: What to call this place in an error.

    Raises:
        LabError: There is no such file, or a key or a value is wrong.
    """
    if isinstance(table, str):
        return load_shape(table)
    if not isinstance(table, Mapping):
        raise LabError(f"{where} is neither a table nor a name", 'Write link = { delay = "20ms" } or link = "lte".')
    unknown = set(table) - {"delay", "jitter", "loss", "rate"}
    if unknown:
        raise LabError(f"{where} has unknown keys: {', '.join(sorted(unknown))}", "Known: delay, jitter, loss, rate.")
    return LinkShape(
        delay_s=parse_duration_s(str(table.get("delay", 0))),
        jitter_s=parse_duration_s(str(table.get("jitter", 0))),
        loss=parse_loss(str(table.get("loss", 0))),
        rate_bps=parse_rate_bps(str(table.get("rate", 0))),
    )


def load_shape(name: str) -> LinkShape:
    """Read ``links/NAME.toml``.

    Raises:
        LabError: There is no such file or it is wrong.
    """
    path = LINKS_FOLDER / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in LINKS_FOLDER.glob("*.toml")))
        raise LabError(f"there is no link named {name!r}", f"Known links: {known}.")
    with path.open("rb") as file:
        return parse_shape(tomllib.load(file), where=str(path))


def shape_to_json(shape: LinkShape) -> dict[str, float]:
    """Make the object that the state file holds."""
    return {field.name: getattr(shape, field.name) for field in fields(shape)}


def shape_from_json(value: Mapping[str, float]) -> LinkShape:
    """Undo `shape_to_json`."""
    return LinkShape(
        delay_s=value["delay_s"], jitter_s=value["jitter_s"], loss=value["loss"], rate_bps=int(value["rate_bps"])
    )
