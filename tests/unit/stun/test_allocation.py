"""How a NAT picks ports, concluded from a burst of new mappings."""

from random import Random

import pytest

from p2p.proto.stun.allocation import Allocation, PortAllocation, PortSample, is_preserved, judge_allocation

RUNS = 300


def inside(random):
    """Pairs of neighbouring ports, as the sockets are opened: see ``p2p.gather.nat``."""
    ports = [random.randrange(32768, 60998), random.randrange(16384, 32767)]
    for pair in range(8):
        first = random.randrange(32768, 60996)
        first += (first ^ ports[-1]) & 1
        ports += [first, first + 1 if pair % 2 == 0 else first - 1]
    return ports


def samples(random, outside):
    return [PortSample(local, outside(local)) for local in inside(random)]


def counter(random, step, busy=0.0):
    port = random.randrange(20000, 40000)

    def take(_):
        nonlocal port
        while True:
            port += step
            if random.random() >= busy:
                return port

    return take


@pytest.mark.parametrize("busy", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("step", [1, 2, -1, 4])
def test_sequential(step, busy):
    for seed in range(RUNS):
        random = Random(seed)
        verdict = judge_allocation(samples(random, counter(random, step, busy)))
        assert verdict.kind is PortAllocation.SEQUENTIAL
        assert verdict.step == step
        assert verdict.keeps_parity is not True
        assert verdict.keeps_contiguity is False


@pytest.mark.parametrize("size", [64512, 2048, 512, 128])
def test_random(size):
    for seed in range(RUNS):
        random = Random(seed)
        verdict = judge_allocation(samples(random, lambda _, random=random: 1024 + random.randrange(size)))
        assert verdict.kind in (PortAllocation.RANDOM, PortAllocation.UNKNOWN)
        assert verdict.kind is PortAllocation.RANDOM or size < 512
        assert verdict.keeps_parity is not True
        assert verdict.port_range[0] >= 1024
        assert verdict.port_range[1] < 1024 + size


def test_questions_that_come_late_do_not_hide_the_sequence():
    for seed in range(RUNS):
        random = Random(seed)
        seen = samples(random, counter(random, 1, 0.2))
        for late in random.sample(range(len(seen)), 2):
            seen[late] = seen[late]._replace(mapped=max(sample.mapped for sample in seen) + 1)
        verdict = judge_allocation([sample for sample in seen if random.random() > 0.1])
        assert verdict.kind is PortAllocation.SEQUENTIAL
        assert verdict.step == 1


def test_counter_that_goes_back_to_its_start():
    locals_ = inside(Random(1))
    mapped = [*range(60994, 61000), *range(50000, 50012)]
    verdict = judge_allocation([PortSample(*both) for both in zip(locals_, mapped, strict=True)])
    assert (verdict.kind, verdict.step) == (PortAllocation.SEQUENTIAL, 1)


def test_preserving_with_some_ports_in_use():
    seen = samples(Random(1), lambda local: local)
    seen[3] = seen[3]._replace(mapped=1025)
    assert judge_allocation(seen).kind is PortAllocation.PRESERVING
    assert is_preserved(seen)
    assert is_preserved([]) is None


def test_kept_for_the_first_destination_only():
    seen = samples(Random(1), lambda local: local)
    further = [PortSample(seen[0].local, port) for port in (4001, 4002, 4003, 4004)]
    verdict = judge_allocation(seen, further)
    assert (verdict.kind, verdict.step) == (PortAllocation.SEQUENTIAL, 1)


def test_parity_and_contiguity():
    def even_stays_even(local):
        return random.randrange(10000, 20000) * 2 + local % 2

    random = Random(3)
    verdict = judge_allocation(samples(random, even_stays_even))
    assert verdict.kind is PortAllocation.RANDOM
    assert verdict.keeps_parity is True
    assert verdict.keeps_contiguity is False
    shifted = judge_allocation(samples(Random(4), lambda local: local + 2001))
    assert shifted.keeps_parity is False
    assert shifted.keeps_contiguity is True


@pytest.mark.parametrize("busy", [0.0, 0.3])
def test_two_counters(busy):
    for seed in range(RUNS):
        random = Random(seed)
        first = random.randrange(10000, 20000) * 2
        even, odd = (iter(range(start, 65536, 2)) for start in (first, first + 2 * random.randrange(50) + 1))

        def take(local, even=even, odd=odd, random=random):
            while random.random() < busy:
                next(random.choice((even, odd)))
            return next(odd if local % 2 else even)

        verdict = judge_allocation(samples(random, take))
        assert (verdict.kind, verdict.step) == (PortAllocation.SEQUENTIAL, 2)
        assert verdict.keeps_parity is True


@pytest.mark.parametrize("busy", [0.0, 0.05, 0.2])
def test_one_counter_is_never_taken_for_one_that_keeps_parity(busy):
    for seed in range(20 * RUNS):
        random = Random(seed)
        seen = samples(random, counter(random, 1, busy))
        if seed % 2:
            # A mapping of a former socket.
            seen[seed % 18] = seen[seed % 18]._replace(mapped=seen[0].mapped - 400 + seed % 18 % 2)
        verdict = judge_allocation(seen)
        assert (verdict.step, verdict.keeps_parity) == (1, False)


def test_two_counters_side_by_side_keep_no_neighbours():
    even, odd = iter(range(30000, 31000, 2)), iter(range(30001, 31001, 2))
    pairs = [(4000, 4001), (4101, 4100), (4200, 4201), (4301, 4300), (4400, 4401), (4501, 4500), (4600, 4601)]
    seen = [PortSample(local, next(odd if local % 2 else even)) for pair in pairs for local in pair]
    verdict = judge_allocation(seen)
    assert (verdict.step, verdict.keeps_parity, verdict.keeps_contiguity) == (2, True, None)


def test_too_little_is_unknown():
    assert judge_allocation([]) == Allocation()
    few = [PortSample(5000, 6000), PortSample(5001, 6001), PortSample(5002, 6002)]
    verdict = judge_allocation(few)
    assert (verdict.kind, verdict.keeps_parity) == (PortAllocation.UNKNOWN, None)
    # One question has no neighbour.
    assert judge_allocation(few[:1]).keeps_contiguity is None
