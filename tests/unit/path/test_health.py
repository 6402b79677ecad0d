"""When one path is probed, doubted and given up."""

import pytest

from p2p import defaults
from p2p.address import TransportAddress
from p2p.proto.ice import Candidate, CandidatePair, CandidateType, PairFailure, PairKey
from p2p.proto.path.flaps import FlapMemory
from p2p.proto.path.health import PathHealth
from p2p.proto.path.recheck import RecheckSchedule


def candidate(kind, port):
    return Candidate.local(kind, TransportAddress("192.0.2.1", port), 0)


def make(rtt_s=0.04, kind=CandidateType.HOST, used=True):
    health = PathHealth(CandidatePair(candidate(CandidateType.HOST, 1), candidate(kind, 2)), rtt_s, 0.0)
    health.used_since = 0.0 if used else None
    health.probed(0.0)
    health.answered(rtt_s, 0.0, size=1200)
    return health


def silence(health, start, *, data):
    """Let time pass without any answer; return when the path was probed, and became uneasy, doubtful and dead."""
    now, probes, uneasy, doubtful = start, [], None, None
    if data:
        health.data_sent(now)
    while now < 60:
        if health.uneasy(now) and uneasy is None:
            uneasy = now
        if health.doubtful(now) and doubtful is None:
            doubtful = now
        if health.dead(now):
            return probes, uneasy, doubtful, now
        if {0, 1200} & set(health.probes(now)):
            probes.append(now)
        assert health.next_at(now) > now
        now = health.next_at(now)
    raise AssertionError("never given up")


def test_heartbeats_pace():
    used, reserve = make(), make(used=False)
    assert used.probe_at() == defaults.PATH_HEARTBEAT_S
    assert reserve.probe_at() == defaults.PATH_STANDBY_HEARTBEAT_S


def test_a_silent_path_with_data_is_dead_within_three_seconds():
    probes, uneasy, doubtful, dead = silence(make(), 0.0, data=True)
    assert probes[0] == defaults.PATH_SILENCE_S
    assert uneasy == pytest.approx(0.85)
    assert doubtful == pytest.approx(1.25)
    assert dead == pytest.approx(2.05)


@pytest.mark.parametrize("rtt_s", [0.01, 0.2, 0.5, 0.6])
def test_a_long_path_gets_time_to_answer_but_not_more_than_three_seconds(rtt_s):
    probes, uneasy, _, dead = silence(make(rtt_s), 0.0, data=True)
    assert uneasy >= probes[0] + 2 * rtt_s
    assert dead <= 3.0


def test_an_idle_path_is_doubted_by_the_trust_timer_and_dead_soon_after_a_heartbeat():
    probes, uneasy, doubtful, dead = silence(make(), 0.0, data=False)
    assert probes[0] == defaults.PATH_HEARTBEAT_S
    assert uneasy == doubtful <= defaults.PATH_TRUST_S
    assert dead <= defaults.PATH_HEARTBEAT_S + 2.0


def test_a_relay_path_has_no_trust_timer():
    health = make(kind=CandidateType.RELAYED)
    assert not health.doubtful(100.0)
    assert make().doubtful(defaults.PATH_TRUST_S)


def test_a_path_in_reserve_has_no_trust_timer():
    assert not make(used=False).doubtful(100.0)


def test_trust_starts_anew_when_a_path_is_taken_into_use():
    health = make(used=False)
    health.used_since = 50.0
    assert not health.doubtful(50.0 + defaults.PATH_TRUST_S - 0.1)
    assert health.doubtful(50.0 + defaults.PATH_TRUST_S)


def test_an_answer_ends_all_doubt():
    health = make()
    for at in (0.5, 0.9, 1.3):
        health.probed(at)
    assert health.doubtful(1.4)
    health.answered(0.04, 1.4, size=0)
    assert not health.doubtful(1.4)
    assert health.probe_at() == 1.3 + defaults.PATH_HEARTBEAT_S


def test_packets_ending_a_silence_do_not_answer_probes():
    health = make()
    for number in range(defaults.PATH_PROBES_UNTIL_ONE_WAY_DEAD):
        at = 0.5 + 0.4 * number
        health.probed(at)
        health.heard(at + 0.2)
        assert not health.dead(at + 0.3)
    assert health.doubtful(at + 0.3)
    assert health.dead(at + 0.4)


def test_round_trip_time_is_smoothed():
    health = make(0.1)
    health.answered(0.02, 1.0, size=0)
    assert health.rtt_s == pytest.approx(0.09)
    assert health.min_rtt_s == 0.02


def test_only_the_first_sending_of_a_silence_moves_the_timer():
    health = make()
    assert health.data_sent(1.0)
    assert not health.data_sent(1.1)
    health.heard(1.2)
    assert health.data_sent(1.3)
    assert health.probe_at() == pytest.approx(1.3 + defaults.PATH_SILENCE_S)


