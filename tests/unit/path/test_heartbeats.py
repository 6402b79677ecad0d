"""How often paths are kept open, by what is known of the NAT."""

from itertools import cycle

import pytest

from p2p import defaults
from p2p.address import TransportAddress
from p2p.proto.ice import Candidate, CandidatePair, CandidateType
from p2p.proto.path.health import PathHealth
from p2p.proto.path.heartbeats import Heartbeats

USUAL = (defaults.PATH_HEARTBEAT_S, defaults.PATH_STANDBY_HEARTBEAT_S)
OURS = TransportAddress("192.0.2.1", 40_000)


def intervals(heartbeats):
    return heartbeats.used_s, heartbeats.standby_s


@pytest.mark.parametrize(
    ("lifetime", "expected"),
    [
        (None, USUAL),
        ((18.0, 20.0), (5.0, 9.0)),
        ((6.0, 8.0), (3.0, 3.0)),
        ((0.0, 5.0), (2.5, 2.5)),
        ((0.0, 1.0), (1.0, 1.0)),
        ((29.0, 30.5), (5.0, 14.5)),
        ((118.0, 121.0), (5.0, 30.0)),
        ((300.0, None), (5.0, 30.0)),
        ((45.0, None), (5.0, 22.5)),
        ((5.0, None), USUAL),
    ],
)
def test_half_of_what_was_measured_and_no_more_often_than_that(lifetime, expected):
    heartbeats = Heartbeats()
    heartbeats.measured(lifetime)
    assert intervals(heartbeats) == expected


def test_two_mappings_found_gone_count():
    heartbeats = Heartbeats()
    heartbeats.noticed(15.0, is_kept=False)
    assert intervals(heartbeats) == USUAL
    heartbeats.noticed(14.0, is_kept=False)
    assert intervals(heartbeats) == (5.0, 7.5)
    heartbeats.noticed(7.5, is_kept=False)
    heartbeats.noticed(7.5, is_kept=False)
    assert intervals(heartbeats) == (3.75, 3.75)


def test_a_router_that_restarts_now_and_then_is_no_reason():
    heartbeats = Heartbeats()
    for _ in range(10):
        heartbeats.noticed(5.0, is_kept=False)
        heartbeats.noticed(5.0, is_kept=True)
    assert intervals(heartbeats) == USUAL


def test_what_short_silences_show_does_not_absolve_from_long_ones():
    heartbeats = Heartbeats()
    for _ in range(2):
        heartbeats.noticed(15.0, is_kept=False)
        heartbeats.noticed(3.0, is_kept=True)
    assert heartbeats.standby_s == 7.5


def test_what_is_noticed_corrects_what_was_measured_and_another_network_forgets_it():
    heartbeats = Heartbeats()
    heartbeats.measured((300.0, None))
    for _ in range(2):
        heartbeats.noticed(30.0, is_kept=False)
    assert heartbeats.standby_s == 15.0
    heartbeats.measured((300.0, None))
    assert heartbeats.standby_s == 30.0


class Path:
    """One path with a NAT whose mapping lives so long."""

    def __init__(self, heartbeats, lives_s, *, used, kind=CandidateType.HOST, hosts=("192.0.2.1",)):
        local = Candidate.local(CandidateType.HOST, TransportAddress("10.0.0.2", 1), 0)
        self.pair = CandidatePair(local, Candidate.local(kind, TransportAddress("198.51.100.2", 2), 0))
        self.pair.mapped_address = OURS
        self.health = PathHealth(self.pair, 0.04, 0.0, heartbeats)
        self.health.used_since = 0.0 if used else None
        self.health.probed(0.0)
        self.health.answered(0.04, 0.0, size=1200)
        self.lives_s, self.hosts, self.sent_at = lives_s, cycle(hosts), 0.0
        self.probes = 0

    def run(self, until):
        while (now := self.health.probe_at()) < until:
            self.health.probed(now)
            self.probes += 1
            if now - self.sent_at > self.lives_s:
                self.pair.mapped_address = TransportAddress(next(self.hosts), self.pair.mapped_address.port + 1)
            self.sent_at = now
            self.health.answered(0.04, now, size=1200)


@pytest.mark.parametrize("lives_s", [12.0, 6.0, 2.5])
def test_a_path_finds_out_how_often_it_must_be_kept(lives_s):
    heartbeats = Heartbeats()
    path = Path(heartbeats, lives_s, used=False)
    path.run(120.0)
    assert heartbeats.standby_s <= lives_s
    before = path.pair.mapped_address
    path.run(240.0)
    assert path.pair.mapped_address == before, "it is kept"


@pytest.mark.parametrize("used", [True, False])
def test_a_nat_that_remembers_costs_no_more_than_usual(used):
    heartbeats = Heartbeats()
    path = Path(heartbeats, 60.0, used=used)
    path.run(300.0)
    assert intervals(heartbeats) == USUAL
    assert path.probes <= 300.0 / USUAL[not used] + 1


@pytest.mark.parametrize("options", [{"kind": CandidateType.RELAYED}, {"hosts": ("192.0.2.2", "192.0.2.3")}])
def test_what_a_relay_or_another_host_shows_is_not_about_the_mapping(options):
    heartbeats = Heartbeats()
    Path(heartbeats, 1.0, used=False, **options).run(120.0)
    assert intervals(heartbeats) == USUAL


def test_answers_to_the_peer_and_data_are_no_silence():
    heartbeats = Heartbeats()
    path = Path(heartbeats, 1.0, used=False)
    health = path.health
    for port in range(10):
        start = 15.0 * port
        for step in range(15):
            health.checked(start + step) if step % 2 else health.data_sent(start + step)
        health.probed(start + 15.0)
        path.pair.mapped_address = TransportAddress("192.0.2.1", 50_000 + port)
        health.answered(0.04, start + 15.0, size=1200)
    assert intervals(heartbeats) == USUAL
