"""Prove that each kind of router, and each modifier, does what it says, with two hosts on the same source port."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from .errors import LabError
from .kinds import Dependence, Kind, kind_named
from .lab import Lab
from .modifiers import MODIFIERS, Modifier
from .namespaces import require_root
from .plan import SERVER, SERVER_ADDRESSES, SERVER_ADDRESSES6
from .probe import (
    OTHER_ADDRESS,
    OTHER_BOTH,
    OTHER_PORT,
    RESERVE,
    SAME,
    STRANGER,
    MappingVerdict,
    Observer,
    Prober,
    judge_filtering,
    judge_mapping,
)
from .tables import format_table
from .topology import Router, Topology

_SOURCE_PORT: Final = 5000
_OPEN_TCP_PORTS: Final = (80, 443)
_CLOSED_TCP_PORT: Final = 8443
_CONNECT_TIMEOUT_S: Final = 0.5
_WORKERS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was seen of one router.

    Attributes:
        first: The mapping of the first host.
        second: The mapping of the second host, which uses the same source port.
        filtering: What decides whether an answer gets in.
        filtering6: The same for IPv6.
        steady: Whether a packet that comes too early leaves the mapping as it is; None where that says nothing.
        tcp: The TCP ports, of those tried, that get through.
    """

    first: MappingVerdict
    second: MappingVerdict
    filtering: Dependence | None
    filtering6: Dependence | None
    steady: bool | None
    tcp: tuple[int, ...]


def examine(lab: Lab, router: str) -> Findings:
    """Look at a router with two hosts in a lab without delay."""
    one, two = f"{router}1", f"{router}2"
    with Observer(lambda: lab.entered(SERVER), SERVER_ADDRESSES) as observer:
        with (
            Prober(lambda: lab.entered(one), observer, _SOURCE_PORT) as prober,
            Prober(lambda: lab.entered(two), observer, _SOURCE_PORT) as rival,
        ):
            first = judge_mapping(prober)
            # It starts where the first host has no session, so that a stock router can let it keep its port at first.
            second = judge_mapping(rival, (RESERVE, SAME, OTHER_PORT, OTHER_ADDRESS, OTHER_BOTH))
            steady = _survives_early_packet(prober, observer, first)
        with Prober(lambda: lab.entered(one), observer) as prober:
            filtering = None if first.mapping is None else judge_filtering(prober)
    with (
        Observer(lambda: lab.entered(SERVER), SERVER_ADDRESSES6) as observer,
        Prober(lambda: lab.entered(one), observer) as prober,
    ):
        filtering6 = judge_filtering(prober)
    return Findings(
        first=first,
        second=second,
        filtering=filtering,
        filtering6=filtering6,
        steady=steady,
        tcp=_open_tcp_ports(lab, one),
    )


def _survives_early_packet(prober: Prober, observer: Observer, verdict: MappingVerdict) -> bool | None:
    """Send to the mapped port before the host has sent to that sender, as the other side of a punch does."""
    if verdict.mapping is not Dependence.ENDPOINT_INDEPENDENT or verdict.outside is None:
        return None
    for _ in range(3):
        observer.probe(STRANGER, verdict.outside)
    time.sleep(0.05)
    (after,) = prober.ask([(STRANGER, STRANGER)])
    return after == verdict.outside


def _open_tcp_ports(lab: Lab, host: str) -> tuple[int, ...]:
    reached = []
    for port in (*_OPEN_TCP_PORTS, _CLOSED_TCP_PORT):
        with lab.entered(SERVER):
            listener = socket.create_server((SERVER_ADDRESSES[0], port))
        with lab.entered(host):
            client = socket.socket()
        with listener, client:
            client.settimeout(_CONNECT_TIMEOUT_S)
            try:
                client.connect((SERVER_ADDRESSES[0], port))
            except OSError:
                continue
            reached.append(port)
    return tuple(reached)


def differences(kind: Kind, findings: Findings) -> list[str]:
    """Compare what was seen with what a kind promises.

    Returns:
        One sentence for each difference.
    """
    all_tcp = (*_OPEN_TCP_PORTS, _CLOSED_TCP_PORT)
    blocked = kind.mapping is None
    filtering6 = kind.filtering if kind.name == "open" or blocked else Dependence.ADDRESS_AND_PORT_DEPENDENT
    first, second = findings.first, findings.second
    checks: tuple[tuple[str, object, object], ...] = (
        ("mapping", first.mapping, kind.mapping),
        ("filtering", findings.filtering, kind.filtering),
        ("port kept", first.keeps_port, kind.keeps_port),
        ("second host's mapping", second.mapping, kind.second_mapping),
        ("second host's port kept", second.keeps_port, kind.second_keeps_port),
        ("step", first.step, kind.step),
        ("ports in range", _in_range(kind, first, second), True),
        ("parity kept", first.keeps_parity if kind.keeps_parity else True, True),
        ("IPv6 filtering", findings.filtering6, filtering6),
        ("TCP ports open", findings.tcp, _OPEN_TCP_PORTS if blocked else all_tcp),
    )
    found = [f"{what} is {_short(seen)}, not {_short(wanted)}" for what, seen, wanted in checks if seen != wanted]
    if findings.steady is False:
        found.append("an early packet from outside moved the mapping")
    if second.mapping is Dependence.ENDPOINT_INDEPENDENT and first.outside == second.outside:
        found.append("both hosts have the same outside port")
    return found


