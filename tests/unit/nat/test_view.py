"""What ``p2p nat`` draws, and its exit code."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from p2p.address import TransportAddress
from p2p.cli.nat import exit_code
from p2p.cli.nat_view import lifetime_words, nat_view
from p2p.session.nat_report import Allocator, Ipv6Report, LifetimeReport, NatReport, RelayReach, ServerReach
from p2p.session.outlook import Outlook, OutlookKind
from p2p.session.router_report import OutsideVerdict, RouterAnswer, RouterReport
from p2p.session.status import NatFacts, PathTransport

SERVER = TransportAddress("192.0.2.9", 3478)
UDP_RELAY = RelayReach(url="turn:r:3478", transport=PathTransport.UDP, reachable=True, rtt_s=0.021)
PCP = RouterAnswer(protocol="pcp", gateway="192.168.1.1", external_host="192.0.2.1", verdict=OutsideVerdict.CONFIRMED)
TLS_RELAY = RelayReach(url="turns:r:443", transport=PathTransport.TLS, reachable=False, detail="refused")


def draw(report: NatReport) -> str:
    console = Console(file=io.StringIO(), width=160, color_system=None)
    console.print(nat_view(report))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_everything_unknown() -> None:
    drawn = draw(NatReport(facts=NatFacts(), unknown={"mapping": "one server only"}))
    assert drawn.count("unknown") >= 8
    assert "unknown: one server only" in drawn
    assert "Nothing is known yet." in drawn


def test_everything_known() -> None:
    report = NatReport(
        facts=NatFacts(
            mapping="address_and_port_dependent",
            filtering="address_dependent",
            port_preserving=False,
            udp_blocked=False,
            mapped_address=TransportAddress("192.0.2.1", 4000),
        ),
        outlook=Outlook(OutlookKind.MOST, "direct connections will work with most"),
        ipv4=True,
        ipv6=Ipv6Report(present=True, reachable=True, filtering="address_and_port_dependent"),
        hairpinning=False,
        allocator=Allocator(kind="sequential", step=2, port_range=(30000, 30040), parity_kept=True),
        lifetime=LifetimeReport(at_least_s=120.0, at_most_s=123.0, is_complete=False),
        router=RouterReport(gateways=("192.168.1.1",), answers=(PCP, replace(PCP, protocol="upnp", igd_version=2))),
        classic_name="symmetric NAT",
        servers=(
            ServerReach(address=SERVER, udp=True, rtt_s=0.02),
            ServerReach(address=SERVER._replace(port=1), udp=False, tcp=True),
            ServerReach(address=SERVER._replace(port=2), udp=False, tcp=False),
        ),
        relays=(UDP_RELAY, TLS_RELAY),
        notes=("One STUN address only.",),
    )
    drawn = draw(report)
    for words in (
        "Direct connections will work with most.", "address-and-port-dependent", "symmetric NAT", "192.0.2.1:4000",
        "sequential +2, seen 30000-30040, even ports stay even", "works, filtering address-and-port-dependent",
        "between 2 min 0 s and 2 min 3 s (stopped early)", "answers in 21 ms turn:r:3478",
        "PCP, UPnP (IGD 2); outside address 192.0.2.1, where servers see us",
        "no answer (refused) turns:r:443", "Note: One STUN address only.", "has no second address 192.0.2.9:3478",
        "answers over TCP only 192.0.2.9:1", "no answer over UDP or TCP 192.0.2.9:2",
    ):  # fmt: skip
        assert words in drawn


def test_no_port_mapping_is_not_unknown() -> None:
    router = RouterReport(gateways=("192.168.1.1",))
    assert "no protocol answers" in draw(NatReport(facts=NatFacts(), router=router))


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (OutsideVerdict.BEHIND_NAT, "PCP; outside address 192.0.2.1, behind another NAT"),
        (OutsideVerdict.ELSEWHERE, "PCP; outside address 192.0.2.1, but servers see us elsewhere"),
        (OutsideVerdict.UNKNOWN, "PCP; outside address 192.0.2.1, which no server confirms"),
    ],
)
def test_a_router_is_not_believed_by_its_word(verdict: OutsideVerdict, words: str) -> None:
    router = RouterReport(gateways=("192.168.1.1",), answers=(replace(PCP, verdict=verdict),))
    assert words in draw(NatReport(facts=NatFacts(), router=router))


def test_a_router_that_refuses_has_no_outside_address() -> None:
    refusing = replace(PCP, external_host=None, verdict=OutsideVerdict.UNKNOWN)
    router = RouterReport(gateways=("192.168.1.1",), answers=(refusing,))
    assert "PCP; no outside address" in draw(NatReport(facts=NatFacts(), router=router))


def test_no_ipv6_is_not_unknown() -> None:
    report = NatReport(facts=NatFacts())
    assert "this host has no address" in draw(report)
    assert report.to_json()["ipv6"] is False


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (LifetimeReport(reason="the server refuses"), "unknown: the server refuses"),
        (LifetimeReport(), "not known yet"),
        (LifetimeReport(at_least_s=300.0), "longer than 5 min 0 s"),
        (LifetimeReport(at_least_s=28.0, at_most_s=30.0), "between 28 s and 30 s"),
    ],
)
def test_lifetime(report: LifetimeReport, words: str) -> None:
    assert lifetime_words(report) == words


@pytest.mark.parametrize(
    ("allocator", "words"),
    [
        (Allocator(kind="preserving", parity_kept=True, contiguity_kept=True), "preserving"),
        (
            Allocator(kind="random", port_range=(1100, 60000), contiguity_kept=True),
            "random 1100-60000, neighbours stay",
        ),
    ],
)
def test_allocator(allocator: Allocator, words: str) -> None:
    assert words in draw(NatReport(facts=NatFacts(), allocator=allocator))


@pytest.mark.parametrize(
    ("udp_blocked", "relays", "code"),
    [
        (False, (), 0),
        (False, (TLS_RELAY,), 0),
        (True, (UDP_RELAY,), 1),
        (True, (TLS_RELAY,), 5),
        (None, (UDP_RELAY,), 1),
        (None, (), 5),
    ],
)
def test_exit_code(udp_blocked: bool | None, relays: tuple[RelayReach, ...], code: int) -> None:
    assert exit_code(NatReport(facts=NatFacts(udp_blocked=udp_blocked), relays=relays)) == code
