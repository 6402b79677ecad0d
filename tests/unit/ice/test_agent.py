"""The agent: how pairs become valid, in which order and when they are given up."""

from itertools import pairwise

import pytest

from p2p import defaults
from p2p.address import TransportAddress
from p2p.errors import LocalProtocolError
from p2p.proto.ice import (
    CandidateType,
    CheckListCompleted,
    PairConfirmed,
    PairFailed,
    PairFailure,
    PairNominated,
    PairReclassified,
    PairRemoved,
    PairState,
    PairValidated,
    PeerReflexiveDiscovered,
)
from p2p.proto.stun.attributes import ICE_CONTROLLING, PRIORITY, USE_CANDIDATE, USERNAME
from p2p.proto.stun.message import MessageClass, decode_untrusted
from tests.unit.ice.duo import Duo, host, relayed, signalled


def requests(side):
    messages = [(at, decode_untrusted(data)) for at, data in side.sent]
    return [(at, message) for at, message in messages if message.message_class is MessageClass.REQUEST]


def test_two_hosts_become_valid_in_a_round_trip():
    duo = Duo()
    duo.simple()
    duo.run(0.05)
    for side in duo.sides:
        (event,) = side.of(PairValidated)
        assert event.pair.state is PairState.SUCCEEDED
        assert event.rtt_s == pytest.approx(0.02, abs=0.011)


def test_a_check_has_what_the_rfc_wants():
    duo = Duo()
    duo.simple()
    duo.collect(duo.a)
    (_, message) = requests(duo.a)[0]
    assert message.get(USERNAME) == f"{duo.b.agent.local_credentials.ufrag}:{duo.a.agent.local_credentials.ufrag}"
    assert message.get(PRIORITY) >> 24 == 110
    assert message.get(ICE_CONTROLLING) is not None
    assert message.get(USE_CANDIDATE) is None
    assert message.has_integrity


def test_nothing_is_sent_before_credentials_and_no_timer_runs():
    duo = Duo()
    duo.simple()
    fresh = Duo()
    fresh.local(fresh.a, host("10.0.0.1:1000"))
    fresh.a.agent.add_remote_candidate(signalled(host("10.0.0.2:2000")))
    assert fresh.a.agent.get_timer() is None
    assert fresh.a.agent.transmits(fresh.now) == []
    assert duo.a.agent.get_timer() is not None


def test_pairs_are_tried_by_priority_and_paced():
    duo = Duo()
    duo.local(duo.a, host("10.0.0.1:1000"))
    for port in range(2000, 2005):
        duo.a.agent.add_remote_candidate(signalled(host(f"10.0.0.2:{port}")))
    duo.a.agent.add_remote_candidate(signalled(relayed("10.0.0.3:3000")))
    duo.introduce()
    duo.run(0.06, step_s=0.001)
    times = [at for at, _ in requests(duo.a)]
    assert len(times) >= 6
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert min(gaps) >= defaults.ICE_PACING_S - 1e-6
    in_order = sorted(duo.a.agent.check_list, key=lambda pair: -pair.priority(controlling=True))
    assert in_order[-1].relayed
    assert all(pair.attempts == 1 for pair in in_order)


