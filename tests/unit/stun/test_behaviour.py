from itertools import count
from random import Random

import pytest

from p2p.errors import LocalProtocolError
from p2p.proto.stun.behaviour import BehaviourDiscovered, BehaviourDiscovery, BehaviourUpdated
from p2p.proto.stun.nat import FilteringBehaviour, MappingBehaviour, PortAllocation
from tests.support.nat_box import EXTERNAL_HOST, LOCAL, SERVER, NatBox, discover, transaction_ids

MAPPINGS = [
    MappingBehaviour.ENDPOINT_INDEPENDENT,
    MappingBehaviour.ADDRESS_DEPENDENT,
    MappingBehaviour.ADDRESS_AND_PORT_DEPENDENT,
]
FILTERINGS = [
    FilteringBehaviour.ENDPOINT_INDEPENDENT,
    FilteringBehaviour.ADDRESS_DEPENDENT,
    FilteringBehaviour.ADDRESS_AND_PORT_DEPENDENT,
]
INDEPENDENT = MappingBehaviour.ENDPOINT_INDEPENDENT


def ports(first=20000, step=1):
    numbers = count(first, step)
    return lambda _: next(numbers)


def final(*args, **options):
    events, _ = discover(*args, **options)
    assert [type(event) for event in events][-1] is BehaviourDiscovered
    assert all(type(event) is BehaviourUpdated for event in events[:-1])
    return events[-1].behaviour


@pytest.mark.parametrize("filtering", FILTERINGS)
@pytest.mark.parametrize("mapping", MAPPINGS)
def test_each_nat_is_recognised(mapping, filtering):
    behaviour = final(NatBox(mapping, filtering, ports()))
    assert behaviour.udp is True
    assert behaviour.translated is True
    assert behaviour.mapping is mapping
    assert behaviour.mapping_is_dependent is (mapping is not INDEPENDENT)
    assert behaviour.filtering is filtering
    assert behaviour.port_preserved is False
    assert behaviour.mapped_address.host == EXTERNAL_HOST
    assert behaviour.round_trip_s == pytest.approx(0.04)


@pytest.mark.parametrize("filtering", FILTERINGS)
def test_no_nat_with_a_firewall(filtering):
    behaviour = final(NatBox(MappingBehaviour.UNKNOWN, filtering))
    assert behaviour.translated is False
    assert behaviour.mapping is INDEPENDENT
    assert behaviour.filtering is filtering
    assert behaviour.allocation is PortAllocation.PRESERVING
    assert behaviour.mapped_address == LOCAL[0]
    assert behaviour.hairpinning is None


def test_blocked_udp_is_told_within_three_seconds():
    events, took_s = discover(NatBox(INDEPENDENT, FilteringBehaviour.UNKNOWN))
    assert took_s == pytest.approx(3.0)
    assert events[-1].behaviour.udp is False
    assert events[-1].behaviour.mapping is MappingBehaviour.UNKNOWN
    assert events[-1].behaviour.filtering is FilteringBehaviour.UNKNOWN


def test_mapping_is_told_after_two_round_trips_and_filtering_by_1_4_s():
    events, took_s = discover(NatBox(INDEPENDENT, FILTERINGS[2], hairpin=True))
    assert took_s == pytest.approx(1.4)
    updates = [event.behaviour for event in events]
    assert updates[-2].mapping is INDEPENDENT
    assert updates[-2].filtering is FilteringBehaviour.UNKNOWN


@pytest.mark.parametrize("hairpin", [True, False])
@pytest.mark.parametrize("filtering", FILTERINGS)
def test_hairpinning(hairpin, filtering):
    assert final(NatBox(INDEPENDENT, filtering, hairpin=hairpin)).hairpinning is hairpin


def test_hairpinning_of_a_dependent_mapping_is_not_concluded():
    assert final(NatBox(MAPPINGS[2], FILTERINGS[2], ports(), hairpin=True)).hairpinning is None


def scattered(low=1024, high=65535, seed=1):
    random = Random(seed)
    return lambda _: random.randint(low, high)


@pytest.mark.parametrize(
    ("next_port", "allocation", "step"),
    [
        (lambda port: port, PortAllocation.PRESERVING, None),
        (ports(step=1), PortAllocation.SEQUENTIAL, 1),
        (ports(step=2), PortAllocation.SEQUENTIAL, 2),
        (ports(step=-2), PortAllocation.SEQUENTIAL, -2),
        (scattered(), PortAllocation.RANDOM, None),
        (scattered(30000, 30500), PortAllocation.RANDOM, None),
    ],
)
def test_allocation(next_port, allocation, step):
    behaviour = final(NatBox(MAPPINGS[2], FILTERINGS[2], next_port))
    assert behaviour.allocation is allocation
    assert behaviour.port_step == step
    assert behaviour.port_preserved is (allocation is PortAllocation.PRESERVING)
    assert (behaviour.port_range is None) is (allocation is PortAllocation.PRESERVING)


@pytest.mark.parametrize("step", [1, 2, -1])
@pytest.mark.parametrize("seed", range(10))
def test_sequence_is_seen_through_others_traffic_and_loss(seed, step):
    random = Random(seed)
    nat = NatBox(MAPPINGS[2], FILTERINGS[2], ports(step=step), taken=lambda: random.choice((0, 0, 0, 1, 2)))
    behaviour = final(nat, lost=lambda _: random.random() < 0.1)
    assert behaviour.allocation is PortAllocation.SEQUENTIAL
    assert behaviour.port_step == step


