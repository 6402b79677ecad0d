"""Each plan alone, with a clock of the test's."""

from __future__ import annotations

import random
from itertools import count

import pytest

from p2p import defaults
from p2p.address import TransportAddress
from p2p.proto.path.plans import (
    MAIN_SOCKET,
    AskServer,
    CloseSocket,
    GuessLimits,
    HintKind,
    OpenSocket,
    PortHint,
    SendCheck,
    TellPeer,
    Turn,
)
from p2p.proto.path.plans.birthday import BirthdayPlan
from p2p.proto.path.plans.meeting import MeetingPlan
from p2p.proto.path.plans.plan import PlanSetting
from p2p.proto.path.plans.spray import SprayPlan
from p2p.proto.path.plans.window import WindowPlan
from p2p.proto.stun.attributes import XOR_MAPPED_ADDRESS
from p2p.proto.stun.message import decode_untrusted

SERVER, PEER = TransportAddress("203.0.113.30", 3478), TransportAddress("198.51.100.1", 5000)
HOST = "192.0.2.1"
START = 100.0


class Stage:
    """Runs one plan: commands are noted, time goes from timer to timer."""

    def __init__(self, make, *, controlling=True, step=None, limits=None, port_range=None, **options):
        rng = random.Random(1)
        setting = PlanSetting(
            random_bytes=rng.randbytes,
            numbers=count(),
            server=SERVER,
            peer=PEER,
            step=step,
            rtt_s=0.04,
            controlling=controlling,
            limits=limits or GuessLimits(),
            own=TransportAddress(HOST, 5000),
            port_range=port_range,
        )
        self.now = START
        self.done = []
        self.plan = make(setting, **options)
        self.plan.start(self.now)
        self.take()

    def take(self):
        self.done += [(self.now, command) for command in self.plan.take_commands()]

    def of(self, kind):
        return [command for _, command in self.done if isinstance(command, kind)]

    @property
    def open(self):
        return {c.socket for c in self.of(OpenSocket)} - {c.socket for c in self.of(CloseSocket)}

    @property
    def hints(self):
        return [command.hint for command in self.of(TellPeer)]

    def answer(self, socket, port):
        question = [command for command in self.of(AskServer) if command.socket == socket][-1]
        message = decode_untrusted(question.data).success_response(XOR_MAPPED_ADDRESS(TransportAddress(HOST, port)))
        taken = self.plan.receive_answer(message, socket, self.now)
        self.take()
        return taken

    def hint(self, kind, *ports, number=1):
        self.plan.receive_hint(PortHint(kind, number, HOST, ports), self.now)
        self.take()

    def met(self, socket, remote=None):
        aims = {command.socket: command.destination for command in self.of(SendCheck)}
        self.plan.met(socket, aims[socket] if remote is None else remote, self.now)
        self.take()

    def run(self, duration_s):
        end = self.now + duration_s
        while (timer := self.plan.get_timer()) is not None and timer <= end:
            self.now = max(timer, self.now)
            self.plan.handle_timer(self.now)
            self.take()
        self.now = end


def window_stage(*, is_sequential=True, **options):
    return Stage(WindowPlan, is_sequential=is_sequential, **options)


def spray_stage(*, turn=Turn.GRANTED, **options):
    return Stage(SprayPlan, may_spray=lambda host, now: turn, **options)


def pace(stage, kind=SendCheck):
    """The most of a kind within any second."""
    times = [at for at, command in stage.done if isinstance(command, kind)]
    return max(sum(start <= at < start + 1.0 for at in times) for start in times)


# --- window ------------------------------------------------------------------------------------------------


def test_window_asks_before_and_after_its_row():
    stage = window_stage()
    sends = [command for _, command in stage.done if not isinstance(command, OpenSocket)]
    assert [type(command) for command in (sends[0], sends[-1])] == [AskServer, AskServer]
    assert sends[1:-1] == [SendCheck(socket, PEER) for socket in range(defaults.GUESS_WINDOW_SOCKETS)]


