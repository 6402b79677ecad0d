"""The report out of what the tests found."""

from __future__ import annotations

from typing import Any

import pytest

from p2p.address import TransportAddress
from p2p.gather.portmap.probe import PortMappingFacts, ProtocolAnswer
from p2p.proto.portmap.mapping import MappingProtocol
from p2p.proto.stun.behaviour import (
    FilteringBehaviour,
    MappingBehaviour,
    MappingObservation,
    NatBehaviour,
    PortAllocation,
)
from p2p.proto.stun.combine import combine
from p2p.session.nat_report import NatReport, RelayReach
from p2p.session.nat_verdict import Findings, make_report
from p2p.session.outlook import OutlookKind
from p2p.session.status import PathTransport

ONE, TWO = TransportAddress("198.51.100.1", 3478), TransportAddress("198.51.100.2", 3478)
SIX = TransportAddress("2001:db8::1", 3478)
LOCAL = TransportAddress("10.0.0.2", 4000)
SILENT = NatBehaviour(udp=False)
HOME = NatBehaviour(
    udp=True,
    translated=True,
    mapped_address=TransportAddress("192.0.2.1", 4000),
    mapping=MappingBehaviour.ENDPOINT_INDEPENDENT,
    filtering=FilteringBehaviour.ADDRESS_AND_PORT_DEPENDENT,
    port_preserved=True,
    allocation=PortAllocation.PRESERVING,
    other_address=TWO,
    round_trip_s=0.02,
    observations=(MappingObservation(0, LOCAL, TWO, LOCAL),),
)


def findings(**changes: Any) -> Findings:
    empty: dict[str, Any] = {
        "ipv4": {}, "ipv6": {}, "over_tcp": {}, "relays": (), "has_relays": False, "classic_name": None,
        "hosts": ("10.0.0.2",),
    }  # fmt: skip
    return Findings(**{**empty, **changes})


def relay(transport: PathTransport, *, reachable: bool) -> RelayReach:
    return RelayReach(url="turn:r", transport=transport, reachable=reachable)


class TestUdp:
    """Blocked is told from a server that is down."""

    def test_the_same_server_answers_over_tcp(self) -> None:
        report = make_report(findings(ipv4={ONE: SILENT}, over_tcp={ONE: True}))
        assert report.facts.udp_blocked is True
        assert report.servers[0].tcp is True

    def test_a_relay_answers_over_tls_only(self) -> None:
        relays = (relay(PathTransport.UDP, reachable=False), relay(PathTransport.TLS, reachable=True))
        report = make_report(findings(ipv4={ONE: SILENT}, relays=relays, has_relays=True, over_tcp={ONE: False}))
        assert report.facts.udp_blocked is True
        assert report.outlook.kind == "relay_only"

    def test_nothing_answers(self) -> None:
        report = make_report(findings(ipv4={ONE: SILENT}, over_tcp={ONE: False}))
        assert report.facts.udp_blocked is None
        assert "they are down" in report.unknown["udp_blocked"]

    def test_the_stun_server_alone_is_down(self) -> None:
        relays = (relay(PathTransport.UDP, reachable=True), relay(PathTransport.TCP, reachable=True))
        report = make_report(findings(ipv4={ONE: SILENT}, relays=relays, has_relays=True, over_tcp={ONE: False}))
        assert report.facts.udp_blocked is False

    def test_one_of_two_servers_is_down(self) -> None:
        report = make_report(findings(ipv4={ONE: SILENT, TWO: HOME}, over_tcp={ONE: False}))
        assert report.facts.udp_blocked is False
        assert report.facts.mapping == "endpoint_independent"
        assert [server.udp for server in report.servers] == [False, True]

    def test_nobody_was_asked(self) -> None:
        assert make_report(findings()).facts.udp_blocked is None


class TestIpv6:
    def test_absent(self) -> None:
        report = make_report(findings(ipv4={ONE: HOME}))
        assert not report.ipv6.present
        assert "ipv6" not in report.unknown

    def test_present_without_a_server(self) -> None:
        report = make_report(findings(ipv4={ONE: HOME}, hosts=("2001:db8::7",)))
        assert report.ipv6.reachable is None
        assert "IPv6" in report.unknown["ipv6"]

    def test_open(self) -> None:
        behaviour = NatBehaviour(udp=True, translated=False, filtering=FilteringBehaviour.ENDPOINT_INDEPENDENT)
        report = make_report(findings(ipv4={ONE: HOME}, ipv6={SIX: behaviour}, hosts=("2001:db8::7",)))
        assert report.ipv6.reachable is True
        assert report.ipv6.filtering == "none"
        assert report.outlook.sentence.endswith("over IPv6 with everybody who has it too")