def test_allocation_is_told_after_one_round_trip():
    events, _ = discover(NatBox(MAPPINGS[2], FILTERINGS[2], ports()))
    first = next(event.behaviour for event in events if event.behaviour.allocation is not PortAllocation.UNKNOWN)
    assert first.filtering is FilteringBehaviour.UNKNOWN
    assert all(event.behaviour.allocation in (PortAllocation.UNKNOWN, PortAllocation.SEQUENTIAL) for event in events)


def test_pool_of_outside_addresses_is_seen():
    behaviour = final(NatBox(INDEPENDENT, FILTERINGS[0]))
    assert behaviour.mapped_hosts == (EXTERNAL_HOST,)


class TestServerThatPromisesTooMuch:
    """It names a second address, and cannot be reached there."""

    def test_silence_of_an_address_that_is_not_there_is_no_filter(self):
        behaviour = final(NatBox(INDEPENDENT, FILTERINGS[0], ports()), reachable=SERVER[:1])
        assert behaviour.filtering is FilteringBehaviour.UNKNOWN
        assert behaviour.answers_from_other_port is None
        assert behaviour.mapping is MappingBehaviour.UNKNOWN


class TestServerWithOneIp:
    """Filtering by address, and whether the mapping depends on the address, cannot be known."""

    SERVER = SERVER[:2]

    def test_independent_looks_as_if_by_address(self):
        behaviour = final(NatBox(INDEPENDENT, FILTERINGS[0], ports()), self.SERVER, asked=self.SERVER)
        assert behaviour.mapping is MappingBehaviour.UNKNOWN
        assert behaviour.mapping_is_dependent is None
        assert behaviour.filtering is FilteringBehaviour.UNKNOWN
        assert behaviour.answers_from_other_port is True
        assert behaviour.answers_from_other_ip is None

    def test_dependence_on_the_port_is_known(self):
        behaviour = final(NatBox(MAPPINGS[2], FILTERINGS[2], ports()), self.SERVER, asked=self.SERVER)
        assert behaviour.mapping is MappingBehaviour.ADDRESS_AND_PORT_DEPENDENT
        assert behaviour.filtering is FilteringBehaviour.ADDRESS_AND_PORT_DEPENDENT

    def test_another_server_tells_the_rest_of_the_mapping(self):
        servers = [SERVER[0], SERVER[1], SERVER[2]._replace(port=9999)]
        behaviour = final(NatBox(MAPPINGS[1], FILTERINGS[0], ports()), servers, asked=servers)
        assert behaviour.mapping is MappingBehaviour.ADDRESS_DEPENDENT


def test_plain_server_leaves_all_but_the_address_unknown():
    behaviour = final(NatBox(INDEPENDENT, FILTERINGS[2], ports()), SERVER[:1])
    assert behaviour.udp is True
    assert behaviour.mapping is MappingBehaviour.UNKNOWN
    assert behaviour.filtering is FilteringBehaviour.UNKNOWN
    assert behaviour.answers_from_other_port is None


def test_dependence_is_known_from_two_servers_though_not_on_what():
    servers = [SERVER[0], SERVER[2]]
    behaviour = final(NatBox(MAPPINGS[1], FILTERINGS[0], ports()), servers, asked=servers)
    assert behaviour.mapping is MappingBehaviour.UNKNOWN
    assert behaviour.mapping_is_dependent is True


@pytest.mark.parametrize("seed", range(20))
def test_loss_of_a_tenth_does_not_change_the_verdict(seed):
    random = Random(seed)
    behaviour = final(NatBox(MAPPINGS[1], FILTERINGS[1], ports()), lost=lambda _: random.random() < 0.1)
    assert behaviour.mapping is MAPPINGS[1]
    assert behaviour.filtering is FILTERINGS[1]


def test_silence_says_nothing_where_ordinary_answers_are_slow():
    behaviour = final(NatBox(INDEPENDENT, FILTERINGS[2]), round_trip_s=0.75)
    assert behaviour.filtering is FilteringBehaviour.UNKNOWN
    assert behaviour.mapping is INDEPENDENT


def test_a_host_that_was_busy_at_first_asks_again():
    slow = iter([0.9] * 60)
    events, took_s = discover(NatBox(INDEPENDENT, FILTERINGS[2]), round_trip_s=lambda: next(slow, 0.04))
    assert events[-1].behaviour.filtering is FILTERINGS[2]
    assert took_s < 4.0


def test_unspecified_local_address_leaves_open_whether_there_is_a_nat():
    local = [address._replace(host="0.0.0.0") for address in LOCAL]
    machine = BehaviourDiscovery(SERVER, local, transaction_ids())
    machine.start(0.0)
    assert machine.behaviour.translated is None


def test_too_few_sockets_are_refused():
    with pytest.raises(LocalProtocolError):
        BehaviourDiscovery(SERVER, LOCAL[:1], transaction_ids())


def test_garbage_is_nobodys():
    machine = BehaviourDiscovery(SERVER, LOCAL, transaction_ids())
    machine.start(0.0)
    for data in (b"", b"\0" * 20, b"\0\1\0\1\x21\x12\xa4\x42" + bytes(13), b"\0\1\0\0\x21\x12\xa4\x42" + bytes(12)):
        assert not machine.receive_datagram(data, SERVER[0], 0.0)
