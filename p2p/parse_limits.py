"""What people type for limits on bandwidth."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

from p2p.errors import ConfigError, ErrorCode
from p2p.target import ServiceRates

CODE_BAD_LIMIT: Final = ErrorCode(
    "P2P-1108", "Write 10mbit, 500kbit or 1gbit; web=10mbit for one service, 2mbit/- for the way in only."
)

_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)(bit|kbit|mbit|gbit)")
_UNIT_BITS: Final = {"bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}


def parse_limits(texts: Sequence[str], services: Collection[str] | None) -> dict[str, ServiceRates]:
    """Read limits on bandwidth: ``10mbit``, ``web=10mbit``, ``web=2mbit/500kbit`` (in and out), ``-/1gbit``.

    Args:
        texts: Each with the name of a service, or for all that have no limit of their own.
        services: The names that there are; None if that is not known.

    Returns:
        Limits by name; the one for all others has the empty name.

    Raises:
        ConfigError: Not a limit, two for the same, or for a service that is not there.
    """
    found: dict[str, ServiceRates] = {}
    for text in texts:
        name, _, value = text.strip().rpartition("=")
        if name in found:
            raise ConfigError(f"there are two limits for {name or 'all services'!r}", code=CODE_BAD_LIMIT)
        if name and services is not None and name not in services:
            raise ConfigError(f"{text!r}: there is no service {name!r}", code=CODE_BAD_LIMIT)
        inwards, slash, outwards = value.partition("/")
        found[name] = ServiceRates(_rate(inwards, text), _rate(outwards if slash else inwards, text))
    return found


def _rate(word: str, text: str) -> float | None:
    if word.strip() == "-":
        return None
    match = _RATE.fullmatch(word.strip().lower())
    if match is None or not (bits_per_s := float(match[1]) * _UNIT_BITS[match[2]]):
        raise ConfigError(f"{text!r} is not a bandwidth", code=CODE_BAD_LIMIT)
    return bits_per_s / 8
