"""The pairs of NATs that plain checks cannot join, with plans that guess ports: how many, how soon, at what price."""

from __future__ import annotations

import statistics
from itertools import pairwise

import pytest

from p2p import defaults
from p2p.address import TransportAddress
from p2p.proto.path import NatFacts, RelayReasonCode
from p2p.proto.path.plans import GuessLimits, Turn
from tests.simnet.facts import facts_of
from tests.simnet.guessing import GuessingScene
from tests.simnet.nat import FIRST_PORT, RANGE_PORTS, Allocator, Dependence, NatBehaviour
from tests.simnet.world import Packet, Weather

PORT = NatBehaviour(Dependence.INDEPENDENT, Dependence.ADDRESS_AND_PORT, Allocator.PRESERVING)
PORT_NP = NatBehaviour(Dependence.INDEPENDENT, Dependence.ADDRESS_AND_PORT, Allocator.RANDOM)
SEQUENTIAL = NatBehaviour(Dependence.ADDRESS_AND_PORT, Dependence.ADDRESS_AND_PORT, Allocator.SEQUENTIAL)
RANDOM = NatBehaviour(Dependence.ADDRESS_AND_PORT, Dependence.ADDRESS_AND_PORT, Allocator.RANDOM)
RANGE = NatBehaviour(Dependence.ADDRESS_AND_PORT, Dependence.ADDRESS_AND_PORT, Allocator.RANGE)
BY_ADDRESS = NatBehaviour(Dependence.ADDRESS, Dependence.ADDRESS_AND_PORT, Allocator.RANDOM)
ROUGH = Weather(loss=0.05, jitter_s=0.01)


def run(dialer, exposer, *, seed=1, until=20.0, **options):
    scene = GuessingScene(dialer, exposer, seed=seed, **options)
    scene.world.run_until(until, unless=scene.both_direct)
    return scene


def crowd(scene, nat, per_s):
    """Let a neighbour behind a NAT open connections of its own."""
    count = iter(range(1 << 20))

    def send():
        source = scene.dialer.host.host
        n = next(count)
        destination = TransportAddress(f"203.0.114.{n % 250}", 443)
        nat.send(Packet(TransportAddress(source, 40_000 + n % 20_000), destination, b""))
        scene.world.after(scene.world.random.expovariate(per_s), send)

    send()


def paces(guesses_at):
    """The most guesses within any second."""
    return max(sum(start <= at < start + 1.0 for at in guesses_at) for start in guesses_at)


@pytest.mark.parametrize("weather", [None, ROUGH], ids=["calm", "rough"])
@pytest.mark.parametrize(
    ("dialer", "exposer"),
    [(SEQUENTIAL, PORT), (PORT, SEQUENTIAL), (SEQUENTIAL, PORT_NP)],
    ids=["seq-port", "port-seq", "seq-portnp"],
)
def test_sequential_meets_port_filtering(dialer, exposer, weather):
    took = []
    for seed in range(60):
        scene = run(dialer, exposer, seed=seed, weather=weather)
        assert scene.both_direct(), seed
        took.append(scene.world.now)
        assert all(len(peer.sockets) <= 1 for peer in scene.peers)
    assert statistics.median(took) < 0.8
    assert max(took) < 4.0


def test_sequential_meets_port_filtering_while_neighbours_take_ports():
    took = []
    for seed in range(40):
        scene = GuessingScene(SEQUENTIAL, PORT, seed=seed)
        crowd(scene, scene.nats[0], per_s=200.0)
        scene.world.run_until(20.0, unless=scene.both_direct)
        assert scene.both_direct(), seed
        took.append(scene.world.now)
    assert statistics.median(took) < 0.8


@pytest.mark.parametrize("weather", [None, ROUGH], ids=["calm", "rough"])
def test_two_sequential_ones_meet(weather):
    took = []
    for seed in range(60):
        scene = run(SEQUENTIAL, SEQUENTIAL, seed=seed, weather=weather)
        assert scene.both_direct(), seed
        took.append(scene.world.now)
        assert all(len(peer.sockets) == 1 for peer in scene.peers)
    assert statistics.median(took) < 0.9
    assert max(took) < 4.0


