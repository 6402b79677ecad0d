"""Connectivity checks for any candidate, any bytes and any order of events."""

from __future__ import annotations

import random
import string

from hypothesis import given, settings
from hypothesis import strategies as st

from p2p import defaults
from p2p.address import TransportAddress
from p2p.errors import DecodeError
from p2p.proto.ice import (
    Candidate,
    CandidatePair,
    CandidateType,
    Credentials,
    IceAgent,
    PairState,
    RelayProtocol,
    receiver_fragment_untrusted,
)
from p2p.proto.path import NatFacts, Path, PathKind, PathView, SelectionReason, choose, why_relayed

hosts = st.one_of(
    st.ip_addresses(v=4).filter(
        lambda ip: not ip.is_multicast and not ip.is_unspecified and str(ip) != "255.255.255.255"
    ),
    st.ip_addresses(v=6).filter(lambda ip: not ip.is_multicast and not ip.is_unspecified and ip.ipv4_mapped is None),
).map(str)
addresses = st.builds(TransportAddress, hosts, st.integers(1, 65535))
candidates = st.builds(
    lambda kind, address, related, preference, protocol: Candidate.local(
        kind,
        address,
        0,
        related=related,
        local_preference=preference,
        relay_protocol=protocol if kind is CandidateType.RELAYED else RelayProtocol.UDP,
    ),
    st.sampled_from(CandidateType),
    addresses,
    st.none() | addresses,
    st.integers(0, 65535),
    st.sampled_from(RelayProtocol),
)


@given(candidates)
def test_a_candidate_survives_its_line(candidate):
    read = Candidate.from_wire_untrusted(candidate.to_wire())
    assert read.to_wire() == candidate.to_wire()
    assert (read.type, read.address, read.related, read.priority, read.foundation, read.relay_protocol) == (
        candidate.type,
        candidate.address,
        candidate.related,
        candidate.priority,
        candidate.foundation,
        candidate.relay_protocol,
    )


words = st.sampled_from(
    ["candidate:1", "1", "udp", "typ", "host", "relay", "raddr", "rport", "192.0.2.1", "5", "x", "-1"]
)


@given(st.text() | st.lists(words, max_size=16).map(" ".join))
def test_any_text_is_a_candidate_or_a_decode_error(text):
    try:
        candidate = Candidate.from_wire_untrusted(text)
    except DecodeError:
        return
    assert Candidate.from_wire_untrusted(candidate.to_wire()) == candidate


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(string.printable, max_size=30),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=12), children, max_size=4),
    max_leaves=8,
)
named = st.dictionaries(
    st.sampled_from(
        ["ufrag", "password", "mapping", "filtering", "udp_blocked", "port_step", "allocation", "dependent"]
    ),
    json_values,
)


@given(json_values | named)
def test_any_json_is_a_value_or_a_decode_error(value):
    for decode in (Credentials.from_wire_untrusted, NatFacts.from_wire_untrusted):
        try:
            decoded = decode(value)
        except DecodeError:
            continue
        assert decode(decoded.to_wire()) == decoded


@given(st.binary(max_size=200))
def test_any_bytes_have_a_receiver_or_none(data):
    try:
        receiver_fragment_untrusted(data)
    except DecodeError:
        return


@given(candidates, candidates)
def test_priority_is_symmetric_and_orders_by_the_lesser_candidate(ours, theirs):
    here, there = CandidatePair(ours, theirs), CandidatePair(theirs, ours)
    for controlling in (True, False):
        assert here.priority(controlling=controlling) == there.priority(controlling=not controlling)
    assert here.priority(controlling=True) >> 32 in (
        min(ours.priority, theirs.priority),
        min(ours.priority, theirs.priority) + 1,
    )