def _in_range(kind: Kind, *verdicts: MappingVerdict) -> bool:
    if kind.port_range is None:
        return True
    first, last = kind.port_range
    return all(first <= port <= last for verdict in verdicts for port in verdict.ports)


def _short(value: object) -> str:
    if isinstance(value, Dependence):
        return value.value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return "-" if value is None else str(value)


def _test_kind(kind: Kind, prefix: str, stop: threading.Event) -> tuple[Findings, list[str]] | None:
    if stop.is_set():
        return None
    topology = Topology(name="selftest", routers=(Router(name="r", kind=kind.name, hosts=2),))
    with Lab.up(topology, prefix=prefix) as lab:
        findings = examine(lab, "r")
        return findings, differences(kind, findings)


def _test_modifier(modifier: Modifier, prefix: str, stop: threading.Event) -> str | None:
    if stop.is_set():
        return None
    with Lab.up(modifier.topology, prefix=prefix) as lab:
        return modifier.look(lab)


def run_selftest(kinds: Sequence[str], modifiers: Sequence[str]) -> int:
    """Test kinds and modifiers, several at a time, and print a table of each.

    Args:
        kinds: The kinds.
        modifiers: The modifiers, by the word in a topology.

    Returns:
        0 when all are as they say, else 1.

    Raises:
        LabError: There is no such kind or modifier, or a lab could not be built.
    """
    require_root()
    chosen = [kind_named(name) for name in kinds]
    unknown = set(modifiers) - {modifier.name for modifier in MODIFIERS}
    if unknown:
        known = ", ".join(dict.fromkeys(modifier.name for modifier in MODIFIERS))
        raise LabError(f"there is no modifier named {min(unknown)!r}", f"Known modifiers: {known}.")
    looks = [modifier for modifier in MODIFIERS if modifier.name in modifiers]
    stop = threading.Event()
    started_at = time.monotonic()
    with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
        # Where much is waited for, that begins first: lifetimes, and kinds that let no UDP through.
        seen = {
            number: pool.submit(_test_modifier, modifier, f"self{os.getpid()}m{number}", stop)
            for number, modifier in sorted(enumerate(looks), key=lambda entry: entry[1].name != "lifetime")
        }
        tests = {
            kind.name: pool.submit(_test_kind, kind, f"self{os.getpid()}n{number}", stop)
            for number, kind in enumerate(sorted(chosen, key=lambda kind: kind.mapping is not None))
        }
        try:
            results = [(kind, tests[kind.name].result()) for kind in chosen]
            sights = [(modifier, seen[number].result()) for number, modifier in enumerate(looks)]
        except BaseException:
            # Tests that run take their own labs down; the pool waits for them.
            stop.set()
            raise
    complaints = _print_kinds(results) if results else []
    complaints += _print_modifiers(sights) if sights else []
    for complaint in complaints:
        print(f"WRONG  {complaint}")
    print(
        f"{len(results)} kinds, {len(sights)} modifiers in {time.monotonic() - started_at:.1f} s,"
        f" {'all right' if not complaints else 'NOT right'}"
    )
    return 1 if complaints else 0


def _print_kinds(results: Sequence[tuple[Kind, tuple[Findings, list[str]] | None]]) -> list[str]:
    rows, complaints = [], []
    for kind, result in results:
        if result is None:
            raise LabError(f"{kind.name} was not tested")
        findings, wrong = result
        rows.append(_row(kind, findings, ok=not wrong))
        complaints += [f"{kind.name}: {sentence}" for sentence in wrong]
    header = (
        "kind", "mapping", "filtering", "keeps port", "2nd host", "keeps port", "step", "steady", "IPv6", "TCP", "",
    )  # fmt: skip
    print(format_table(header, rows))
    print("Depends on: EI nothing, AD the address, APD address and port. The 2nd host uses the 1st one's source port.")
    print("Steady: a packet from outside that comes before ours does not move our mapping.\n")
    return complaints


def _print_modifiers(sights: Sequence[tuple[Modifier, str | None]]) -> list[str]:
    rows, complaints = [], []
    for modifier, seen in sights:
        ok = seen == modifier.wanted
        word = f"{modifier.name} = {modifier.value}"
        rows.append((word, modifier.text, str(seen), "ok" if ok else "WRONG"))
        if not ok:
            complaints.append(f"{word}, {modifier.text}: {seen}, not {modifier.wanted}")
    print(format_table(("modifier", "what is looked at", "what is seen", ""), rows))
    return complaints


def _row(kind: Kind, findings: Findings, *, ok: bool) -> tuple[str, ...]:
    first, second = findings.first, findings.second
    return (
        kind.name,
        _short(first.mapping),
        _short(findings.filtering),
        _short(first.keeps_port),
        _short(second.mapping),
        _short(second.keeps_port),
        _short(first.step),
        _short(findings.steady),
        _short(findings.filtering6),
        _short(findings.tcp),
        "ok" if ok else "WRONG",
    )
