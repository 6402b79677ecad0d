"""The report of ``p2p nat`` as a picture: a pure function."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from p2p.cli import text
from p2p.cli.describe import Tone
from p2p.session.reports import NatReport, RelayReach, bare

_BEHAVIOUR_WORDS = {
    "none": "none",
    "endpoint_independent": "endpoint-independent",
    "address_dependent": "address-dependent",
    "address_and_port_dependent": "address-and-port-dependent",
}


def nat_view(report: NatReport) -> RenderableType:
    """Draw a report.

    Args:
        report: What was found out.
    """
    facts = report.facts
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("UDP", _verdict(None if facts.udp_blocked is None else not facts.udp_blocked, "passes", "blocked"))
    grid.add_row("IPv4", _verdict(report.ipv4, "works", "no"))
    grid.add_row("IPv6", _verdict(report.ipv6, "works", "no"))
    grid.add_row("Seen as", _known(facts.mapped_address))
    grid.add_row("Own addresses", _known(", ".join(bare(address) for address in report.local_addresses) or None))
    grid.add_row("Mapping", _known(_behaviour(facts.mapping)))
    grid.add_row("Filtering", _known(_behaviour(facts.filtering)))
    grid.add_row("Port kept", _verdict(facts.port_preserving, "yes", "no"))
    if report.allocator is not None:
        grid.add_row("Port choice", report.allocator)
    grid.add_row("Hairpinning", _verdict(report.hairpinning, "yes", "no"))
    if report.port_mapping is not None:
        protocols = ", ".join(report.port_mapping)
        grid.add_row("Port mapping", Text(protocols, style=Tone.GOOD) if protocols else Text("no protocol answers"))
    if report.classic_name:
        grid.add_row("RFC 3489 name", f"{report.classic_name} (second opinion, by pystun3)")
    grid.add_row("STUN", _known(None if report.stun_rtt_s is None else text.round_trip(report.stun_rtt_s)))
    for relay in report.relays:
        grid.add_row(f"Relay {relay.transport}", _relay(relay))
    sentence = text.nat_sentence(facts)
    summary = Text(f"{sentence[0].upper()}{sentence[1:]}.")
    notes = [Text(f"Note: {note}", style=Tone.QUIET) for note in report.notes]
    return Group(grid, Text(), summary, *notes)


def _behaviour(value: str | None) -> str | None:
    return None if value is None else _BEHAVIOUR_WORDS.get(value, value)


def _known(value: object) -> Text:
    return Text("unknown", style=Tone.QUIET) if value is None else Text(str(value))


def _verdict(value: bool | None, when_true: str, when_false: str) -> Text:
    if value is None:
        return _known(None)
    return Text(when_true, style=Tone.GOOD) if value else Text(when_false, style=Tone.WARNING)


def _relay(relay: RelayReach) -> Text:
    if relay.reachable:
        return Text(f"answers in {text.round_trip(relay.rtt_s)} ", style=Tone.GOOD).append(relay.url, style="dim")
    return Text(f"no answer ({relay.detail or 'timeout'}) ", style=Tone.BAD).append(relay.url, style="dim")
