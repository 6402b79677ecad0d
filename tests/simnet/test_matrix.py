"""Every ordered pair of NATs against theory: direct where plain checks can, else relay with the right reason."""

from __future__ import annotations

import itertools

import pytest

from p2p.proto.path import RelayReasonCode, plain_checks_can_succeed
from tests.simnet.facts import facts_of
from tests.simnet.nat import Allocator, Dependence, NatBehaviour
from tests.simnet.oracle import Reach, reach
from tests.simnet.scene import Scene
from tests.simnet.world import Weather

WORDS = {Dependence.INDEPENDENT: "any", Dependence.ADDRESS: "addr", Dependence.ADDRESS_AND_PORT: "port"}
BLOCKED = NatBehaviour(udp_blocked=True)
NATS: list[NatBehaviour | None] = [
    None,
    *(NatBehaviour(mapping, filtering, Allocator.RANDOM) for mapping in Dependence for filtering in Dependence),
    NatBehaviour(Dependence.INDEPENDENT, Dependence.ADDRESS_AND_PORT, Allocator.PRESERVING),
    NatBehaviour(Dependence.ADDRESS_AND_PORT, Dependence.ADDRESS_AND_PORT, Allocator.SEQUENTIAL),
    BLOCKED,
]


def name(behaviour: NatBehaviour | None) -> str:
    if behaviour is None:
        return "open"
    if behaviour.udp_blocked:
        return "blocked"
    return f"{WORDS[behaviour.mapping]}_{WORDS[behaviour.filtering]}_{behaviour.allocator.name.lower()}"


PAIRS = [
    pytest.param(dialer, exposer, id=f"{name(dialer)}-{name(exposer)}")
    for dialer, exposer in itertools.product(NATS, NATS)
]


def expected_reasons(dialer, exposer):
    """The codes for dialer and exposer when theory leaves only the relay."""
    if dialer is BLOCKED:
        there = RelayReasonCode.UDP_BLOCKED_HERE if exposer is BLOCKED else RelayReasonCode.UDP_BLOCKED_THERE
        return RelayReasonCode.UDP_BLOCKED_HERE, there
    if exposer is BLOCKED:
        return RelayReasonCode.UDP_BLOCKED_THERE, RelayReasonCode.UDP_BLOCKED_HERE
    hard = [side is not None and side.mapping is not Dependence.INDEPENDENT for side in (dialer, exposer)]
    if all(hard):
        return RelayReasonCode.BOTH_MAPPINGS_DEPENDENT, RelayReasonCode.BOTH_MAPPINGS_DEPENDENT
    if hard[0]:
        return RelayReasonCode.PORT_FILTERING_THERE, RelayReasonCode.PORT_FILTERING_HERE
    return RelayReasonCode.PORT_FILTERING_HERE, RelayReasonCode.PORT_FILTERING_THERE


def check(scene, dialer, exposer, *, direct_within_s, relay_within_s):
    possible = reach(dialer, exposer) is Reach.DIRECT
    if not possible:
        scene.world.run_until(8.0, unless=scene.both_direct)
        assert not scene.both_direct()
        assert scene.both_relayed()
        for peer, code in zip(scene.peers, expected_reasons(dialer, exposer), strict=True):
            assert peer.diary.relay_at() < relay_within_s
            ((at, reason),) = peer.diary.exhausted
            assert reason.code is code
            assert reason.certain
            assert at < 2.0
        return
    scene.world.run_until(direct_within_s, unless=scene.both_direct)
    assert scene.both_direct()


@pytest.mark.parametrize(("dialer", "exposer"), PAIRS)
def test_pair(dialer, exposer):
    # 20 ms one way, 40 ms for a signal: offer, answer and two round trips of checks
    check(Scene(dialer, exposer), dialer, exposer, direct_within_s=0.35, relay_within_s=0.25)


@pytest.mark.parametrize(("dialer", "exposer"), PAIRS)
def test_pair_with_loss_and_reordering(dialer, exposer):
    weather = Weather(loss=0.1, jitter_s=0.03)
    check(Scene(dialer, exposer, weather=weather, seed=5), dialer, exposer, direct_within_s=2.0, relay_within_s=1.5)


@pytest.mark.parametrize("signalling_delay_s", [0.1, 0.5, 2.0, 6.5])
@pytest.mark.parametrize(
    ("dialer", "exposer"),
    [
        pytest.param(*pair, id=f"{name(pair[0])}-{name(pair[1])}")
        for pair in itertools.product(NATS[1:], NATS[1:])
        if reach(*pair) is Reach.DIRECT
    ],
)
def test_a_side_that_hears_late_still_gets_through(dialer, exposer, signalling_delay_s):
    scene = Scene(dialer, exposer, signalling_delay_s=signalling_delay_s)
    scene.world.run_until(3 * signalling_delay_s + 1.0, unless=scene.both_direct)
    assert scene.both_direct()


def test_the_product_holds_the_same_theory():
    for dialer, exposer in itertools.product(NATS, NATS):
        possible = plain_checks_can_succeed(facts_of(dialer), facts_of(exposer))
        assert possible is (reach(dialer, exposer) is Reach.DIRECT)


def test_same_lan_goes_direct_by_host_addresses():
    hard = NatBehaviour(Dependence.ADDRESS_AND_PORT, Dependence.ADDRESS_AND_PORT, Allocator.RANDOM)
    scene = Scene(hard, hard, same_nat=True)
    scene.world.run_until(0.5, unless=scene.both_direct)
    assert scene.both_direct()
    assert scene.dialer.controller.selected_path.remote.host.startswith("10.")


@pytest.mark.parametrize("relay_enabled", [True, False])
def test_without_any_relay_direct_works_the_same(relay_enabled):
    easy = NatBehaviour(filtering=Dependence.ADDRESS_AND_PORT)
    scene = Scene(easy, easy, relay_enabled=relay_enabled)
    scene.world.run_until(0.35, unless=scene.both_direct)
    assert scene.both_direct()


def test_direct_disabled_stays_on_the_relay_and_says_so():
    scene = Scene(None, None, direct_enabled=False)
    scene.world.run_until(20.0, unless=scene.both_direct)
    assert scene.both_relayed()
    for peer in scene.peers:
        ((at, reason),) = peer.diary.exhausted
        assert at < 0.3
        assert reason.code is RelayReasonCode.DIRECT_DISABLED


def test_a_firewall_between_the_two_is_no_nat_and_is_said_to_be_unanswered():
    scene = Scene(None, None)
    scene.cut_direct()
    scene.world.run_until(12.0)
    assert scene.both_relayed()
    for peer in scene.peers:
        ((at, reason),) = peer.diary.exhausted
        assert reason.code is RelayReasonCode.CHECKS_UNANSWERED
        assert at < 8.0