class Wire:
    """Two agents whose packets are delivered, lost, repeated or bent as the test wants."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.now = 0.0
        self.agents = [
            IceAgent(
                local=Credentials.generate(self.random.randbytes),
                controlling=controlling,
                random_bytes=self.random.randbytes,
            )
            for controlling in (self.random.random() < 0.5, self.random.random() < 0.5)
        ]
        self.bases = [{}, {}]
        self.flying = []

    def add(self, side, number):
        candidate = Candidate.local(CandidateType.HOST, TransportAddress(f"10.0.{side}.1", 1000 + number), number)
        self.bases[side][number] = candidate.address
        self.agents[side].add_local_candidate(candidate)
        return candidate

    def collect(self):
        for side, agent in enumerate(self.agents):
            for base_id, destination, data in agent.transmits(self.now):
                source = self.bases[side].get(base_id)
                if source is not None:
                    self.flying.append((source, destination, data))
            while agent.next_event() is not None:
                pass

    def deliver(self, number, twist):
        if not self.flying:
            return
        source, destination, data = self.flying[number % len(self.flying)]
        if twist != "repeat":
            self.flying.pop(number % len(self.flying))
        if twist == "lose":
            return
        if twist == "bend":
            position = number % len(data)
            data = data[:position] + bytes([data[position] ^ (number & 0xFF or 1)]) + data[position + 1 :]
        if twist == "move":
            source = TransportAddress("203.0.113.1", number % 65535 + 1)
        for side, agent in enumerate(self.agents):
            for base_id, address in self.bases[side].items():
                if address == destination:
                    agent.receive_stun(data, source, base_id, self.now)

    def check(self):
        for agent in self.agents:
            assert len(agent.check_list) <= defaults.ICE_MAX_PAIRS
            assert len({pair.key for pair in agent.check_list}) == len(agent.check_list)
            assert sum(pair.nominated for pair in agent.check_list) <= 1
            for pair in agent.check_list:
                assert pair.local.address.is_ipv6 == pair.remote.address.is_ipv6
                if pair.nominated:
                    assert pair.state is PairState.SUCCEEDED


steps = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "deliver",
                "lose",
                "repeat",
                "bend",
                "move",
                "tick",
                "local",
                "remote",
                "meet",
                "close",
                "nominate",
                "ping",
            ]
        ),
        st.integers(0, 1 << 16),
    ),
    max_size=80,
)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 30), steps)
def test_no_order_of_events_breaks_an_agent_and_a_calm_network_connects(seed, plan):
    wire = Wire(seed)
    for step, number in plan:
        side = number % 2
        agent, other = wire.agents[side], wire.agents[1 - side]
        if step == "tick":
            wire.now += number / 65536
            for each in wire.agents:
                each.handle_timer(wire.now)
        elif step == "local":
            wire.add(side, number % 4)
        elif step == "remote":
            candidate = Candidate.local(
                CandidateType.HOST, TransportAddress(f"10.0.{1 - side}.1", 1000 + number % 6), 0
            )
            agent.add_remote_candidate(Candidate.from_wire_untrusted(candidate.to_wire()))
        elif step == "meet":
            agent.set_remote_credentials(other.local_credentials)
        elif step == "close":
            agent.remove_base(number % 4)
            wire.bases[side].pop(number % 4, None)
        elif step in ("nominate", "ping"):
            valid = [pair for pair in agent.check_list if pair.state is PairState.SUCCEEDED]
            if valid and step == "ping":
                agent.ping(valid[number % len(valid)], wire.now)
            elif valid and agent.controlling:
                agent.nominate(valid[number % len(valid)], wire.now)
        else:
            wire.deliver(number, step)
        wire.collect()
        wire.check()
    # whatever has happened: one good address each, and the two must find each other
    wire.flying.clear()
    for side in range(2):
        wire.add(side, 7)
    for side, agent in enumerate(wire.agents):
        agent.set_remote_credentials(wire.agents[1 - side].local_credentials)
        good = Candidate.local(CandidateType.HOST, wire.bases[1 - side][7], 7)
        agent.add_remote_candidate(Candidate.from_wire_untrusted(good.to_wire()))
    for _ in range(300):
        wire.now += 0.01
        for agent in wire.agents:
            agent.handle_timer(wire.now)
        wire.collect()
        while wire.flying:
            wire.deliver(0, "deliver")
        wire.collect()
    wire.check()
    for side, agent in enumerate(wire.agents):
        assert agent.find_pair(7, wire.bases[1 - side][7]).state is PairState.SUCCEEDED
    assert wire.agents[0].controlling is not wire.agents[1].controlling


views = st.lists(
    st.builds(
        PathView,
        st.builds(
            Path,
            st.integers(0, 3),
            st.sampled_from([TransportAddress("192.0.2.1", 1), TransportAddress("2001:db8::1", 1)]),
            st.sampled_from(PathKind),
            st.sampled_from(RelayProtocol),
        ),
        st.none() | st.floats(0.0001, 2.0),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    unique_by=lambda view: view.path.key,
    min_size=1,
    max_size=6,
)


@given(views, st.integers(0, 5))
def test_a_choice_is_stable_and_never_gives_up_direct_for_a_relay(offered, number):
    current = offered[number % len(offered)].path
    choice = choose(offered, current)
    assert choice is not None
    assert any(view.path == choice.path for view in offered)
    assert (choice.reason is SelectionReason.KEPT) == (choice.path == current)
    if current.is_direct:
        assert choice.path.is_direct
    again = choose(offered, choice.path)
    assert again is not None
    assert again.path == choice.path


facts = named.map(lambda value: NatFacts.from_wire_untrusted(value))


@given(facts, facts)
def test_every_pair_of_facts_has_a_reason(local, remote):
    reason = why_relayed(local, remote)
    assert reason.text
    assert reason.remedy
