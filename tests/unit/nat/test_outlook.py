"""One sentence for every kind of network."""

from __future__ import annotations

from itertools import product

import pytest

from p2p.proto.stun.behaviour import FilteringBehaviour, MappingBehaviour, NatBehaviour, PortAllocation
from p2p.session.outlook import OutlookKind, judge_outlook

MAPPING, FILTERING = MappingBehaviour, FilteringBehaviour
APD = MAPPING.ADDRESS_AND_PORT_DEPENDENT


def nat(mapping=MAPPING.UNKNOWN, filtering=FILTERING.UNKNOWN, allocation=PortAllocation.UNKNOWN):  # type: ignore[no-untyped-def]
    return NatBehaviour(udp=True, translated=True, mapping=mapping, filtering=filtering, allocation=allocation)


def test_the_sentence_of_the_usual_home() -> None:
    outlook = judge_outlook(
        nat(MAPPING.ENDPOINT_INDEPENDENT, FILTERING.ADDRESS_AND_PORT_DEPENDENT), udp=True, relay=True
    )
    assert outlook.kind is OutlookKind.ALMOST_EVERYBODY
    assert outlook.sentence == (
        "direct connections will work with almost everybody; with random symmetric NATs in up to 15 s"
    )


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (nat(MAPPING.ENDPOINT_INDEPENDENT, FILTERING.ENDPOINT_INDEPENDENT), OutlookKind.EVERYBODY),
        (nat(MAPPING.ENDPOINT_INDEPENDENT, FILTERING.ADDRESS_DEPENDENT), OutlookKind.EVERYBODY),
        (nat(MAPPING.ENDPOINT_INDEPENDENT), OutlookKind.ALMOST_EVERYBODY),
        (nat(APD, allocation=PortAllocation.SEQUENTIAL), OutlookKind.MOST),
        (nat(APD, allocation=PortAllocation.RANDOM), OutlookKind.MOST),
        (nat(APD, allocation=PortAllocation.PRESERVING), OutlookKind.SOME),
        (nat(APD), OutlookKind.SOME),
        (nat(), OutlookKind.UNKNOWN),
        (NatBehaviour(udp=True, mapping_is_dependent=True), OutlookKind.SOME),
    ],
)
def test_by_behaviour(behaviour: NatBehaviour, kind: OutlookKind) -> None:
    assert judge_outlook(behaviour, udp=True, relay=True).kind is kind


@pytest.mark.parametrize(
    ("udp", "relay", "kind"),
    [
        (False, True, OutlookKind.RELAY_ONLY),
        (False, False, OutlookKind.NOTHING),
        (False, None, OutlookKind.NOTHING),
        (None, True, OutlookKind.RELAY_ONLY),
        (None, False, OutlookKind.UNKNOWN),
    ],
)
def test_without_udp(udp: bool | None, relay: bool | None, kind: OutlookKind) -> None:
    assert judge_outlook(NatBehaviour(), udp=udp, relay=relay).kind is kind


def test_ipv6_and_port_mapping_help() -> None:
    hard = nat(APD, FILTERING.ADDRESS_AND_PORT_DEPENDENT, PortAllocation.RANDOM)
    assert judge_outlook(hard, udp=True, relay=True, ipv6=True).sentence.endswith("everybody who has it too")
    assert judge_outlook(hard, udp=True, relay=True, port_mapping=True).kind is OutlookKind.EVERYBODY


def test_every_combination_has_a_sentence_that_can_end_with_a_full_stop() -> None:
    for mapping, filtering, allocation in product(MAPPING, FILTERING, PortAllocation):
        for udp, relay, ipv6 in product((True, False, None), repeat=3):
            sentence = judge_outlook(nat(mapping, filtering, allocation), udp=udp, relay=relay, ipv6=ipv6).sentence
            assert sentence[-1].isalnum()
            assert 20 < len(sentence) < 250
