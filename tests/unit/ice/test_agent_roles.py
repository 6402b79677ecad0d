"""Roles."""

import pytest

from p2p.proto.ice import PairValidated, RoleChanged
from tests.unit.ice.duo import Duo


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
