"""Pairs, the check list, learned candidates, transactions: what is kept when there is too much."""

import pytest

from p2p import defaults
from p2p.address import TransportAddress
from p2p.proto.ice import CandidatePair, PairState, RelayProtocol
from p2p.proto.ice.candidate import Candidate, CandidateType
from p2p.proto.ice.checklist import CheckList
from p2p.proto.ice.remotes import RemoteCandidates
from p2p.proto.ice.transactions import Attempt, Transactions
from tests.unit.ice.duo import host, relayed, signalled


def pair(port, local="10.0.0.1:1", kind=host):
    return CandidatePair(host(local), signalled(kind(f"192.0.2.9:{port}")))


@pytest.mark.parametrize(("ours", "theirs"), [(5, 3), (3, 5), (4, 4)])
def test_pair_priority_is_the_same_on_both_sides(ours, theirs):
    base = signalled(host("192.0.2.1:1"))
    one, other = (Candidate(base.type, base.address, 0, None, priority, "f") for priority in (ours, theirs))
    here, there = CandidatePair(one, other), CandidatePair(other, one)
    assert here.priority(controlling=True) == there.priority(controlling=False)
    controller_wins = ours > theirs
    assert here.priority(controlling=True) == (min(ours, theirs) << 32) + 2 * max(ours, theirs) + controller_wins


def test_a_pair_is_relayed_when_either_side_is():
    assert not pair(1).relayed
    assert pair(1, kind=relayed).relayed
    assert CandidatePair(relayed("192.0.2.1:1"), signalled(host("192.0.2.9:1"))).relayed


def test_relay_protocol_of_a_pair_is_the_slowest():
    over_tls = Candidate.local(
        CandidateType.RELAYED, TransportAddress("192.0.2.1", 1), 1, relay_protocol=RelayProtocol.TLS
    )
    assert CandidatePair(over_tls, signalled(relayed("192.0.2.9:1"))).relay_protocol is RelayProtocol.TLS
    assert pair(1, kind=relayed).relay_protocol is RelayProtocol.UDP
    assert pair(1).relay_protocol is RelayProtocol.UDP


def test_full_list_gives_up_its_worst_pair_for_a_better_one():
    pairs = CheckList(limit=3)
    relays = pair(1, kind=relayed)
    for other in (relays, pair(2), pair(3)):
        assert pairs.add(other, controlling=True) == (True, None)
    assert pairs.add(pair(4, kind=relayed), controlling=True) == (False, None)
    added, evicted = pairs.add(pair(5), controlling=True)
    assert added
    assert evicted is relays


def test_full_list_keeps_valid_pairs_and_the_one_between_relays():
    pairs = CheckList(limit=3)
    between_relays = CandidatePair(relayed("192.0.2.1:1"), signalled(relayed("192.0.2.9:1")))
    valid, failed = pair(2), pair(3)
    for other in (between_relays, valid, failed):
        pairs.add(other, controlling=True)
    valid.state, failed.state = PairState.SUCCEEDED, PairState.FAILED
    assert pairs.add(pair(4), controlling=True) == (True, failed)
    assert pairs.add(pair(5), controlling=True) == (False, None)
    assert {between_relays.key, valid.key} <= {other.key for other in pairs}


def test_signalled_candidates_are_bounded():
    remotes = RemoteCandidates()
    added = [remotes.add_signalled(signalled(host(f"192.0.2.9:{port}"))) for port in range(1, 200)]
    assert sum(candidate is not None for candidate in added) == defaults.ICE_MAX_REMOTE_CANDIDATES == len(remotes)


def test_learned_candidates_are_bounded_and_proven_ones_stay():
    remotes = RemoteCandidates()
    proven = TransportAddress("192.0.2.9", 1)
    for port in range(1, 200):
        remotes.learn(TransportAddress("192.0.2.9", port), 1 << 30, {proven})
    assert len(remotes) == defaults.ICE_MAX_LEARNED_CANDIDATES
    assert remotes.find(proven) is not None
    assert remotes.find(TransportAddress("192.0.2.9", 199)) is not None


def test_signalling_names_a_learned_candidate():
    remotes = RemoteCandidates()
    told = signalled(host("192.0.2.9:1"))
    learned, _ = remotes.learn(told.address, 1 << 30, ())
    assert learned.type is CandidateType.PEER_REFLEXIVE
    assert remotes.add_signalled(told) == told == remotes.find(told.address)


def test_transactions_are_bounded_in_number_and_age():
    transactions = Transactions()
    address = TransportAddress("192.0.2.9", 1)

    def attempt(sent_at):
        return Attempt(pair(1), 0, address, sent_at, "password", controlling=True)

    transactions.add(b"old", attempt(0.0))
    transactions.add(b"new", attempt(defaults.ICE_TRANSACTION_LIFETIME_S))
    assert transactions.find(b"old") is None
    for number in range(3000):
        transactions.add(number.to_bytes(12, "big"), attempt(11.0))
    assert len(transactions) == defaults.ICE_MAX_TRANSACTIONS


def test_a_probe_may_be_answered_more_than_once():
    transactions = Transactions()
    transactions.add(b"probe", Attempt(None, 0, None, 0.0, "password", controlling=True))
    transactions.end(b"probe")
    assert transactions.find(b"probe") is not None