def test_two_sequential_ones_meet_while_neighbours_take_ports():
    met = 0
    for seed in range(40):
        scene = GuessingScene(SEQUENTIAL, SEQUENTIAL, seed=seed)
        crowd(scene, scene.nats[0], per_s=100.0)
        scene.world.run_until(6.0, unless=scene.both_direct)
        met += scene.both_direct()
    assert met >= 38


@pytest.mark.parametrize(
    ("dialer", "exposer"),
    [(RANDOM, PORT), (PORT, RANDOM), (BY_ADDRESS, PORT_NP)],
    ids=["random-port", "port-random", "address-portnp"],
)
def test_random_meets_port_filtering_by_birthday(dialer, exposer):
    took, most = [], set()
    for seed in range(20):
        scene = run(dialer, exposer, seed=seed)
        assert scene.both_direct(), seed
        took.append(scene.world.now)
        hard, easy = scene.peers if dialer is not PORT else reversed(scene.peers)
        most.add(hard.most_sockets)
        # None when the first guess met the hard side's main socket, which is a door like all others.
        assert len(hard.sockets) <= 1
        assert not easy.sockets
        for peer in scene.peers:
            assert not peer.guesses_at or paces(peer.guesses_at) <= 1.05 / defaults.GUESS_PROBE_INTERVAL_S
    assert statistics.median(took) < 3.0
    assert max(took) < 8.0
    assert max(most) <= defaults.BIRTHDAY_SOCKETS


def test_data_goes_over_the_guessed_path():
    scene = run(RANDOM, PORT)
    for peer in scene.peers:
        peer.send_data(0.02)
    start = scene.world.now
    scene.world.run_for(30.0)
    assert scene.both_direct()
    for peer in scene.peers:
        assert peer.diary.longest_gap_s(start, scene.world.now) < 0.2


@pytest.mark.parametrize("is_dialer", [True, False])
def test_a_range_that_is_known_before_spares_the_questions(is_dialer):
    took = {}
    for known in (None, (FIRST_PORT + 100, FIRST_PORT + RANGE_PORTS - 100)):
        times = []
        for seed in range(60):
            scene = GuessingScene(*((RANGE, PORT) if is_dialer else (PORT, RANGE)), seed=seed)
            hard = scene.dialer if is_dialer else scene.exposer
            hard.port_range = known
            scene.world.run_until(20.0, unless=scene.both_direct)
            assert scene.both_direct(), seed
            times.append(scene.world.now)
        took[known is not None] = statistics.median(times)
    assert took[True] < took[False] < 1.1


@pytest.mark.parametrize("other", [RANDOM, SEQUENTIAL], ids=["random", "sequential"])
def test_random_meets_no_dependent_one_and_nothing_is_spent_on_it(other):
    scene = run(RANDOM, other, until=10.0)
    assert scene.both_relayed()
    for peer in scene.peers:
        assert not peer.guesses_at
        assert not peer.most_sockets
        ((at, reason),) = peer.diary.exhausted
        assert reason.code is RelayReasonCode.BOTH_MAPPINGS_DEPENDENT
        assert at < 2.0


def test_unmeasured_allocation_turns_out_to_be_random():
    scene = GuessingScene(RANDOM, PORT)
    dependent = facts_of(RANDOM)
    scene.dialer.facts = NatFacts(dependent.mapping, dependent.filtering)
    scene.world.run_until(20.0, unless=scene.both_direct)
    assert scene.both_direct()
    assert scene.dialer.most_sockets > defaults.GUESS_WINDOW_SOCKETS


