"""The controller's own business: optimistic paths, events, reports. Behaviour over time is in tests/simnet."""

from __future__ import annotations

import random

from p2p import defaults
from p2p.address import TransportAddress
from p2p.proto.ice import Candidate, CandidateType, Credentials, RelayProtocol
from p2p.proto.path import (
    AllPathsLost,
    ChecksExhausted,
    NatFacts,
    PathAdded,
    PathController,
    PathKind,
    PathLost,
    PathSelected,
    SelectionReason,
)

A_HOST, A_RELAY = TransportAddress("192.0.2.1", 1), TransportAddress("203.0.113.1", 11)
B_HOST, B_RELAY = TransportAddress("192.0.2.2", 2), TransportAddress("203.0.113.2", 22)


class Pair:
    """Two controllers; a packet arrives 10 ms later at whoever has the address, unless it is dead."""

    def __init__(self, **options):
        rng = random.Random(7)
        self.now = 50.0
        self.dead = set()
        self.flying = []
        self.events = {}
        self.a, self.b = (
            PathController(
                local=Credentials.generate(rng.randbytes),
                controlling=controlling,
                random_bytes=rng.randbytes,
                **options,
            )
            for controlling in (True, False)
        )
        self.addresses = {self.a: {0: A_HOST, 1: A_RELAY}, self.b: {0: B_HOST, 1: B_RELAY}}

    def candidates(self, *, host=True, relay=True, protocol=RelayProtocol.UDP):
        for controller, other in ((self.a, self.b), (self.b, self.a)):
            made = []
            if host:
                made.append(Candidate.local(CandidateType.HOST, self.addresses[controller][0], 0))
            if relay:
                made.append(
                    Candidate.local(CandidateType.RELAYED, self.addresses[controller][1], 1, relay_protocol=protocol)
                )
            for candidate in made:
                controller.add_local_candidate(candidate)
                other.add_remote_candidate(Candidate.from_wire_untrusted(candidate.to_wire()))

    def introduce(self):
        self.a.set_remote_credentials(self.b.agent.local_credentials)
        self.b.set_remote_credentials(self.a.agent.local_credentials)

    def run(self, duration_s):
        end = self.now + duration_s
        while self.now < end:
            self.now += 0.005
            due = [packet for packet in self.flying if packet[0] <= self.now]
            self.flying = [packet for packet in self.flying if packet[0] > self.now]
            for _, source, destination, data in due:
                for controller, addresses in self.addresses.items():
                    for base_id, address in addresses.items():
                        if address == destination:
                            controller.receive_stun(data, source, base_id, self.now)
            for controller in self.addresses:
                timer = controller.get_timer()
                if timer is not None and timer <= self.now:
                    controller.handle_timer(self.now)
                self.collect(controller)

    def collect(self, controller):
        for base_id, destination, data in controller.transmits(self.now):
            source = self.addresses[controller].get(base_id)
            if source is not None and not {source, destination} & self.dead:
                self.flying.append((self.now + 0.01, source, destination, data))
        events = self.events.setdefault(controller, [])
        while (event := controller.next_event()) is not None:
            events.append(event)

    def of(self, controller, kind):
        return [event for event in self.events.get(controller, []) if isinstance(event, kind)]


def connected(**options):
    pair = Pair(**options)
    pair.candidates()
    pair.introduce()
    pair.run(0.3)
    return pair


def test_nothing_to_send_on_before_anything_is_known():
    pair = Pair()
    assert pair.a.sending_paths == ()
    assert pair.a.get_timer() is None
    assert not pair.a.sent(pair.now)
    pair.a.path_alive(0, B_HOST, pair.now)


def test_an_optimistic_path_is_used_until_one_is_validated():
    pair = Pair()
    pair.candidates()
    pair.a.set_optimistic(1, B_RELAY)
    (path,) = pair.a.sending_paths
    assert (path.key, path.kind, path.validated) == ((1, B_RELAY), PathKind.RELAY, False)
    pair.collect(pair.a)
    assert pair.of(pair.a, PathSelected)[0].reason is SelectionReason.OPTIMISTIC
    pair.introduce()
    pair.run(0.3)
    selected = pair.of(pair.a, PathSelected)
    assert selected[1].previous == path
    assert selected[-1].path.is_direct
    pair.a.set_optimistic(1, B_RELAY)
    assert pair.a.selected_path.is_direct


def test_an_optimistic_path_knows_its_kind():
    pair = Pair()
    pair.candidates(protocol=RelayProtocol.TLS)
    pair.a.set_optimistic(0, B_HOST)
    assert pair.a.selected_path.kind is PathKind.DIRECT
    pair.a.set_optimistic(1, B_RELAY)
    assert pair.a.selected_path.relay_protocol is RelayProtocol.TLS
    pair.a.set_optimistic(9, B_RELAY)
    assert pair.a.selected_path.kind is PathKind.RELAY


def test_the_relay_comes_first_when_direct_is_late():
    pair = Pair()
    pair.dead = {A_HOST}
    pair.candidates()
    pair.introduce()
    pair.run(0.3)
    assert pair.a.selected_path.kind is PathKind.RELAY
    pair.dead = set()
    pair.run(1.0)
    assert pair.a.selected_path == pair.of(pair.a, PathSelected)[-1].path
    assert pair.of(pair.a, PathSelected)[-1].reason is SelectionReason.DIRECT
    assert pair.a.has_direct_path


def test_the_controlling_side_nominates_what_it_selects():
    pair = connected()
    for controller in (pair.a, pair.b):
        (nominated,) = [report for report in controller.report() if report.nominated]
        assert nominated.selected
        assert not nominated.relayed


