"""Values as people read them: sizes, rates, times, and the sentence about a network."""

from __future__ import annotations

from typing import Final

from p2p.session.status import NatFacts, PathKind, PathTransport

_THOUSAND: Final = 1000.0
_SHORT_PEER_ID_CHARS: Final = 10

_MAPPING_WORDS: Final = {
    "endpoint_independent": "keeps one port for every destination",
    "address_dependent": "takes a new port for each address",
    "address_and_port_dependent": "takes a new port for each destination",
}
_FILTERING_WORDS: Final = {
    "endpoint_independent": "lets in anyone",
    "address_dependent": "lets in addresses it has sent to",
    "address_and_port_dependent": "lets in only who it has sent to",
}
_OUTLOOK: Final = {
    "endpoint_independent": "direct paths are likely",
    "address_dependent": "direct paths depend on the other side",
    "address_and_port_dependent": "direct paths depend on the other side",
}


def size(byte_count: float) -> str:
    """Bytes with a decimal unit: ``0 B``, ``532 B``, ``1.5 kB``, ``2.1 GB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if byte_count < _THOUSAND or unit == "TB":
            break
        byte_count /= _THOUSAND
    return f"{byte_count:.0f} {unit}" if unit == "B" or byte_count >= 100 else f"{byte_count:.1f} {unit}"


def rate(bytes_per_s: float) -> str:
    """A throughput: ``1.5 MB/s``."""
    return f"{size(bytes_per_s)}/s"


def round_trip(rtt_s: float | None) -> str:
    """A round-trip time in milliseconds, or a dash while it is unknown."""
    if rtt_s is None:
        return "-"
    milliseconds = rtt_s * 1000
    return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"


def duration(seconds: float) -> str:
    """A span of time in its two largest units: ``45 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    whole = max(0, round(seconds))
    minutes, rest_s = divmod(whole, 60)
    hours, rest_min = divmod(minutes, 60)
    days, rest_h = divmod(hours, 24)
    if days:
        return f"{days} d {rest_h} h"
    if hours:
        return f"{hours} h {rest_min} min"
    if minutes:
        return f"{minutes} min {rest_s} s"
    return f"{whole} s"


def short_peer(peer_id: str) -> str:
    """The first characters of a peer id: enough to tell peers apart, short enough for a table."""
    return peer_id if len(peer_id) <= _SHORT_PEER_ID_CHARS else f"{peer_id[:_SHORT_PEER_ID_CHARS]}…"


def path_words(kind: PathKind | None, transport: PathTransport) -> str:
    """A path in two words: ``direct``, ``relay``, ``relay over tls``, or that there is none."""
    if kind is None:
        return "no path"
    if transport is PathTransport.UDP:
        return str(kind)
    return f"{kind} over {transport}"


def plural(count: int, word: str) -> str:
    """A count with its noun: ``1 connection``, ``2 connections``."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def nat_sentence(facts: NatFacts) -> str:
    """One sentence on the network in front of us and what it means for direct paths."""
    if facts.udp_blocked:
        return "this network blocks UDP: sessions go over a relay"
    if facts.mapping is None:
        return "not known yet" if facts.mapped_address is None else f"seen from outside as {facts.mapped_address}"
    if facts.mapping == "none":
        if facts.filtering in {"none", "endpoint_independent"}:
            return "no NAT, no firewall: anyone can reach us directly"
        return "no NAT, a firewall that lets in answers: direct paths are likely"
    mapping = _MAPPING_WORDS.get(facts.mapping, facts.mapping.replace("_", " "))
    if facts.port_preserving and facts.mapping == "endpoint_independent":
        mapping = f"{mapping} (the same as ours)"
    parts = [f"the NAT {mapping}"]
    if facts.filtering in _FILTERING_WORDS:
        parts.append(f"and {_FILTERING_WORDS[facts.filtering]}")
    return f"{' '.join(parts)}: {_OUTLOOK.get(facts.mapping, 'direct paths depend on the other side')}"


def printable(text: str) -> str:
    """Text from the other side, made harmless: control characters could rewrite what the terminal shows."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