def test_pairs_that_plain_checks_join_guess_nothing():
    for pair in ((PORT, PORT), (RANDOM, NatBehaviour(filtering=Dependence.ADDRESS))):
        scene = run(*pair, until=3.0)
        assert scene.both_direct()
        scene.world.run_for(3.0)
        assert not any(peer.guesses_at for peer in scene.peers)


@pytest.mark.parametrize("side", [0, 1])
def test_a_user_who_wants_no_birthday_stays_on_the_relay(side):
    scene = GuessingScene(RANDOM, PORT)
    peer = scene.peers[side]
    peer.facts = NatFacts(
        peer.facts.mapping, peer.facts.filtering, allocation=peer.facts.allocation, birthday_disabled=True
    )
    scene.world.run_until(5.0)
    assert scene.both_relayed()
    assert not any(peer.guesses_at for peer in scene.peers)
    assert all(peer.diary.exhausted for peer in scene.peers)


def test_the_verdict_waits_for_the_end_of_a_birthday_that_fails_and_then_there_is_a_rest():
    limits = GuessLimits()
    scene = GuessingScene(RANDOM, PORT, limits=limits)
    scene.cut_direct()
    scene.world.run_until(25.0)
    assert scene.both_relayed()
    for peer in scene.peers:
        ((at, reason),) = peer.diary.exhausted
        assert defaults.BIRTHDAY_S < at < defaults.BIRTHDAY_S + 3.0
        assert "port-filtering" in reason.code
        assert not peer.sockets
    assert len(scene.exposer.guesses_at) <= defaults.BIRTHDAY_S / defaults.GUESS_PROBE_INTERVAL_S + 1
    hosts = [nat.host for nat in scene.nats]
    assert {limits.begin_birthday(host, host, scene.world.now) for host in hosts} == {Turn.REFUSED}
    later = scene.world.now + defaults.BIRTHDAY_COOLDOWN_S
    assert {limits.begin_birthday(host, host, later) for host in hosts} == {Turn.GRANTED}


def test_without_a_stun_server_the_plan_ends_soon():
    scene = GuessingScene(RANDOM, PORT)
    scene.stun.silent = True
    scene.world.run_until(6.0)
    assert scene.both_relayed()
    assert all(peer.diary.exhausted for peer in scene.peers)
    assert not scene.dialer.sockets


def test_a_guessed_path_that_is_lost_is_guessed_again():
    scene = run(SEQUENTIAL, PORT)
    scene.world.run_for(15.0)
    scene.nats[0].reboot()
    scene.world.run_for(40.0, unless=lambda: not scene.both_direct())
    assert not scene.both_direct()
    scene.world.run_for(20.0, unless=scene.both_direct)
    assert scene.both_direct()


@pytest.mark.parametrize(
    ("dialer", "exposer", "by_s"),
    [(SEQUENTIAL, PORT, 30.0), (SEQUENTIAL, SEQUENTIAL, 30.0), (RANDOM, PORT, 110.0), (PORT, RANDOM, 110.0)],
    ids=["window", "meeting", "birthday", "birthday-there"],
)
def test_what_failed_by_bad_luck_is_tried_again(dialer, exposer, by_s):
    scene = GuessingScene(dialer, exposer)
    hinted = [peer.hinted for peer in scene.peers]
    for peer in scene.peers:
        peer.hinted = lambda value: None
    scene.world.run_until(20.0)
    assert not scene.both_direct()
    for peer, hear in zip(scene.peers, hinted, strict=True):
        peer.hinted = hear
    scene.world.run_until(by_s, unless=scene.both_direct)
    assert scene.both_direct()


def test_the_pauses_between_attempts_get_longer():
    scene = GuessingScene(SEQUENTIAL, PORT)
    for peer in scene.peers:
        peer.hinted = lambda value: None
    scene.world.run_until(600.0)
    begun = [at for at, before in pairwise([0.0, *scene.peers[0].guesses_at][::-1]) if at - before > 10.0][::-1]
    assert [round(later - earlier) for earlier, later in pairwise(begun)] == pytest.approx([43, 83, 163], abs=4)