def test_reasons_of_a_plain_server() -> None:
    report = make_report(findings(ipv4={ONE: NatBehaviour(udp=True, translated=True)}))
    assert set(report.unknown) == {"mapping", "filtering", "hairpinning", "allocator", "port_mapping"}
    assert "RFC 5780" in report.unknown["filtering"]


class TestRouter:
    """What a router says of opening ports, beside what servers see."""

    def report(self, host: str | None, *, seen: tuple[str, ...] = ("8.8.8.8",), gateway: str = "10.0.0.1") -> NatReport:
        answer = ProtocolAnswer(protocol=MappingProtocol.PCP, gateway=gateway, external_host=host, took_s=0.01)
        hard = NatBehaviour(
            udp=True, translated=True, mapping=MappingBehaviour.ADDRESS_AND_PORT_DEPENDENT, mapped_hosts=seen
        )
        facts = PortMappingFacts(gateways=(gateway,), answers=(answer,))
        return make_report(findings(ipv4={ONE: hard}, router=facts))

    def test_confirmed(self) -> None:
        report = self.report("8.8.8.8")
        assert report.router is not None
        assert report.router.is_useful is True
        assert report.router.answers[0].verdict == "confirmed"
        assert report.outlook.kind is OutlookKind.EVERYBODY

    @pytest.mark.parametrize("host", ["100.64.3.4", "192.168.0.2"])
    def test_behind_another_nat(self, host: str) -> None:
        report = self.report(host)
        assert report.router is not None
        assert report.router.is_useful is False
        assert report.router.answers[0].verdict == "behind_nat"
        assert report.outlook.kind is not OutlookKind.EVERYBODY
        assert any("another NAT is in front of it" in note and host in note for note in report.notes)

    def test_elsewhere(self) -> None:
        report = self.report("1.1.1.1")
        assert report.router is not None
        assert report.router.is_useful is False
        assert any("1.1.1.1, but servers see us at 8.8.8.8" in note for note in report.notes)

    @pytest.mark.parametrize(("host", "seen"), [(None, ("8.8.8.8",)), ("1.1.1.1", ())])
    def test_unknown_is_not_false(self, host: str | None, seen: tuple[str, ...]) -> None:
        report = self.report(host, seen=seen)
        assert report.router is not None
        assert report.router.is_useful is None
        assert report.outlook.kind is not OutlookKind.EVERYBODY

    def test_a_pinhole_says_nothing_of_ipv4(self) -> None:
        report = self.report("2606:4700::7", seen=("8.8.8.8",), gateway="fe80::1")
        assert report.router is not None
        assert report.router.is_useful is False
        assert report.outlook.kind is not OutlookKind.EVERYBODY

    def test_nobody_to_ask(self) -> None:
        report = make_report(findings(ipv4={ONE: HOME}, router=PortMappingFacts()))
        assert report.unknown["port_mapping"] == "this host has no default route"

    def test_what_was_wrong_is_noted(self) -> None:
        facts = PortMappingFacts(gateways=("10.0.0.1",), problems=("the router says nonsense",))
        report = make_report(findings(ipv4={ONE: HOME}, router=facts))
        assert "Port mapping: the router says nonsense." in report.notes


def test_no_nat_is_told_as_none() -> None:
    behaviour = NatBehaviour(
        udp=True,
        translated=False,
        mapping=MappingBehaviour.ENDPOINT_INDEPENDENT,
        filtering=FilteringBehaviour.ENDPOINT_INDEPENDENT,
    )
    report = make_report(findings(ipv4={ONE: behaviour}))
    assert (report.facts.mapping, report.facts.filtering) == ("none", "none")
    assert "there is no NAT here" in report.outlook.sentence


class TestCombine:
    def test_one_is_itself(self) -> None:
        assert combine([HOME]) is HOME

    def test_what_one_could_not_show_is_taken_from_the_other(self) -> None:
        both = combine([NatBehaviour(udp=True, mapping=MappingBehaviour.ENDPOINT_INDEPENDENT), HOME])
        assert both.filtering is FilteringBehaviour.ADDRESS_AND_PORT_DEPENDENT
        assert both.allocation is PortAllocation.PRESERVING
        assert both.other_address == TWO

    def test_the_harder_behaviour_counts(self) -> None:
        easy = NatBehaviour(udp=True, filtering=FilteringBehaviour.ENDPOINT_INDEPENDENT)
        assert combine([easy, HOME]).filtering is FilteringBehaviour.ADDRESS_AND_PORT_DEPENDENT

    @pytest.mark.parametrize(
        ("udp", "joined"),
        [((False, False), False), ((False, True), True), ((None, False), False), ((None, None), None)],
    )
    def test_udp(self, udp: tuple[bool | None, ...], joined: bool | None) -> None:
        assert combine([NatBehaviour(udp=one) for one in udp]).udp is joined
