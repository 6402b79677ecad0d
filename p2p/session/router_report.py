"""What routers say of opening ports, and whether it is to be believed: a part of what ``p2p nat`` tells."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from p2p.gather.portmap.probe import PortMappingFacts, ProtocolAnswer
from p2p.proto.portmap.mapping import is_public
from p2p.session.status import milliseconds


class OutsideVerdict(StrEnum):
    """What to think of the outside address that a router tells."""

    CONFIRMED = "confirmed"
    """Servers outside see us at it: ports that the router opens are reached."""
    BEHIND_NAT = "behind_nat"
    """It is none of the internet's: another NAT is in front of the router, such as a provider's."""
    ELSEWHERE = "elsewhere"
    """Servers outside see us somewhere else: another line, or no truth."""
    UNKNOWN = "unknown"
    """The router told none, or nobody outside could say where we are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterAnswer:
    """One router spoke one protocol."""

    protocol: str
    """``pcp``, ``nat_pmp`` or ``upnp``."""
    gateway: str
    """The router's IP address on our side."""
    external_host: str | None
    """The outside address that it told."""
    verdict: OutsideVerdict
    """What to think of that."""
    igd_version: int | None = None
    """1 or 2 with UPnP."""
    took_s: float = 0.0
    """How long its answer took, in seconds."""

    def __str__(self) -> str:
        names = {"pcp": "PCP", "nat_pmp": "NAT-PMP", "upnp": f"UPnP (IGD {self.igd_version or 1})"}
        return names.get(self.protocol, self.protocol)

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "protocol": self.protocol,
            "gateway": self.gateway,
            "external_address": self.external_host,
            "verdict": self.verdict,
            "igd_version": self.igd_version,
            "took_ms": milliseconds(self.took_s),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterReport:
    """What the routers said that were asked."""

    gateways: tuple[str, ...] = ()
    """Who was asked."""
    answers: tuple[RouterAnswer, ...] = ()
    """Who answered, by router, the preferred protocols first."""
    problems: tuple[str, ...] = ()
    """What was wrong with answers, each a few words."""

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols that some router speaks, each once."""
        return tuple(dict.fromkeys(answer.protocol for answer in self.answers))

    @property
    def is_useful(self) -> bool | None:
        """Whether an IPv4 port that is opened is reached from the internet; None when nobody can say."""
        verdicts = {answer.verdict for answer in self.answers if ":" not in answer.gateway}
        if OutsideVerdict.CONFIRMED in verdicts:
            return True
        return None if OutsideVerdict.UNKNOWN in verdicts else False

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "gateways": list(self.gateways),
            "useful": self.is_useful,
            "answers": [answer.to_json() for answer in self.answers],
            "problems": list(self.problems),
        }


def judge_router(facts: PortMappingFacts, seen_hosts: Collection[str]) -> RouterReport:
    """Compare what routers tell with what servers outside see.

    Args:
        facts: From ``probe_port_mapping``.
        seen_hosts: The IP addresses at which servers outside saw us; empty when none did.
    """
    return RouterReport(
        gateways=facts.gateways,
        answers=tuple(_judge(answer, seen_hosts) for answer in facts.answers),
        problems=facts.problems,
    )


def router_notes(report: RouterReport, seen_hosts: Collection[str]) -> list[str]:
    """Say in sentences what is not as it should be.

    Args:
        report: From ``judge_router``.
        seen_hosts: See there.
    """
    notes = [f"Port mapping: {problem}." for problem in report.problems]
    if report.is_useful:
        return notes
    behind = next((answer for answer in report.answers if answer.verdict is OutsideVerdict.BEHIND_NAT), None)
    if behind is not None:
        notes.append(
            f"The router opens ports, but its outside address {behind.external_host} is none of the internet's: "
            "another NAT is in front of it, such as a provider's, and nobody outside reaches those ports."
        )
    elsewhere = next((answer for answer in report.answers if answer.verdict is OutsideVerdict.ELSEWHERE), None)
    if elsewhere is not None:
        notes.append(
            f"The router says that its outside address is {elsewhere.external_host}, but servers see us at "
            f"{', '.join(sorted(seen_hosts))}: ports that it opens are on another line, or it does not tell the truth."
        )
    return notes


def _judge(answer: ProtocolAnswer, seen_hosts: Collection[str]) -> RouterAnswer:
    host = answer.external_host
    same_family = [seen for seen in seen_hosts if host is not None and (":" in seen) is (":" in host)]
    if host is None:
        verdict = OutsideVerdict.UNKNOWN
    elif not is_public(host):
        verdict = OutsideVerdict.BEHIND_NAT
    elif host in same_family:
        verdict = OutsideVerdict.CONFIRMED
    else:
        verdict = OutsideVerdict.ELSEWHERE if same_family else OutsideVerdict.UNKNOWN
    return RouterAnswer(
        protocol=answer.protocol.value,
        gateway=answer.gateway,
        external_host=host,
        verdict=verdict,
        igd_version=answer.igd_version,
        took_s=answer.took_s,
    )
