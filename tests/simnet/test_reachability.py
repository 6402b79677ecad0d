"""Every ordered pair of NATs through the real machines, with guessing: they end as the oracle says, for its reason."""

from __future__ import annotations

import itertools

import pytest

from p2p import defaults
from p2p.proto.path import RelayReasonCode
from tests.simnet.guessing import GuessingScene
from tests.simnet.nat import Allocator, Dependence, NatBehaviour
from tests.simnet.oracle import Reach, Reason, reach, reach_by_hairpin, reason

WORDS = {Dependence.INDEPENDENT: "any", Dependence.ADDRESS: "addr", Dependence.ADDRESS_AND_PORT: "port"}
HARD = (Dependence.ADDRESS, Dependence.ADDRESS_AND_PORT)
ALLOCATORS = ((Allocator.RANDOM, 1), (Allocator.RANGE, 1), (Allocator.SEQUENTIAL, 1), (Allocator.SEQUENTIAL, 2))
NATS: tuple[NatBehaviour | None, ...] = (
    None,
    *(
        # A port that is the same for all destinations is told to the peer, however it was picked.
        NatBehaviour(filtering=filtering, allocator=allocator)
        for filtering in Dependence
        for allocator in (Allocator.PRESERVING, Allocator.RANDOM)
    ),
    *(
        NatBehaviour(mapping, filtering, allocator, step)
        for mapping in HARD
        for filtering in Dependence
        for allocator, step in ALLOCATORS
    ),
    NatBehaviour(Dependence.ADDRESS, Dependence.ADDRESS_AND_PORT, Allocator.PRESERVING, pool=16),
    NatBehaviour(udp_blocked=True),
)
CODES = {
    Reason.BLOCKED_HERE: RelayReasonCode.UDP_BLOCKED_HERE,
    Reason.BLOCKED_THERE: RelayReasonCode.UDP_BLOCKED_THERE,
    Reason.BOTH_HARD: RelayReasonCode.BOTH_MAPPINGS_DEPENDENT,
    Reason.FILTER_HERE: RelayReasonCode.PORT_FILTERING_HERE,
    Reason.FILTER_THERE: RelayReasonCode.PORT_FILTERING_THERE,
    Reason.POOL_HERE: RelayReasonCode.ADDRESS_POOL_HERE,
    Reason.POOL_THERE: RelayReasonCode.ADDRESS_POOL_THERE,
}
DIRECT_WITHIN_S = 0.5
GUESSED_WITHIN_S = 20.0
REASON_WITHIN_S = defaults.ICE_PATIENCE_S + 2.0


def name(nat: NatBehaviour | None) -> str:
    if nat is None:
        return "open"
    if nat.udp_blocked:
        return "blocked"
    words = [WORDS[nat.mapping], WORDS[nat.filtering], nat.allocator.name.lower()]
    return "_".join([*words, *(["2"] if nat.step == 2 else []), *(["pool"] if nat.pool > 1 else [])])


def check(dialer: NatBehaviour | None, exposer: NatBehaviour | None, seed: int) -> str | None:
    """Run one pair; return what is wrong."""
    scene = GuessingScene(dialer, exposer, seed=seed)
    expected = reach(dialer, exposer)
    if expected is not Reach.RELAYED:
        scene.world.run_until(
            DIRECT_WITHIN_S if expected is Reach.DIRECT else GUESSED_WITHIN_S, unless=scene.both_direct
        )
        if not scene.both_direct():
            return f"not direct after {scene.world.now:g} s, though {expected.name}"
        guessed = any(peer.guesses_at for peer in scene.peers)
        return "guessed for nothing" if guessed and expected is Reach.DIRECT else None
    scene.world.run_until(REASON_WITHIN_S, unless=lambda: scene.both_direct() or scene.both_exhausted())
    if not scene.both_relayed() or not scene.both_exhausted():
        return "no verdict on the relay"
    sides = zip(scene.peers, (reason(dialer, exposer), reason(exposer, dialer)), strict=True)
    wrong = [peer.diary.exhausted[0][1].code for peer, why in sides if peer.diary.exhausted[0][1].code != CODES[why]]
    return f"the reason {wrong}" if wrong else None


@pytest.mark.parametrize("dialer", NATS, ids=name)
def test_every_pair_ends_as_theory_says(dialer: NatBehaviour | None) -> None:
    # A birthday takes luck: what fails is tried once more with other dice.
    wrong = {
        name(exposer): problem
        for seed, exposer in enumerate(NATS)
        if (problem := check(dialer, exposer, seed) and check(dialer, exposer, seed + 1000)) is not None
    }
    assert not wrong


def test_theory_does_not_care_who_dials() -> None:
    for one, other in itertools.product(NATS, NATS):
        assert reach(one, other) is reach(other, one)


@pytest.mark.parametrize("hairpin", [True, False])
@pytest.mark.parametrize("nat", [NATS[1], NATS[5], NATS[-4]], ids=name)
def test_two_hosts_that_one_nat_keeps_apart_need_its_hairpin(nat: NatBehaviour, *, hairpin: bool) -> None:
    apart = NatBehaviour(nat.mapping, nat.filtering, nat.allocator, nat.step, hairpin=hairpin, isolated=True)
    scene = GuessingScene(apart, apart, same_nat=True)
    expected = reach_by_hairpin(apart)
    scene.world.run_until(3.0, unless=scene.both_direct)
    assert scene.both_direct() is (expected is not Reach.RELAYED)


@pytest.mark.parametrize(
    ("dialer", "exposer"),
    [(NATS[5], NATS[6]), (NATS[-3], NATS[3]), (NATS[-4], NATS[5])],
    ids=["port-port", "sequential-addr", "sequential-port"],
)
def test_mappings_that_live_for_20_seconds_stay_open_without_data(dialer, exposer) -> None:
    def forgetful(nat: NatBehaviour) -> NatBehaviour:
        return NatBehaviour(nat.mapping, nat.filtering, nat.allocator, nat.step, lifetime_s=20.0)

    scene = GuessingScene(forgetful(dialer), forgetful(exposer))
    scene.world.run_until(20.0, unless=scene.both_direct)
    assert scene.both_direct()
    scene.world.run_for(10.0)
    before, sent = [len(peer.diary.selected) for peer in scene.peers], scene.world.packets
    scene.world.run_for(180.0)
    assert scene.both_direct()
    assert [len(peer.diary.selected) for peer in scene.peers] == before
    assert (scene.world.packets - sent) / 180.0 < 4.0