def test_window_tells_what_lies_between():
    stage = window_stage()
    assert stage.answer(0, 30_000)
    assert not stage.hints
    assert stage.answer(7, 30_009)
    assert stage.hints == [PortHint(HintKind.WINDOW, 1, HOST, tuple(range(30_001, 30_009)))]


def test_window_makes_do_with_one_answer():
    stage = window_stage(step=1)
    stage.answer(0, 30_000)
    stage.run(defaults.GUESS_ASK_S + 0.05)
    assert stage.hints[0].ports[0] == 30_001
    assert len(stage.of(AskServer)) > 3


def test_window_takes_fresh_sockets_for_each_round_and_ends():
    stage = window_stage()
    stage.run(10.0)
    assert stage.plan.is_over
    assert len(stage.of(OpenSocket)) == defaults.GUESS_ROUNDS * defaults.GUESS_WINDOW_SOCKETS
    assert not stage.open
    assert stage.plan.get_timer() is None


@pytest.mark.parametrize(("is_sequential", "scattered"), [(False, True), (True, False)])
def test_window_notices_that_ports_are_scattered_unless_it_is_known_better(is_sequential, scattered):
    stage = window_stage(is_sequential=is_sequential, step=1)
    stage.answer(0, 30_000)
    stage.answer(7, 50_000)
    assert stage.plan.is_scattered is stage.plan.is_over is scattered
    assert bool(stage.hints) is not scattered


def test_a_met_socket_is_kept_and_given_time():
    stage = window_stage()
    stage.met(3)
    stage.met(4)
    assert stage.open == {3}
    stage.run(1.0)
    assert not stage.plan.is_over
    stage.plan.end()
    stage.take()
    assert stage.open == {3}
    assert stage.plan.winner == 3


def test_what_comes_from_where_a_socket_did_not_send_to_proves_nothing():
    stage = window_stage()
    opened = set(stage.open)
    stage.met(3, TransportAddress("198.51.100.99", 9))
    assert stage.plan.winner is None
    assert stage.open == opened


def test_a_met_socket_that_proves_nothing_is_followed_by_another_round():
    stage = window_stage()
    stage.met(3)
    stage.run(defaults.GUESS_COMMIT_S + 0.1)
    assert stage.open == set(range(8, 16))
    assert stage.plan.winner is None


def test_an_answer_at_another_socket_is_none():
    stage = window_stage()
    question = stage.of(AskServer)[0]
    message = decode_untrusted(question.data).success_response(XOR_MAPPED_ADDRESS(TransportAddress(HOST, 1)))
    assert not stage.plan.receive_answer(message, 5, stage.now)
    assert not stage.plan.receive_answer(decode_untrusted(question.data), question.socket, stage.now)


# --- birthday ----------------------------------------------------------------------------------------------


def test_birthday_opens_door_after_door_and_closes_the_oldest():
    stage = Stage(BirthdayPlan)
    for socket in range(defaults.BIRTHDAY_SAMPLES):
        stage.answer(socket, 40_000 + 100 * socket)
    assert stage.hints[0].kind is HintKind.RANGE
    for _ in range(int(defaults.BIRTHDAY_S) * 2 - 1):
        stage.run(0.5)
        stage.answer(stage.of(AskServer)[-1].socket, 40_000)
    assert len(stage.open) == defaults.BIRTHDAY_SOCKETS
    sent = [command.socket for command in stage.of(SendCheck)]
    assert sent == list(range(len(sent)))
    assert stage.open == set(sent[-defaults.BIRTHDAY_SOCKETS :])
    assert pace(stage) <= 1.0 / defaults.GUESS_PROBE_INTERVAL_S + 1
    stage.run(3.0)
    assert stage.plan.is_over
    assert not stage.open
    assert len(stage.hints) == 1


