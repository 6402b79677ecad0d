"""Values as people read them."""

from __future__ import annotations

import pytest

from p2p.address import TransportAddress
from p2p.cli import text
from p2p.session.status import NatFacts, PathKind, PathTransport


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1536, "1.5 kB"), (99_949, "99.9 kB"), (250_000, "250 kB"),
        (2_100_000_000, "2.1 GB"), (5e15, "5000 TB"),
    ],
)  # fmt: skip
def test_size(count: float, words: str) -> None:
    assert text.size(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-1, "0 s"), (45, "45 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (273_600, "3 d 4 h")],
)
def test_duration(seconds: float, words: str) -> None:
    assert text.duration(seconds) == words


@pytest.mark.parametrize(("rtt_s", "words"), [(None, "-"), (0.00042, "0.4 ms"), (0.0234, "23 ms"), (1.2, "1200 ms")])
def test_round_trip(rtt_s: float | None, words: str) -> None:
    assert text.round_trip(rtt_s) == words


def test_path_words() -> None:
    assert text.path_words(PathKind.DIRECT, PathTransport.UDP) == "direct"
    assert text.path_words(PathKind.RELAY, PathTransport.TLS) == "relay over tls"
    assert text.path_words(None, PathTransport.UDP) == "no path"


def test_short_peer() -> None:
    assert text.short_peer("k7" + "a" * 50) == "k7aaaaaaaa…"
    assert text.short_peer("short") == "short"


def test_plural() -> None:
    assert [text.plural(count, "session") for count in (0, 1, 2)] == ["0 sessions", "1 session", "2 sessions"]


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (NatFacts(), "not known yet"),
        (NatFacts(mapped_address=TransportAddress("192.0.2.1", 9)), "seen from outside as 192.0.2.1:9"),
        (NatFacts(udp_blocked=True, mapping="none"), "blocks UDP"),
        (NatFacts(mapping="none", filtering="none"), "anyone can reach us"),
        (NatFacts(mapping="none", filtering="address_dependent"), "a firewall that lets in answers"),
        (NatFacts(mapping="endpoint_independent"), "keeps one port for every destination: direct paths are likely"),
        (
            NatFacts(mapping="endpoint_independent", filtering="address_dependent", port_preserving=True),
            "(the same as ours) and lets in addresses it has sent to: direct paths are likely",
        ),
        (
            NatFacts(mapping="address_and_port_dependent", filtering="address_and_port_dependent"),
            "takes a new port for each destination and lets in only who it has sent to: direct paths depend",
        ),
        (NatFacts(mapping="something_new"), "the NAT something new: direct paths depend"),
    ],
)
def test_nat_sentence(facts: NatFacts, words: str) -> None:
    assert words in text.nat_sentence(facts)


def test_control_characters_of_the_other_side_are_replaced() -> None:
    assert text.printable("bye\x1b[2J\r\n\x07…é") == "bye\ufffd[2J\ufffd\ufffd\ufffd…é"
