from __future__ import annotations

from p2p.forward.feed import Feeder

QUANTUM = 1000
LOW = 100


class Transport:
    def __init__(self) -> None:
        self.unsent = 0
        self.kicks = 0
        self.is_closed = False

    def unsent_bytes(self) -> int:
        return self.unsent

    def kick(self) -> None:
        self.kicks += 1


class Program:
    """A flow whose local connection has so many bytes to read."""

    def __init__(self, transport: Transport, has: int, credit: int = 1 << 40) -> None:
        self.transport = transport
        self.has = has
        self.credit = credit
        self.deficit = 0
        self.watched = True
        self.parked = False
        self.fed: list[int] = []

    @property
    def can_feed(self) -> bool:
        return self.credit > 0

    def feed(self, limit: int) -> int:
        moved = min(limit, self.has, self.credit)
        self.has -= moved
        self.credit -= moved
        self.transport.unsent += moved
        if moved:
            self.fed.append(moved)
        return moved

    def watch(self, enabled: bool) -> None:
        self.watched = enabled


def make(*has: int) -> tuple[Transport, Feeder, list[Program]]:
    transport = Transport()
    return transport, Feeder(transport, QUANTUM, LOW), [Program(transport, each) for each in has]  # type: ignore[arg-type]


def drain(transport: Transport, feeder: Feeder, order: list[int], programs: list[Program]) -> None:
    """Let the engine send a quantum at a time and note whose turn it was."""
    while True:
        before = [program.has for program in programs]
        transport.unsent = 0
        if not feeder.pull():
            return
        order += [index for index, program in enumerate(programs) if program.has != before[index]]


def test_a_quiet_connection_is_read_at_once() -> None:
    transport, feeder, (program,) = make(10)
    feeder.ready(program)
    assert program.fed == [10]
    assert program.watched
    assert transport.kicks == 1


def test_a_program_that_is_ahead_of_the_network_waits_in_its_socket() -> None:
    transport, feeder, (program,) = make(10_000)
    feeder.ready(program)
    assert transport.unsent == QUANTUM
    assert not program.watched
    transport.unsent = LOW
    assert not feeder.pull()
    transport.unsent = LOW - 1
    assert feeder.pull()
    assert transport.unsent == LOW - 1 + QUANTUM


def test_the_engine_is_never_given_more_than_two_quanta() -> None:
    transport, feeder, programs = make(*[10_000] * 50)
    for program in programs:
        feeder.ready(program)
        feeder.pull()
        assert transport.unsent <= 2 * QUANTUM


def test_busy_flows_take_turns() -> None:
    transport, feeder, programs = make(5000, 5000, 5000)
    transport.unsent = QUANTUM
    for program in programs:
        feeder.ready(program)
    order: list[int] = []
    drain(transport, feeder, order, programs)
    assert order == [0, 1, 2] * 5
    assert all(program.watched for program in programs)


def test_a_flow_that_was_quiet_goes_before_the_busy_ones() -> None:
    transport, feeder, programs = make(50_000, 50_000, 10)
    transport.unsent = QUANTUM
    for program in programs[:2]:
        feeder.ready(program)
    for _ in range(6):
        transport.unsent = 0
        feeder.pull()
    transport.unsent = QUANTUM - 1
    kicks = transport.kicks
    feeder.ready(programs[2])
    assert transport.kicks > kicks
    feeder.pull()
    assert programs[2].fed == [10]


def test_a_flow_cannot_stay_first_by_pausing() -> None:
    transport, feeder, (bulk, sly) = make(1_000_000, 0)
    transport.unsent = QUANTUM
    feeder.ready(bulk)
    transport.unsent = 0
    feeder.pull()
    for _ in range(100):
        sly.has = QUANTUM - 1
        if sly.watched:
            transport.unsent = QUANTUM
            feeder.ready(sly)
        transport.unsent = 0
        feeder.pull()
    assert sum(bulk.fed) >= sum(sly.fed) // 2


def test_a_flow_without_credit_is_left_out_until_it_has_some() -> None:
    transport, feeder, (program,) = make(5000)
    program.credit = 300
    feeder.ready(program)
    assert program.fed == [300]
    assert not program.watched
    transport.unsent = 0
    assert not feeder.pull()
    assert program.parked
    program.credit = 200
    feeder.resume(program)
    assert feeder.pull()
    assert program.fed == [300, 200]
    assert program.parked


def test_a_flow_whose_credit_ends_with_its_turn_is_parked_at_its_next_turn() -> None:
    transport, feeder, (program,) = make(5000)
    program.credit = QUANTUM
    feeder.ready(program)
    assert not program.parked, "it waits for its turn still: new credit must not queue it twice"
    transport.unsent = 0
    feeder.pull()
    assert program.parked
    assert program.fed == [QUANTUM]


def test_nothing_is_read_for_a_connection_that_is_gone() -> None:
    transport, feeder, (program,) = make(10)
    transport.is_closed = True
    feeder.ready(program)
    assert program.fed == []
    assert not program.watched


def test_who_runs_dry_in_its_turn_and_has_more_at_once_gets_no_more_than_the_others() -> None:
    transport, feeder, programs = make(QUANTUM, *[50 * QUANTUM] * 2)
    for program in programs:
        feeder.ready(program)
    dry = programs[0]
    for _ in range(60):
        transport.unsent = 0
        feeder.pull()
        if not dry.has:
            # A whole turn's worth, half a turn's worth, and so on.
            dry.has = QUANTUM // 2 if dry.fed[-1] == QUANTUM else QUANTUM
        if dry.watched:
            feeder.ready(dry)
    assert 0.6 * sum(programs[1].fed) < sum(dry.fed) < 1.1 * sum(programs[1].fed)