def test_birthday_ends_when_the_address_is_one_of_several():
    stage = Stage(BirthdayPlan)
    for socket in range(defaults.BIRTHDAY_SAMPLES):
        question = stage.of(AskServer)[socket]
        mapped = TransportAddress(f"192.0.2.{socket % 2}", 40_000 + socket)
        answer = decode_untrusted(question.data).success_response(XOR_MAPPED_ADDRESS(mapped))
        stage.plan.receive_answer(answer, socket, stage.now)
    stage.take()
    assert stage.plan.is_over
    assert not stage.hints
    assert not stage.of(SendCheck)


def test_birthday_opens_no_more_doors_when_the_nat_has_no_room():
    stage = Stage(BirthdayPlan)
    for socket in range(defaults.BIRTHDAY_SAMPLES):
        stage.answer(socket, 40_000 + 100 * socket)
    stage.run(10.0)
    most = (1 + defaults.BIRTHDAY_CONTROLS_MISSED) * defaults.BIRTHDAY_CONTROL_DOORS
    assert len(stage.of(SendCheck)) <= most
    assert len(stage.open) <= most
    assert not stage.plan.is_over


def test_birthday_that_finds_the_budget_spent_opens_no_doors():
    limits = GuessLimits()
    stage = Stage(BirthdayPlan, limits=limits)
    limits.packets.take(stage.now, defaults.GUESSES_BURST)
    limits.packets.take(stage.now + 0.2, 0.2 * defaults.GUESSES_PER_S)
    stage.run(0.2)
    assert len(stage.of(SendCheck)) <= 5


def test_birthday_goes_on_with_the_answers_that_came():
    stage = Stage(BirthdayPlan)
    stage.answer(0, 40_000)
    stage.run(1.0)
    assert stage.hints[0].ports == (defaults.GUESS_PORT_FIRST, defaults.GUESS_PORT_LAST)


def test_birthday_in_a_range_that_is_known_asks_nobody_before_it_begins():
    stage = Stage(BirthdayPlan, port_range=(40_000, 41_600))
    (hint,) = stage.hints
    assert (hint.kind, hint.round, hint.host, hint.ports) == (HintKind.RANGE, 1, HOST, (39_799, 41_801))
    stage.run(0.1)
    assert 10 <= len(stage.of(SendCheck)) <= 11
    assert not stage.of(AskServer)


def test_birthday_widens_the_range_when_a_door_is_beside_it():
    stage = Stage(BirthdayPlan, port_range=(40_000, 41_600))
    control = 0.01 * defaults.BIRTHDAY_CONTROL_DOORS + 0.02
    stage.run(control)
    stage.answer(stage.of(AskServer)[-1].socket, 41_700)
    assert len(stage.hints) == 1, "it was in there"
    stage.run(control)
    stage.answer(stage.of(AskServer)[-1].socket, 50_000)
    hint = stage.hints[-1]
    assert (hint.kind, hint.round) == (HintKind.RANGE, 2)
    assert hint.ports[0] <= 39_799
    assert hint.ports[1] >= 50_000
    for port in (60_000, 2_000):
        stage.run(control)
        stage.answer(stage.of(AskServer)[-1].socket, port)
    assert [hint.round for hint in stage.hints] == [1, 2, 3]


def test_birthday_ends_when_a_later_door_is_at_another_address():
    stage = Stage(BirthdayPlan, port_range=(40_000, 41_600))
    stage.run(0.01 * defaults.BIRTHDAY_CONTROL_DOORS + 0.02)
    question = stage.of(AskServer)[-1]
    mapped = XOR_MAPPED_ADDRESS(TransportAddress("192.0.2.77", 40_001))
    stage.plan.receive_answer(decode_untrusted(question.data).success_response(mapped), question.socket, stage.now)
    stage.take()
    assert stage.plan.is_over


def test_spray_goes_on_in_the_range_that_is_told_later():
    stage = spray_stage()
    stage.hint(HintKind.RANGE, 30_000, 30_100)
    stage.run(0.5)
    before = len(stage.of(SendCheck))
    stage.hint(HintKind.RANGE, 50_000, 50_100, number=2)
    stage.run(0.5)
    ports = [command.destination.port for command in stage.of(SendCheck)]
    assert all(30_000 <= port <= 30_100 for port in ports[:before])
    assert all(50_000 <= port <= 50_100 for port in ports[before + 1 :])
    stage.run(defaults.BIRTHDAY_S)
    assert stage.plan.is_over
    assert len(stage.of(SendCheck)) <= 1501


