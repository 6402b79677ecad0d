"""Why a pair is relayed: the truth table."""

import itertools
import json

import pytest

from p2p.address import TransportAddress
from p2p.errors import DecodeError
from p2p.proto.ice import CandidateType
from p2p.proto.path import NatFacts, PairReport, RelayReasonCode, plain_checks_can_succeed, why_relayed
from p2p.proto.stun.nat import FilteringBehaviour as F
from p2p.proto.stun.nat import MappingBehaviour as M
from p2p.proto.stun.nat import NatBehaviour, PortAllocation

EI, AD, APD, NO = M.ENDPOINT_INDEPENDENT, M.ADDRESS_DEPENDENT, M.ADDRESS_AND_PORT_DEPENDENT, M.UNKNOWN
FEI, FAD, FAPD, FNO = F.ENDPOINT_INDEPENDENT, F.ADDRESS_DEPENDENT, F.ADDRESS_AND_PORT_DEPENDENT, F.UNKNOWN
A = TransportAddress("192.0.2.1", 1)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((EI, FAPD), (EI, FAPD), True),
        ((EI, FNO), (EI, FNO), True),
        ((EI, FEI), (APD, FAPD), True),
        ((EI, FAD), (APD, FAPD), True),
        ((EI, FAD), (AD, FAPD), True),
        ((EI, FAPD), (APD, FEI), False),
        ((EI, FAPD), (AD, FAPD), False),
        ((EI, FNO), (APD, FAPD), None),
        ((APD, FAPD), (APD, FAPD), False),
        ((APD, FEI), (APD, FEI), False),
        ((APD, FNO), (APD, FNO), False),
        ((AD, FEI), (APD, FAD), True),
        ((AD, FAD), (APD, FEI), True),
        ((AD, FAD), (AD, FAD), False),
        ((AD, FEI), (AD, FEI), True),
        ((AD, FNO), (AD, FEI), None),
        ((AD, FNO), (AD, FAPD), False),
        ((NO, FEI), (EI, FEI), None),
        ((NO, FNO), (NO, FNO), None),
    ],
)
def test_what_plain_checks_can_do(one, other, expected):
    assert plain_checks_can_succeed(NatFacts(*one), NatFacts(*other)) is expected
    assert plain_checks_can_succeed(NatFacts(*other), NatFacts(*one)) is expected


def test_blocked_and_disabled_cannot():
    easy = NatFacts(EI, FEI)
    for hopeless in (NatFacts(udp_blocked=True), NatFacts(EI, FEI, direct_disabled=True)):
        assert plain_checks_can_succeed(hopeless, easy) is False
        assert plain_checks_can_succeed(easy, hopeless) is False


def test_dependent_on_something_unknown_is_dependent():
    somehow = NatFacts(dependent=True)
    assert plain_checks_can_succeed(somehow, NatFacts(EI, FAPD)) is False
    assert plain_checks_can_succeed(somehow, NatFacts(EI, FAD)) is True
    assert plain_checks_can_succeed(somehow, NatFacts(APD, FEI)) is None


BLOCKED = NatFacts(udp_blocked=True)
POOL = NatFacts(AD, FAPD, allocation=PortAllocation.PRESERVING)


@pytest.mark.parametrize(("filtering", "expected"), [(FEI, True), (FAD, False), (FAPD, False), (FNO, None)])
def test_an_address_out_of_a_pool_passes_no_filter(filtering, expected):
    assert plain_checks_can_succeed(POOL, NatFacts(EI, filtering)) is expected
    assert plain_checks_can_succeed(NatFacts(EI, filtering), POOL) is expected


@pytest.mark.parametrize(
    ("local", "remote", "code", "certain"),
    [
        (NatFacts(EI, FEI, direct_disabled=True), BLOCKED, RelayReasonCode.DIRECT_DISABLED, True),
        (NatFacts(EI, FEI), NatFacts(direct_disabled=True), RelayReasonCode.DIRECT_DISABLED, True),
        (BLOCKED, NatFacts(EI, FEI), RelayReasonCode.UDP_BLOCKED_HERE, True),
        (NatFacts(EI, FEI), BLOCKED, RelayReasonCode.UDP_BLOCKED_THERE, True),
        (BLOCKED, BLOCKED, RelayReasonCode.UDP_BLOCKED_HERE, True),
        (NatFacts(APD, FAPD), NatFacts(APD, FAPD), RelayReasonCode.BOTH_MAPPINGS_DEPENDENT, True),
        (NatFacts(AD, FAPD), NatFacts(APD, FAPD), RelayReasonCode.BOTH_MAPPINGS_DEPENDENT, True),
        (NatFacts(AD, FNO), NatFacts(APD, FNO), RelayReasonCode.BOTH_MAPPINGS_DEPENDENT, False),
        (NatFacts(APD, FAPD), NatFacts(EI, FAPD), RelayReasonCode.PORT_FILTERING_THERE, True),
        (NatFacts(EI, FAPD), NatFacts(APD, FAPD), RelayReasonCode.PORT_FILTERING_HERE, True),
        (NatFacts(EI, FNO), NatFacts(APD, FAPD), RelayReasonCode.PORT_FILTERING_HERE, False),
        (NatFacts(dependent=True), NatFacts(EI, FNO), RelayReasonCode.PORT_FILTERING_THERE, False),
        (POOL, NatFacts(EI, FAPD), RelayReasonCode.ADDRESS_POOL_HERE, True),
        (NatFacts(EI, FAD), POOL, RelayReasonCode.ADDRESS_POOL_THERE, True),
        (NatFacts(EI, FNO), POOL, RelayReasonCode.ADDRESS_POOL_THERE, False),
        (POOL, POOL, RelayReasonCode.BOTH_MAPPINGS_DEPENDENT, True),
        (NatFacts(EI, FAPD), NatFacts(EI, FAPD), RelayReasonCode.CHECKS_UNANSWERED, True),
        (NatFacts(APD, FAPD), NatFacts(EI, FAD), RelayReasonCode.CHECKS_UNANSWERED, True),
        (NatFacts(), NatFacts(APD, FAPD), RelayReasonCode.CHECKS_UNANSWERED, True),
        (NatFacts(), NatFacts(), RelayReasonCode.CHECKS_UNANSWERED, True),
    ],
)
def test_reasons(local, remote, code, certain):
    reason = why_relayed(local, remote)
    assert (reason.code, reason.certain) == (code, certain)


