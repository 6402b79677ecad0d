"""Roles and restarts."""

import pytest

from p2p.proto.ice import Credentials, PairState, PairValidated, RoleChanged
from tests.unit.ice.duo import Duo, host, signalled


@pytest.mark.parametrize("roles", [(True, True), (False, False)])
@pytest.mark.parametrize("seed", range(8))
def test_a_role_conflict_ends_with_one_of_each(roles, seed):
    duo = Duo(roles=roles, seed=seed)
    duo.simple()
    duo.run(0.5)
    assert duo.a.agent.controlling is not duo.b.agent.controlling
    assert all(side.of(PairValidated) for side in duo.sides)
    assert len(duo.a.of(RoleChanged)) + len(duo.b.of(RoleChanged)) == 1


@pytest.mark.parametrize("roles", [(True, True), (False, False)])
@pytest.mark.parametrize("seed", range(4))
def test_a_role_conflict_is_settled_when_only_one_side_checks(roles, seed):
    duo = Duo(roles=roles, seed=seed)
    duo.simple()

    def only_checks_of_a(data, source, destination):
        is_request = data[:2] == b"\x00\x01"
        return None if is_request and source.port == 2000 else (data, source)

    duo.rewrite = only_checks_of_a
    duo.run(0.5)
    assert duo.a.agent.controlling is not duo.b.agent.controlling
    assert duo.a.of(PairValidated)


def test_agreed_roles_stay():
    duo = Duo()
    duo.simple()
    duo.run(0.5)
    assert not any(side.of(RoleChanged) for side in duo.sides)
    assert duo.a.agent.counters.role_conflicts == 0


def restarted():
    duo = Duo()
    duo.simple()
    duo.run(0.2)
    duo.a.agent.restart(Credentials.generate(duo.random.randbytes))
    return duo


def test_restart_keeps_valid_pairs_and_answers_to_old_credentials():
    duo = restarted()
    pair = duo.b.agent.check_list[0]
    before = pair.rtt_s
    pair.rtt_s = None
    duo.b.agent.ping(pair, duo.now)
    duo.run(0.1)
    assert before is not None
    assert pair.rtt_s is not None
    assert duo.a.agent.check_list[0].state is PairState.SUCCEEDED


def test_new_candidates_are_checked_before_the_answer_to_a_restart():
    duo = restarted()
    duo.local(duo.a, host("10.0.0.1:1001", base_id=5))
    duo.run(0.1)
    assert duo.a.agent.find_pair(5, duo.b.addresses[0]).state is PairState.SUCCEEDED


def test_after_both_sides_restarted_the_new_credentials_are_used():
    duo = restarted()
    duo.b.agent.restart(Credentials.generate(duo.random.randbytes))
    duo.introduce()
    for side in duo.sides:
        pair = side.agent.check_list[0]
        pair.rtt_s = None
        side.agent.ping(pair, duo.now)
    duo.run(0.1)
    assert all(side.agent.check_list[0].rtt_s is not None for side in duo.sides)
    assert all(side.agent.counters.wrong_credentials == 0 for side in duo.sides)


def test_a_restart_of_the_peer_drops_its_old_candidates():
    duo = Duo()
    duo.simple()
    duo.a.agent.add_remote_candidate(signalled(host("10.0.0.2:2999")))
    duo.run(0.2)
    duo.b.agent.restart(Credentials.generate(duo.random.randbytes))
    duo.introduce()
    duo.a.agent.add_remote_candidate(signalled(host("10.0.0.2:3000")))
    assert {candidate.address.port for candidate in duo.a.agent.remote_candidates} == {2000, 3000}
    assert {pair.remote.address.port for pair in duo.a.agent.check_list} == {2000, 3000}


def test_credentials_before_the_last_are_no_longer_answered():
    duo = restarted()
    duo.a.agent.restart(Credentials.generate(duo.random.randbytes))
    pair = duo.b.agent.check_list[0]
    pair.rtt_s = None
    duo.b.agent.ping(pair, duo.now)
    duo.run(0.1)
    assert pair.rtt_s is None