def test_birthday_without_any_answer_ends():
    stage = Stage(BirthdayPlan)
    stage.run(1.0)
    assert stage.plan.is_over
    assert not stage.open


# --- spray -------------------------------------------------------------------------------------------------


def test_spray_goes_through_a_window_a_few_times_at_its_pace():
    stage = spray_stage()
    stage.run(0.5)
    stage.hint(HintKind.WINDOW, 30_001, 30_002, 30_003)
    stage.run(2.0)
    sent = [(at, command) for at, command in stage.done if isinstance(command, SendCheck)]
    ports = [command.destination.port for _, command in sent]
    assert ports == [30_001, 30_002, 30_003] * defaults.GUESS_WINDOW_PASSES
    assert {command.socket for _, command in sent} == {MAIN_SOCKET}
    assert sent[3][0] - sent[0][0] >= defaults.GUESS_WINDOW_PASS_S - 1e-6


def test_spray_takes_the_later_round_only():
    stage = spray_stage()
    stage.hint(HintKind.WINDOW, 30_001, number=2)
    stage.hint(HintKind.WINDOW, 40_001, number=1)
    stage.hint(HintKind.WINDOW, 50_001, number=3)
    stage.run(1.0)
    assert {command.destination.port for command in stage.of(SendCheck)} == {30_001, 50_001}


def test_spray_tries_a_range_without_repeating_itself_and_without_haste():
    stage = spray_stage()
    stage.hint(HintKind.RANGE, 30_000, 40_000)
    stage.run(defaults.BIRTHDAY_S + 1)
    ports = [command.destination.port for command in stage.of(SendCheck)]
    assert len(set(ports)) == len(ports)
    assert 1490 <= len(ports) <= 1501
    assert all(30_000 <= port <= 40_000 for port in ports)
    assert stage.plan.is_over


def test_spray_that_is_woken_late_does_not_make_up_for_it_all():
    stage = spray_stage()
    stage.hint(HintKind.RANGE, 30_000, 40_000)
    stage.now += 1.0
    stage.plan.handle_timer(stage.now)
    stage.take()
    assert len(stage.of(SendCheck)) <= 1 + defaults.GUESS_PROBES_AT_ONCE
    assert stage.plan.get_timer() >= stage.now


def test_spray_covers_a_small_range_again_and_again():
    stage = spray_stage()
    stage.hint(HintKind.RANGE, 30_000, 30_003)
    stage.run(1.0)
    assert {command.destination.port for command in stage.of(SendCheck)} == set(range(30_000, 30_004))


def test_spray_that_must_wait_says_so_and_says_when_it_begins():
    turns = [Turn.WAIT] * 5 + [Turn.GRANTED]
    stage = Stage(SprayPlan, may_spray=lambda host, now: turns.pop(0))
    stage.hint(HintKind.RANGE, 30_000, 40_000)
    assert [hint.kind for hint in stage.hints] == [HintKind.WAIT]
    assert not stage.of(SendCheck)
    stage.run(1.0)
    assert [hint.kind for hint in stage.hints] == [HintKind.WAIT, HintKind.TURN]
    assert stage.hints[-1].host == HOST
    assert stage.of(SendCheck)


@pytest.mark.parametrize("then", [Turn.WAIT, Turn.REFUSED])
def test_spray_that_waits_in_vain_ends(then):
    turns = iter([Turn.WAIT] * 3)
    stage = Stage(SprayPlan, may_spray=lambda host, now: next(turns, then))
    stage.hint(HintKind.RANGE, 30_000, 40_000)
    stage.run(defaults.GUESS_TURN_WAIT_S + 1.0)
    assert stage.plan.is_over
    assert not stage.of(SendCheck)


