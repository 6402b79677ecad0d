"""The report of ``p2p nat`` as a picture: a pure function."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from p2p.cli import text
from p2p.cli.line import Tone
from p2p.session.nat_report import Allocator, Ipv6Report, LifetimeReport, NatReport, RelayReach, ServerReach, bare
from p2p.session.router_report import OutsideVerdict, RouterReport

_BEHAVIOUR_WORDS: Final = {
    "none": "none",
    "endpoint_independent": "endpoint-independent",
    "address_dependent": "address-dependent",
    "address_and_port_dependent": "address-and-port-dependent",
}


_OUTSIDE_WORDS: Final = {
    OutsideVerdict.CONFIRMED: ("where servers see us", Tone.GOOD),
    OutsideVerdict.BEHIND_NAT: ("behind another NAT", Tone.WARNING),
    OutsideVerdict.ELSEWHERE: ("but servers see us elsewhere", Tone.WARNING),
    OutsideVerdict.UNKNOWN: ("which no server confirms", Tone.QUIET),
}


def nat_view(report: NatReport) -> RenderableType:
    """Draw a report.

    Args:
        report: What was found out.
    """
    facts, why = report.facts, report.unknown
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    udp = None if facts.udp_blocked is None else not facts.udp_blocked
    grid.add_row("UDP", _verdict(udp, "passes", "blocked", why.get("udp_blocked")))
    grid.add_row("IPv4", _verdict(report.ipv4, "works", "no"))
    grid.add_row("IPv6", _ipv6(report.ipv6, why.get("ipv6")))
    grid.add_row("Seen as", _known(facts.mapped_address))
    grid.add_row("Own addresses", _known(", ".join(bare(address) for address in report.local_addresses) or None))
    grid.add_row("Mapping", _known(_behaviour(facts.mapping), why.get("mapping")))
    grid.add_row("Filtering", _known(_behaviour(facts.filtering), why.get("filtering")))
    grid.add_row("Port kept", _verdict(facts.port_preserving, "yes", "no"))
    grid.add_row("Port choice", _allocator(report.allocator, why.get("allocator")))
    grid.add_row("Hairpinning", _verdict(report.hairpinning, "yes", "no", why.get("hairpinning")))
    if report.lifetime is not None:
        grid.add_row("Mapping lives", _lifetime(report.lifetime))
    grid.add_row("Port mapping", _router(report.router, why.get("port_mapping")))
    if report.classic_name:
        grid.add_row("RFC 3489 name", f"{report.classic_name} (second opinion, by pystun3)")
    for server in report.servers:
        grid.add_row("STUN", _server(server))
    for relay in report.relays:
        grid.add_row(f"Relay {relay.transport}", _relay(relay))
    sentence = report.outlook.sentence
    summary = Text(f"{sentence[0].upper()}{sentence[1:]}.")
    if report.previous is not None:
        ago = text.duration(report.previous.age_s)
        words = "the same" if report.previous.same else "not the same: this network or its router has changed"
        grid.add_row("Last time", f"{ago} ago, {words}")
    notes = [Text(f"Note: {note}", style=Tone.QUIET) for note in report.notes]
    return Group(grid, Text(), summary, *notes)


def lifetime_words(report: LifetimeReport) -> str:
    """Say how long a mapping lives.

    Args:
        report: What was found out, so far or in the end.
    """
    if report.reason:
        return f"unknown: {report.reason}"
    least = text.duration(report.at_least_s)
    if report.at_most_s is None:
        return f"longer than {least}" if report.at_least_s else "not known yet"
    return f"between {least} and {text.duration(report.at_most_s)}"


def _behaviour(value: str | None) -> str | None:
    return None if value is None else _BEHAVIOUR_WORDS.get(value, value)


def _known(value: object, why: str | None = None) -> Text:
    if value is not None:
        return Text(str(value))
    return Text(f"unknown: {why}" if why else "unknown", style=Tone.QUIET)


def _verdict(value: bool | None, when_true: str, when_false: str, why: str | None = None) -> Text:
    if value is None:
        return _known(None, why)
    return Text(when_true, style=Tone.GOOD) if value else Text(when_false, style=Tone.WARNING)


def _ipv6(report: Ipv6Report, why: str | None) -> Text:
    if not report.present:
        return Text("this host has no address", style=Tone.WARNING)
    drawn = _verdict(report.reachable, "works", "does not get through", why)
    if report.filtering is not None:
        drawn.append(f", filtering {_behaviour(report.filtering)}", style="")
    return drawn


def _allocator(allocator: Allocator | None, why: str | None) -> Text:
    if allocator is None:
        return _known(None, why)
    words = [str(allocator)]
    if allocator.kind == "sequential" and allocator.port_range is not None:
        words.append(f"seen {allocator.port_range[0]}-{allocator.port_range[1]}")
    if allocator.kind != "preserving":
        if allocator.parity_kept:
            words.append("even ports stay even")
        if allocator.contiguity_kept:
            words.append("neighbours stay neighbours")
    return Text(", ".join(words))


def _router(report: RouterReport | None, why: str | None) -> Text:
    if report is None or not report.gateways:
        return _known(None, why)
    if not report.answers:
        return Text("no protocol answers")
    drawn = Text(", ".join(dict.fromkeys(map(str, report.answers))), style=Tone.GOOD if report.is_useful else "")
    hosts = dict.fromkeys((answer.external_host, answer.verdict) for answer in report.answers if answer.external_host)
    for host, verdict in hosts:
        words, tone = _OUTSIDE_WORDS[verdict]
        drawn.append("; outside address ", style="").append(f"{host}, {words}", style=tone)
    return drawn if hosts else drawn.append("; no outside address", style=Tone.WARNING)


def _lifetime(report: LifetimeReport) -> Text:
    words = lifetime_words(report)
    return Text(words) if report.is_complete else Text(words).append(" (stopped early)", style="dim")


def _server(server: ServerReach) -> Text:
    if server.udp:
        second = "" if server.other_address else ", has no second address"
        drawn = Text(f"answers in {text.round_trip(server.rtt_s)}{second} ", style=Tone.GOOD)
    else:
        over_tcp = {True: "answers over TCP only", False: "no answer over UDP or TCP"}
        drawn = Text(f"{over_tcp.get(bool(server.tcp))} ", style=Tone.BAD)
    return drawn.append(str(server.address), style="dim")


def _relay(relay: RelayReach) -> Text:
    where = text.printable(f"{relay.url}, {relay.region}" if relay.region else relay.url)
    if relay.reachable:
        return Text(f"answers in {text.round_trip(relay.rtt_s)} ", style=Tone.GOOD).append(where, style="dim")
    return Text(f"no answer ({relay.detail or 'timeout'}) ", style=Tone.BAD).append(where, style="dim")