def test_a_queue_on_the_path_is_no_death():
    health = make()
    for number in range(4):
        health.data_sent(0.4 * number + 0.1)
        health.probed(0.4 * number)
        health.heard(0.4 * number + 0.2)
    assert not health.uneasy(1.5)
    health.answered(1.6, 1.6, size=1200)
    for number in range(4):
        health.probed(2.0 + 0.4 * number)
    assert not health.doubtful(2.0 + 1.6)
    assert health.dead(2.0 + 3 * 0.4 + defaults.PATH_ANSWER_WAIT_MAX_S)


def test_a_new_path_is_probed_at_once_with_a_full_packet():
    health = PathHealth(CandidatePair(candidate(CandidateType.HOST, 1), candidate(CandidateType.HOST, 2)), 0.04, 0.0)
    assert health.probe_at() <= 0.0
    assert health.needs_full_size
    health.probed(0.0)
    health.answered(0.04, 0.04, size=0)
    assert not health.is_wide
    assert health.probe_at() <= defaults.PATH_PROBE_SPACING_S
    health.answered(0.04, 0.04, size=1200)
    assert health.is_wide
    assert not health.needs_full_size
    assert health.probe_at() == defaults.PATH_STANDBY_HEARTBEAT_S


def test_after_data_only_the_answer_to_a_full_packet_counts():
    health = make()
    health.data_sent(1.0)
    assert health.needs_full_size
    for number in range(defaults.PATH_PROBES_UNTIL_ONE_WAY_DEAD):
        at = 1.5 + 0.4 * number
        health.probed(at)
        health.answered(0.04, at + 0.04, size=0)
        assert not health.dead(at + 0.3)
    assert health.dead(at + 0.4)
    assert health.is_wide


def test_suspicion_probes_at_once():
    health = make()
    health.suspect()
    assert health.probe_at() <= 0.0
    health.probed(1.0)
    assert health.probe_at() > 1.0


def test_sleep_is_forgiven():
    health = make()
    for at in (0.5, 0.9, 1.3, 1.7):
        health.probed(at)
    assert health.dead(100.0)
    health.forgive()
    assert not health.dead(100.0)
    assert health.probe_at() <= 100.0


KEY = PairKey(0, TransportAddress("192.0.2.1", 1))


def test_a_path_that_comes_and_goes_is_held_ever_longer():
    flaps = FlapMemory()
    assert flaps.held_until(KEY, 1.0) == 1.0
    holds = []
    for number in range(6):
        flaps.lost(KEY, 1.0 + number)
        holds.append(flaps.held_until(KEY, 2.0 + number) - (2.0 + number))
    assert holds == [0, 4, 8, 16, 32, 32]


def test_losses_are_forgotten():
    flaps = FlapMemory()
    flaps.lost(KEY, 0.0)
    flaps.lost(KEY, 1.0)
    later = defaults.PATH_FLAP_WINDOW_S + 2
    assert flaps.held_until(KEY, later) == later
    flaps.lost(KEY, later)
    assert flaps.held_until(KEY, later + 1) == later + 1


def pair():
    return CandidatePair(candidate(CandidateType.HOST, 1), candidate(CandidateType.HOST, 2))


def test_failed_pairs_are_tried_again_ever_later():
    schedule, failed, now, delays = RecheckSchedule(), pair(), 0.0, []
    for _ in range(6):
        schedule.failed(failed, PairFailure.UNANSWERED, now, without_path_s=None)
        delays.append(schedule.get_timer() - now)
        now = schedule.get_timer()
        assert schedule.take_due(now - 0.01) == []
        assert schedule.take_due(now) == [failed]
        assert schedule.get_timer() is None
    assert delays == [5, 10, 20, 40, 60, 60]


def test_a_lost_path_is_tried_again_soon():
    schedule, lost = RecheckSchedule(), pair()
    schedule.failed(lost, PairFailure.LOST, 0.0, without_path_s=None)
    assert schedule.get_timer() == defaults.PATH_RECHECK_FIRST_S
    schedule.take_due(1.0)
    schedule.failed(lost, PairFailure.UNANSWERED, 6.0, without_path_s=None)
    assert schedule.get_timer() == 6.0 + 2 * defaults.PATH_RECHECK_FIRST_S


def test_delay_can_be_capped_and_plans_dropped():
    schedule, failed = RecheckSchedule(), pair()
    for lasted_s, delay_s in ((0.0, 2.0), (8.0, 2.0), (16.0, 4.0)):
        schedule.failed(failed, PairFailure.UNANSWERED, 0.0, without_path_s=lasted_s)
        assert schedule.get_timer() == delay_s
    schedule.all_due([failed], 1.0)
    assert schedule.take_due(1.0) == [failed]
    schedule.forget(failed)
    assert schedule.get_timer() is None