def test_spray_that_finds_the_budget_spent_loses_no_port():
    limits = GuessLimits()
    limits.packets.take(START, defaults.GUESSES_BURST)
    stage = spray_stage(limits=limits)
    stage.hint(HintKind.WINDOW, *range(30_001, 30_009))
    stage.run(2.0)
    ports = [command.destination.port for command in stage.of(SendCheck)]
    assert ports == list(range(30_001, 30_009)) * defaults.GUESS_WINDOW_PASSES


@pytest.mark.parametrize(("plan", "row"), [(WindowPlan, 8), (MeetingPlan, 32)])
def test_rows_wait_for_the_budget_and_go_out_whole(plan, row):
    limits = GuessLimits()
    limits.packets.take(START, defaults.GUESSES_BURST)
    stage = Stage(plan, limits=limits, **({"is_sequential": True} if plan is WindowPlan else {}))
    if plan is MeetingPlan:
        stage.hint(HintKind.NEXT, *range(40_001, 40_033))
        stage.answer(0, 30_000)
    assert not stage.of(SendCheck)
    stage.run(0.15)
    assert len(stage.of(SendCheck)) == row


def test_spray_that_is_not_allowed_or_hears_nothing_ends_without_a_packet():
    stage = spray_stage(turn=Turn.REFUSED)
    stage.hint(HintKind.RANGE, 30_000, 40_000)
    stage.hint(HintKind.NEXT, 30_000)
    stage.run(defaults.GUESS_HINT_WAIT_S + 1.0)
    assert stage.plan.is_over
    assert not stage.plan.has_acted


# --- meeting -----------------------------------------------------------------------------------------------


def met_in(aiming, sweeping, *, aimed_taken=0, swept_taken=0):
    """Whether any packet of one row leaves from where one of the other row goes, both ways."""
    first_a, first_b = 30_000 + aimed_taken, 40_000 + swept_taken
    ours = {(first_a + n, c.destination.port) for n, c in enumerate(aiming.of(SendCheck)[:32], 1)}
    theirs = {(c.destination.port, first_b + n) for n, c in enumerate(sweeping.of(SendCheck)[:32], 1)}
    return bool(ours & theirs)


@pytest.mark.parametrize("aimed_taken", [0, 1, 7, 13])
@pytest.mark.parametrize("swept_taken", [0, 1, 6, 12])
def test_rows_meet_whatever_others_took_meanwhile(aimed_taken, swept_taken):
    aiming, sweeping = Stage(MeetingPlan, controlling=True), Stage(MeetingPlan, controlling=False)
    aiming.answer(0, 30_000)
    sweeping.answer(0, 40_000)
    aiming.hint(HintKind.NEXT, *sweeping.hints[0].ports)
    sweeping.hint(HintKind.NEXT, *aiming.hints[0].ports)
    assert met_in(aiming, sweeping, aimed_taken=aimed_taken, swept_taken=swept_taken)


def test_a_meeting_waits_for_the_other_side_and_repeats_its_row():
    stage = Stage(MeetingPlan)
    stage.hint(HintKind.NEXT, *range(40_001, 40_033))
    assert not stage.of(SendCheck)
    stage.answer(0, 30_000)
    assert len(stage.of(SendCheck)) == defaults.GUESS_MEETING_SOCKETS
    stage.run(0.5)
    assert len(stage.of(SendCheck)) == defaults.GUESS_MEETING_SOCKETS * (1 + defaults.GUESS_MEETING_REPEATS)


def test_a_meeting_joins_the_round_of_the_other_side_and_forgets_older_ones():
    stage = Stage(MeetingPlan)
    stage.hint(HintKind.NEXT, 40_001, number=2)
    stage.hint(HintKind.NEXT, 40_001, number=1)
    stage.hint(HintKind.WINDOW, 40_001, number=2)
    assert stage.open == set(range(32, 64))
    stage.answer(32, 30_000)
    assert stage.hints[-1].round == 2
    assert len(stage.of(SendCheck)) == defaults.GUESS_MEETING_SOCKETS