def test_an_unanswered_pair_fails_after_its_schedule():
    duo = Duo()
    duo.simple()
    duo.rewrite = lambda data, source, destination: None
    duo.run(defaults.ICE_CHECK_DURATION_S + 0.1)
    (event,) = duo.a.of(PairFailed)
    assert event.failure is PairFailure.UNANSWERED
    times = [at for at, _ in requests(duo.a)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[:4] == pytest.approx(defaults.ICE_CHECK_SPACING_S[:4], abs=0.011)
    assert max(gaps) <= defaults.ICE_CHECK_SPACING_S[-1] + 0.011
    assert 12 <= len(times) <= 14
    assert duo.a.agent.check_list[0].state is PairState.FAILED


def test_a_failed_pair_lives_again_when_the_peer_gets_through():
    duo = Duo()
    duo.local(duo.a, host("10.0.0.1:1000"))
    duo.local(duo.b, host("10.0.0.2:2000"))
    duo.introduce(b=False)
    duo.rewrite = lambda data, source, destination: None if source.port == 1000 else (data, source)
    duo.run(6.0)
    assert duo.a.agent.check_list[0].state is PairState.FAILED
    duo.rewrite = lambda data, source, destination: (data, source)
    duo.introduce()
    duo.run(0.1)
    assert all(side.agent.check_list[0].state is PairState.SUCCEEDED for side in duo.sides)


def test_a_late_answer_still_counts():
    duo = Duo(delay_s=3.0)
    duo.simple()
    duo.run(6.5)
    assert duo.a.of(PairValidated)[0].rtt_s == pytest.approx(6.0, abs=0.2)
    assert duo.a.agent.check_list[0].state is PairState.SUCCEEDED


def test_early_checks_are_answered_and_tried_back_later():
    duo = Duo()
    duo.local(duo.a, host("10.0.0.1:1000"), tell=False)
    duo.local(duo.b, host("10.0.0.2:2000"))
    duo.introduce(b=False)
    duo.run(0.05)
    assert duo.a.of(PairValidated)
    assert not duo.b.of(PairValidated)
    assert duo.b.agent.get_timer() is None
    duo.introduce()
    duo.run(0.05)
    assert duo.b.of(PairValidated)


def test_unknown_sources_become_peer_reflexive_candidates():
    duo = Duo()
    duo.local(duo.a, host("10.0.0.1:1000"), tell=False)
    duo.local(duo.b, host("10.0.0.2:2000"))
    duo.introduce()
    duo.run(0.1)
    (event,) = duo.b.of(PeerReflexiveDiscovered)
    assert not event.is_local
    assert event.candidate.type is CandidateType.PEER_REFLEXIVE
    assert event.candidate.address == TransportAddress("10.0.0.1", 1000)
    assert duo.b.of(PairValidated)


def test_our_address_as_the_peer_sees_it_is_learned():
    duo = Duo()
    duo.local(duo.a, host("10.0.0.1:1000"), tell=False)
    duo.local(duo.b, host("192.0.2.2:2000"))
    mapped = TransportAddress("192.0.2.77", 777)
    duo.a.addresses[0] = mapped  # a NAT in between
    duo.introduce()
    duo.run(0.1)
    (event,) = [event for event in duo.a.of(PeerReflexiveDiscovered) if event.is_local]
    assert event.candidate.type is CandidateType.PEER_REFLEXIVE
    assert (event.candidate.address, event.candidate.base_id) == (mapped, 0)
    assert event.candidate.related == TransportAddress("10.0.0.1", 1000)
    assert duo.a.agent.check_list[0].mapped_address == mapped


def test_signalling_reclassifies_what_was_learned():
    duo = Duo()
    relay = relayed("10.0.0.1:1000", base_id=0)
    duo.local(duo.a, host("10.0.0.1:1000"), tell=False)
    duo.local(duo.b, host("10.0.0.2:2000"))
    duo.introduce()
    duo.run(0.1)
    pair = duo.b.agent.check_list[0]
    assert not pair.relayed
    duo.b.agent.add_remote_candidate(signalled(relay))
    duo.collect(duo.b)
    assert duo.b.of(PairReclassified)
    assert pair.relayed
    assert pair.state is PairState.SUCCEEDED


def test_address_families_do_not_mix():
    duo = Duo()
    duo.local(duo.a, host("10.0.0.1:1000", base_id=0))
    duo.local(duo.a, host("[2001:db8::1]:1000", base_id=1))
    duo.local(duo.b, host("[2001:db8::2]:2000"))
    assert [pair.key.base_id for pair in duo.a.agent.check_list] == [1]


def test_a_transport_is_paired_once_whatever_candidates_it_has():
    duo = Duo()
    duo.local(duo.a, host("10.0.0.1:1000"))
    duo.local(duo.a, host("10.9.0.1:1000"))
    duo.local(duo.b, host("10.0.0.2:2000"))
    assert len(duo.a.agent.check_list) == 1
    assert len(duo.b.agent.check_list) == 2


def test_the_list_is_completed_when_all_is_tried_and_ended():
    duo = Duo()
    duo.simple()
    duo.run(0.3)
    assert not duo.a.of(CheckListCompleted)
    duo.a.agent.end_of_candidates(local=True, remote=True)
    duo.run(0.05)
    (event,) = duo.a.of(CheckListCompleted)
    assert event.validated == 1


def test_patience_ends_when_nobody_says_so():
    duo = Duo()
    duo.simple()
    duo.rewrite = lambda data, source, destination: None
    duo.run(defaults.ICE_PATIENCE_S + 0.1)
    (event,) = duo.a.of(CheckListCompleted)
    assert event.validated == 0
    assert duo.a.agent.get_timer() is None


def test_nomination_reaches_the_other_side():
    duo = Duo()
    duo.simple()
    duo.run(0.1)
    pair = duo.a.agent.check_list[0]
    duo.a.agent.nominate(pair, duo.now)
    duo.run(0.1)
    assert [event.pair for event in duo.a.of(PairNominated)] == [pair]
    (event,) = duo.b.of(PairNominated)
    assert event.pair.nominated


def test_nomination_is_repeated_until_answered():
    duo = Duo()
    duo.simple()
    duo.run(0.1)
    duo.rewrite = lambda data, source, destination: None
    duo.a.agent.nominate(duo.a.agent.check_list[0], duo.now)
    duo.run(0.25)
    assert not duo.b.of(PairNominated)
    duo.rewrite = lambda data, source, destination: (data, source)
    duo.run(0.5)
    assert duo.a.of(PairNominated)
    assert duo.b.of(PairNominated)


def test_the_latest_nomination_counts():
    duo = Duo()
    duo.local(duo.a, host("10.0.0.1:1000", base_id=0))
    duo.local(duo.a, host("10.0.0.1:1001", base_id=1))
    duo.local(duo.b, host("10.0.0.2:2000"))
    duo.introduce()
    duo.run(0.2)
    for pair in duo.a.agent.check_list:
        duo.a.agent.nominate(pair, duo.now)
        duo.run(0.2)
    for side in duo.sides:
        assert [pair.nominated for pair in side.agent.check_list].count(True) == 1
    assert duo.a.agent.check_list[1].nominated


def test_only_the_controlling_side_nominates_and_only_valid_pairs():
    duo = Duo()
    duo.simple()
    with pytest.raises(LocalProtocolError):
        duo.a.agent.nominate(duo.a.agent.check_list[0], duo.now)
    duo.run(0.1)
    with pytest.raises(LocalProtocolError):
        duo.b.agent.nominate(duo.b.agent.check_list[0], duo.now)


def test_a_ping_is_confirmed_at_once():
    duo = Duo()
    duo.simple()
    duo.run(0.2)
    before = len(duo.a.of(PairConfirmed))
    duo.a.agent.ping(duo.a.agent.check_list[0], duo.now)
    duo.run(0.05)
    assert duo.a.of(PairConfirmed)[before:][0].rtt_s == pytest.approx(0.02, abs=0.02)
    assert len(duo.a.of(PairConfirmed)) == before + 1


def test_a_closed_transport_takes_its_pairs_along():
    duo = Duo()
    duo.simple()
    duo.run(0.1)
    duo.a.agent.remove_base(0)
    duo.collect(duo.a)
    assert duo.a.of(PairRemoved)
    assert duo.a.agent.check_list == ()
    assert duo.a.agent.local_candidates == ()
    assert not duo.a.agent.receive_stun(duo.b.sent[0][1], TransportAddress("10.0.0.2", 2000), 0, duo.now)


def test_a_base_without_candidate_answers_and_tries_back():
    duo = Duo()
    duo.a.agent.add_base(host("10.0.0.1:1000", base_id=7))
    duo.a.addresses[7] = TransportAddress("10.0.0.1", 1000)
    duo.local(duo.b, host("10.0.0.2:2000"))
    duo.introduce()
    duo.run(0.1)
    assert duo.a.agent.check_list == ()
    duo.b.agent.add_remote_candidate(signalled(host("10.0.0.1:1000")))
    duo.run(0.1)
    assert [pair.key.base_id for pair in duo.a.agent.check_list] == [7]
    assert duo.a.of(PairValidated)


def test_a_probe_finds_an_address_nobody_named():
    duo = Duo()
    duo.local(duo.a, host("10.0.0.1:1000"), tell=False)
    duo.local(duo.b, host("10.0.0.2:2000"), tell=False)
    duo.introduce()
    probe = duo.a.agent.probe(0, duo.now)
    assert duo.b.agent.receive_stun(probe, TransportAddress("10.0.0.1", 1000), 0, duo.now)
    duo.run(0.1)
    assert all(side.of(PairValidated) for side in duo.sides)


def test_the_answer_to_a_probe_is_a_hint_wherever_it_comes_from():
    duo = Duo()
    duo.local(duo.a, host("10.0.0.1:1000"), tell=False)
    duo.local(duo.b, host("10.0.0.2:2000"), tell=False)
    duo.introduce()
    probe = duo.a.agent.probe(0, duo.now)
    duo.b.agent.receive_stun(probe, TransportAddress("192.0.2.55", 5), 0, duo.now)
    answer = duo.b.agent.transmits(duo.now)[0].data
    assert duo.a.agent.receive_stun(answer, TransportAddress("10.0.0.2", 2000), 0, duo.now)
    duo.run(0.1)
    assert [event.pair.remote.address.port for event in duo.a.of(PairValidated)] == [2000]


def test_a_probe_needs_base_and_credentials():
    duo = Duo()
    with pytest.raises(LocalProtocolError):
        duo.a.agent.probe(0, duo.now)


def test_a_transport_outlives_its_addresses():
    duo = Duo()
    first, second = host("10.0.0.1:1000"), host("10.8.0.1:1000")
    duo.simple()
    duo.run(0.1)
    agent = duo.a.agent
    agent.add_local_candidate(second)
    agent.remove_local_candidate(first)
    agent.remove_local_candidate(first)
    assert agent.local_candidates == (second,)
    assert [pair.local for pair in agent.check_list] == [second]
    assert agent.check_list[0].state is PairState.SUCCEEDED
    agent.remove_local_candidate(second)
    assert agent.local_candidates == ()
    agent.add_remote_candidate(signalled(host("10.0.0.3:3000")))
    assert len(agent.check_list) == 1, "nothing new is tried from where we have no address"
    agent.add_local_candidate(first)
    assert [pair.local for pair in agent.check_list] == [first, first]


def test_an_address_that_the_peer_left_is_forgotten_unless_it_works():
    duo = Duo()
    duo.simple()
    duo.run(0.1)
    agent = duo.a.agent
    unused = TransportAddress("10.0.0.3", 3000)
    agent.add_remote_candidate(signalled(host(str(unused))))
    assert len(agent.check_list) == 2
    for address in (unused, TransportAddress("10.0.0.2", 2000), TransportAddress("10.0.0.9", 9)):
        agent.remove_remote_candidate(address)
    assert [pair.remote.address.port for pair in agent.check_list] == [2000]
    assert [candidate.address.port for candidate in agent.remote_candidates] == [2000]
