"""What ``p2p nat`` must say of each kind of router. Where a test is impossible, "unknown" is right, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .kinds import Dependence, Kind

_WORDS: Final = {
    Dependence.ENDPOINT_INDEPENDENT: "endpoint_independent",
    Dependence.ADDRESS_DEPENDENT: "address_dependent",
    Dependence.ADDRESS_AND_PORT_DEPENDENT: "address_and_port_dependent",
}
_NONE: Final = "none"
# Hosts behind a router without NAT have public addresses and no firewall only in this one.
_OPEN: Final = "open"

# Their outside addresses are not the router's own, so that packets to them go out and come back in by themselves.
_BY_WAY_OF_THE_INTERNET: Final = ("pool-paired",)


def wrong_and_unknown(kind: Kind, report: Mapping[str, Any], *, hairpin: bool) -> tuple[list[str], list[str]]:
    """Compare a report with what the router does.

    Args:
        kind: The router.
        report: What ``p2p nat --json`` printed.
        hairpin: Whether the router returns what is sent to its own outside addresses.

    Returns:
        Sentences on what is wrong, and the names of what is not known though it can be found out.
    """
    wrong, unknown = [], []
    for name, wanted in _expected(kind, hairpin=hairpin).items():
        seen = _field(report, name)
        if seen == wanted:
            continue
        if seen is None:
            unknown.append(name)
        else:
            wrong.append(f"{name} is {seen}, not {wanted}")
    wrong += _wrong_allocation(kind, report)
    return wrong, unknown


def _field(report: Mapping[str, Any], name: str) -> Any:
    value: Any = report
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _expected(kind: Kind, *, hairpin: bool) -> dict[str, Any]:
    blocked = kind.mapping is None
    expected: dict[str, Any] = {"udp_blocked": blocked, "ipv4": not blocked, "ipv6": not blocked}
    if kind.mapping is None or kind.filtering is None:
        return expected
    expected |= {
        "translated": kind.translates,
        "mapping": _WORDS[kind.mapping] if kind.translates else _NONE,
        "filtering": _NONE if kind.name == _OPEN else _WORDS[kind.filtering],
        "ipv6_details.filtering": _NONE if kind.name == _OPEN else _WORDS[Dependence.ADDRESS_AND_PORT_DEPENDENT],
        "port_preserving": kind.keeps_port,
        "allocation": "preserving" if kind.keeps_port else "random" if kind.step is None else "sequential",
        "outlook": _outlook(kind),
    }
    if kind.step is not None:
        expected["port_step"] = kind.step
    if kind.keeps_port or kind.keeps_parity:
        expected["parity_kept"] = True
    if kind.translates and kind.mapping is Dependence.ENDPOINT_INDEPENDENT:
        expected["hairpinning"] = hairpin or kind.name in _BY_WAY_OF_THE_INTERNET
    return expected


def _outlook(kind: Kind) -> str:
    if kind.mapping is Dependence.ENDPOINT_INDEPENDENT:
        is_strict = kind.filtering is Dependence.ADDRESS_AND_PORT_DEPENDENT
        return "almost_everybody" if is_strict else "everybody"
    return "some" if kind.keeps_port else "most"


def _wrong_allocation(kind: Kind, report: Mapping[str, Any]) -> list[str]:
    """What would be wrong if it were said, and may be left unsaid."""
    wrong = []
    if report.get("parity_kept") and not (kind.keeps_port or kind.keeps_parity or kind.mapping is None):
        wrong.append("parity is said to be kept")
    if report.get("contiguity_kept") and not (kind.keeps_port or kind.mapping is None):
        wrong.append("neighbours are said to stay neighbours")
    seen = report.get("port_range")
    if kind.port_range is not None and seen is not None:
        low, high = kind.port_range
        if not low <= seen[0] <= seen[1] <= high:
            wrong.append(f"ports {seen} are said to be seen, but the router uses {low} to {high}")
    if kind.mapping is None and report.get("filtering") is not None:
        wrong.append("a filter is told where nothing passes")
    return wrong