def test_every_reason_has_text_and_remedy_and_the_sides_mirror():
    all_facts = [NatFacts(mapping, filtering) for mapping in M for filtering in F] + [BLOCKED, POOL]
    mirror = {
        RelayReasonCode.PORT_FILTERING_HERE: RelayReasonCode.PORT_FILTERING_THERE,
        RelayReasonCode.PORT_FILTERING_THERE: RelayReasonCode.PORT_FILTERING_HERE,
        RelayReasonCode.ADDRESS_POOL_HERE: RelayReasonCode.ADDRESS_POOL_THERE,
        RelayReasonCode.ADDRESS_POOL_THERE: RelayReasonCode.ADDRESS_POOL_HERE,
        RelayReasonCode.UDP_BLOCKED_HERE: RelayReasonCode.UDP_BLOCKED_THERE,
        RelayReasonCode.UDP_BLOCKED_THERE: RelayReasonCode.UDP_BLOCKED_HERE,
    }
    for one, other in itertools.product(all_facts, all_facts):
        here, there = why_relayed(one, other), why_relayed(other, one)
        assert here.text.endswith(".")
        assert here.remedy.endswith(".")
        if one is not other:
            assert there.code == mirror.get(here.code, here.code)
        if plain_checks_can_succeed(one, other) is True:
            assert here.code is RelayReasonCode.CHECKS_UNANSWERED


def report(*, relayed=False, reason="unanswered"):
    kind = CandidateType.RELAYED if relayed else CandidateType.HOST
    return PairReport(A, kind, A, kind, relayed, "failed", reason, 13, None, nominated=False, selected=False)


def test_the_report_tells_what_facts_cannot():
    easy = NatFacts(EI, FEI)
    assert why_relayed(easy, easy, [report(reason="lost")]).code is RelayReasonCode.DIRECT_PATH_LOST
    assert why_relayed(easy, easy, [report(relayed=True)]).code is RelayReasonCode.NO_COMMON_ADDRESS
    assert why_relayed(easy, easy, [report(), report(relayed=True)]).code is RelayReasonCode.CHECKS_UNANSWERED


def test_a_report_reads_as_a_line():
    assert str(report()) == "direct 192.0.2.1:1 (host) -> 192.0.2.1:1 (host): unanswered after 13 checks"


def test_facts_travel():
    facts = NatFacts(
        APD, FAD, True, False, True, PortAllocation.SEQUENTIAL, -2, direct_disabled=True, birthday_disabled=True
    )
    assert NatFacts.from_wire_untrusted(json.loads(json.dumps(facts.to_wire()))) == facts
    assert NatFacts.from_wire_untrusted({}) == NatFacts()


@pytest.mark.parametrize(
    "value",
    [
        {"mapping": "cone", "filtering": 7, "udp_blocked": "yes", "dependent": 1, "allocation": None, "port_step": 1.5},
        {"mapping": None, "port_step": True, "direct_disabled": 1},
        {"mapping": ["endpoint_independent"], "port_step": 1 << 20},
        {"later": "field", "port_step": 0},
    ],
)
def test_what_is_not_understood_is_unknown(value):
    assert NatFacts.from_wire_untrusted(value) == NatFacts()


@pytest.mark.parametrize("value", [None, [], "facts", 7])
def test_facts_are_an_object(value):
    with pytest.raises(DecodeError):
        NatFacts.from_wire_untrusted(value)


def test_facts_of_the_stun_tests():
    behaviour = NatBehaviour(udp=True, mapping=APD, filtering=FAPD, mapping_is_dependent=True, port_preserved=False)
    facts = NatFacts.of(behaviour, direct_disabled=True)
    assert (facts.mapping, facts.filtering, facts.is_dependent, facts.udp_blocked) == (APD, FAPD, True, False)
    assert facts.direct_disabled
    assert NatFacts.of(NatBehaviour()).udp_blocked is None


def test_who_wants_no_guesses_is_told_that_they_would_help():
    hard, easy = NatFacts(APD, FAPD), NatFacts(EI, FAPD, birthday_disabled=True)
    assert why_relayed(hard, easy).remedy.startswith("Start both sides without `--no-birthday`")
    assert "--no-birthday" not in why_relayed(hard, NatFacts(EI, FAPD)).remedy
    assert "--no-birthday" not in why_relayed(hard, NatFacts(APD, FAPD, birthday_disabled=True)).remedy