def test_report_tells_of_each_pair_best_first():
    pair = connected()
    report = pair.a.report()
    assert len(report) == 4
    assert report[0].state == "succeeded"
    assert (report[0].local, report[0].remote) == (A_HOST, B_HOST)
    assert report[0].rtt_s is not None
    assert [entry.relayed for entry in report] == [False, True, True, True]
    assert [entry.selected for entry in report] == [True, False, False, False]


def test_paths_tell_how_they_are_doing():
    pair = connected()
    statuses = {status.path.key: status for status in pair.a.paths(pair.now)}
    assert len(statuses) == 4
    direct = statuses[0, B_HOST]
    assert direct.in_use
    assert not direct.doubtful
    assert 0.0 < direct.min_rtt_s <= direct.rtt_s < 0.1
    assert pair.a.rtt_s(direct.path) == direct.rtt_s
    assert len(pair.of(pair.a, PathAdded)) == 4


def test_a_closed_transport_moves_the_traffic():
    pair = connected()
    pair.a.remove_base(0, pair.now)
    pair.collect(pair.a)
    assert {event.path.key for event in pair.of(pair.a, PathLost)} == {(0, B_HOST), (0, B_RELAY)}
    assert pair.a.selected_path.kind is PathKind.RELAY
    assert pair.of(pair.a, PathSelected)[-1].reason is SelectionReason.LOST
    pair.a.remove_base(1, pair.now)
    pair.collect(pair.a)
    assert pair.of(pair.a, AllPathsLost)
    assert not pair.a.selected_path.validated
    assert pair.a.rtt_s(pair.a.selected_path) is None


def test_an_address_that_the_peer_left_is_not_relied_upon():
    pair = connected()
    pair.a.remove_remote_candidate(B_HOST, pair.now)
    assert {path.remote for path in pair.a.sending_paths} == {B_HOST, B_RELAY}
    pair.run(0.1)
    assert [path.remote for path in pair.a.sending_paths] == [B_HOST], "the peer answers there all the same"
    pair.dead.add(B_HOST)
    pair.a.remove_remote_candidate(B_HOST, pair.now)
    pair.run(3)
    assert [path.remote for path in pair.a.sending_paths] == [B_RELAY]


def test_an_address_that_the_peer_left_is_not_tried_again():
    pair = Pair()
    pair.dead |= {A_HOST, B_HOST}
    pair.candidates()
    pair.introduce()
    pair.run(1)
    pair.a.remove_remote_candidate(B_HOST, pair.now)
    assert B_HOST not in {line.remote for line in pair.a.report()}
    assert B_RELAY in {line.remote for line in pair.a.report()}


def test_the_return_of_the_only_path_is_told():
    pair = Pair()
    pair.candidates(relay=False)
    pair.introduce()
    pair.run(0.2)
    pair.dead = {A_HOST}
    pair.run(12.0)
    assert pair.of(pair.a, AllPathsLost)
    assert pair.a.sending_paths
    pair.dead = set()
    pair.run(4.0)
    last = pair.of(pair.a, PathSelected)[-1]
    assert (last.reason, last.path.validated) == (SelectionReason.FIRST, True)
    assert pair.a.sending_paths == (last.path,)


def test_exhaustion_is_told_once():
    pair = Pair()
    pair.candidates()
    pair.dead = {A_HOST}
    pair.introduce()
    for controller in (pair.a, pair.b):
        controller.end_of_candidates(local=True, remote=True)
    pair.run(20.0)
    (event,) = pair.of(pair.a, ChecksExhausted)
    assert {entry.reason for entry in event.report if not entry.relayed} == {"unanswered"}


def test_hopeless_checks_are_told_early_and_go_on():
    pair = Pair()
    pair.candidates()
    pair.dead = {A_HOST}
    pair.introduce()
    pair.a.set_nat_facts(NatFacts(udp_blocked=True), NatFacts(), pair.now)
    pair.run(defaults.PATH_HOPELESS_S + 0.1)
    assert len(pair.of(pair.a, ChecksExhausted)) == 1
    pair.dead = set()
    pair.run(1.0)
    assert pair.a.selected_path.is_direct


def test_direct_disabled_uses_relays_only():
    pair = connected(direct_enabled=False)
    assert pair.a.selected_path.kind is PathKind.RELAY
    assert not pair.a.has_direct_path
    assert len(pair.of(pair.a, ChecksExhausted)) == 1
    assert all(entry.relayed for entry in pair.a.report())


def test_a_path_that_turns_out_to_be_a_relays_is_reclassified():
    pair = Pair()
    pair.candidates(relay=False)
    pair.introduce()
    pair.run(0.2)
    pair.a.add_remote_candidate(
        Candidate.from_wire_untrusted(Candidate.local(CandidateType.RELAYED, B_HOST, 0).to_wire())
    )
    pair.run(0.1)
    last = pair.of(pair.a, PathSelected)[-1]
    assert (last.reason, last.path.kind) == (SelectionReason.RECLASSIFIED, PathKind.RELAY)
    assert not pair.a.has_direct_path


def test_sending_moves_the_timer_once_a_silence():
    pair = connected()
    pair.run(2.0)
    before = pair.a.get_timer()
    assert pair.a.sent(pair.now)
    assert not pair.a.sent(pair.now)
    assert pair.a.get_timer() < before
    pair.a.path_alive(0, B_HOST, pair.now)
    assert pair.a.sent(pair.now)
