"""Why a session is relayed, as lines: from the JSON values of its status, so that every command says it alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from p2p.cli import text
from p2p.cli.line import ERROR_PAGES, Line, Tone

_PAIRS_SHOWN: Final = 6
"""Enough for two hosts with two addresses each; the JSON values have them all."""
_INDENT: Final = "    "


def relay_lines(session: Mapping[str, Any]) -> Iterator[Line]:
    """Explain a relayed session: reason, advice, the networks of both sides, the direct pairs that were tried.

    Args:
        session: As ``SessionStatus.to_json`` makes it.

    Yields:
        Nothing for a session that has no reason.
    """
    reason = session["reason"]
    if reason is None:
        return
    yield Line(f"{_INDENT}relayed: {text.printable(reason['text'])}", Tone.WARNING)
    yield from advice(reason, indent=_INDENT)
    for side, words in (("local", "here: "), ("remote", "there:")):
        yield Line(f"{_INDENT}  network {words} {text.printable(network(session['nat'][side]))}", Tone.QUIET)
    direct = [pair for pair in session["pairs"] if not pair["relayed"]]
    for pair in direct[:_PAIRS_SHOWN]:
        detail = f" ({pair['detail']})" if pair["detail"] else ""
        words = f"{pair['local']} to {pair['remote']}: {pair['state']}{detail}"
        yield Line(f"{_INDENT}  tried {text.printable(words)}", Tone.QUIET)
    hidden = len(direct) - _PAIRS_SHOWN
    if hidden > 0:
        yield Line(f"{_INDENT}  and {text.plural(hidden, 'more pair')}; --json names them all", Tone.QUIET)


def advice(reason: Mapping[str, Any], *, indent: str = "") -> Iterator[Line]:
    """Say what would change a reason, and where more is written about it.

    Args:
        reason: As ``RelayedReason.to_json`` makes it.
        indent: Spaces before each line.
    """
    if reason["remedy"]:
        yield Line(f"{indent}  to change it: {text.printable(reason['remedy'])}")
    yield Line(f"{indent}  more: {ERROR_PAGES}/relayed.md#{text.printable(reason['code'])}", Tone.QUIET)


def network(facts: Mapping[str, Any]) -> str:
    """Put what is known of a network into few words.

    Args:
        facts: As ``NatFacts.to_json`` makes it.
    """
    if facts["udp_blocked"]:
        return "no UDP"
    known = [
        f"{name} {str(facts[name]).replace('_', '-')}" for name in ("mapping", "filtering") if facts[name] is not None
    ]
    if facts["port_preserving"]:
        known.append("keeps the port")
    if facts["mapped_address"] is not None:
        known.append(f"seen as {facts['mapped_address']}")
    return ", ".join(known) or "nothing known"