def test_a_meeting_ends_after_its_rounds():
    stage = Stage(MeetingPlan)
    stage.run(20.0)
    assert stage.plan.is_over
    assert not stage.open
    assert len(stage.of(OpenSocket)) == defaults.GUESS_ROUNDS * defaults.GUESS_MEETING_SOCKETS


# --- limits ------------------------------------------------------------------------------------------------


def test_birthdays_take_turns_in_the_order_of_asking():
    limits = GuessLimits()
    hosts = [f"192.0.2.{n}" for n in range(defaults.BIRTHDAYS_AT_ONCE + 2)]
    turns = [limits.begin_birthday(host, host, START) for host in hosts]
    assert turns == [Turn.GRANTED] * defaults.BIRTHDAYS_AT_ONCE + [Turn.WAIT] * 2
    limits.leave(hosts[0], START)
    assert limits.begin_birthday(hosts[-1], hosts[-1], START) is Turn.WAIT
    assert limits.begin_birthday(hosts[-2], hosts[-2], START) is Turn.GRANTED
    assert limits.begin_birthday(hosts[-2], hosts[-2], START) is Turn.GRANTED
    limits.leave(hosts[1], START)
    assert limits.begin_birthday(hosts[-1], hosts[-1], START) is Turn.GRANTED


def test_who_no_longer_wants_one_keeps_nobody_waiting():
    limits = GuessLimits()
    hosts = [f"192.0.2.{n}" for n in range(defaults.BIRTHDAYS_AT_ONCE + 2)]
    for host in hosts:
        limits.begin_birthday(host, host, START)
    limits.leave(hosts[-2], START)
    limits.leave(hosts[0], START)
    assert limits.begin_birthday(hosts[-1], hosts[-1], START) is Turn.GRANTED


def test_a_network_where_one_failed_has_a_rest():
    limits = GuessLimits()
    assert limits.begin_birthday("a", HOST, START) is Turn.GRANTED
    limits.leave("a", START, failed=True)
    assert limits.begin_birthday("a", HOST, START + defaults.BIRTHDAY_COOLDOWN_S - 1) is Turn.REFUSED
    assert limits.refused == 1
    assert limits.begin_birthday("b", "192.0.2.9", START) is Turn.GRANTED
    assert limits.begin_birthday("a", HOST, START + defaults.BIRTHDAY_COOLDOWN_S) is Turn.GRANTED


def test_no_more_networks_are_remembered_than_there_is_room_for():
    limits = GuessLimits()
    for n in range(1100):
        assert limits.begin_birthday(n, f"{n}", START) is Turn.GRANTED
        limits.leave(n, START, failed=True)
    assert limits.begin_birthday(0, "0", START + 1) is Turn.GRANTED
    limits.leave(0, START + 1)
    assert limits.begin_birthday(0, "1099", START + 1) is Turn.REFUSED


class FewSlots:
    def __init__(self, count):
        self.free = list(range(count))

    def take(self, what):
        return self.free.pop() if self.free else None

    def give_back(self, slot):
        self.free.append(slot)


def test_programs_share_slots():
    slots = FewSlots(1)
    one, other = GuessLimits(slots), GuessLimits(slots)
    assert one.begin_birthday("a", HOST, START) is Turn.GRANTED
    assert other.begin_birthday("b", HOST, START) is Turn.WAIT
    one.leave("a", START)
    assert other.begin_birthday("b", HOST, START) is Turn.GRANTED
    assert not slots.free


# --- limits ------------------------------------------------------------------------------------------------


def test_windows_take_turns():
    limits = GuessLimits()
    first = [limits.begin_window(who) for who in range(defaults.WINDOWS_AT_ONCE)]
    assert set(first) == {Turn.GRANTED}
    assert [limits.begin_window(who) for who in ("late", "later")] == [Turn.WAIT, Turn.WAIT]
    assert limits.begin_birthday("other", HOST, START) is Turn.GRANTED, "they do not keep others waiting"
    limits.leave(3, START)
    assert limits.begin_window("later") is Turn.WAIT
    assert limits.begin_window("late") is Turn.GRANTED
