"""A link sends checks within the budget of the program, and all else without."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from p2p.address import TransportAddress
from p2p.defaults import REPEAT_AFTER_S, REPEATED_PACKETS
from p2p.path.asked import AskedChecks
from p2p.path.endpoint import EndpointStats
from p2p.path.link import PathLink
from p2p.proto.ice import Credentials, Transmit
from p2p.proto.path.events import PathEvent, PathSized
from p2p.proto.path.path import Path, PathKind
from p2p.proto.token_bucket import TokenBucket

PROVEN = TransportAddress("192.0.2.1", 1)
CHECK = bytes.fromhex("0001") + bytes(18)
ANSWER = bytes.fromhex("0101") + bytes(18)


class Base:
    """Counts what is sent where."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, TransportAddress]] = []
        self.room = 1000

    def send(self, datagrams: Sequence[bytes], destination: TransportAddress) -> int:
        taken = datagrams[: self.room]
        self.room -= len(taken)
        self.sent += [(datagram, destination) for datagram in taken]
        return len(taken)


class Endpoint:
    """One base."""

    def __init__(self) -> None:
        self.base = Base()
        self.bases = {0: self.base}
        self.check_budget = TokenBucket(rate_per_s=1.0, burst=10.0)
        self.stats = EndpointStats()
        self.asked = AskedChecks()


class Controller:
    """Wants to send what it is told."""

    def __init__(self) -> None:
        self.agent = SimpleNamespace(local_credentials=Credentials("us", "password"))
        self.wanted: list[Transmit] = []
        self.sending_paths: tuple[Path, ...] = ()
        self.events: list[PathEvent] = []

    def transmits(self, now: float) -> list[Transmit]:
        wanted, self.wanted = self.wanted, []
        return wanted

    def sent(self, now: float) -> bool:
        return False

    def is_validated(self, base_id: int, remote: TransportAddress) -> bool:
        return remote == PROVEN

    def next_event(self) -> PathEvent | None:
        return self.events.pop(0) if self.events else None

    def get_timer(self) -> None:
        return None


def make() -> tuple[PathLink, Any, Any]:
    endpoint, controller = Endpoint(), Controller()
    loop = asyncio.get_running_loop()
    link = PathLink(loop, endpoint, controller, on_event=print)  # type: ignore[arg-type]
    return link, endpoint, controller


async def test_checks_to_addresses_that_never_answered_are_bounded() -> None:
    link, endpoint, controller = make()
    victims = [TransportAddress(f"203.0.113.{number % 250}", number) for number in range(1, 500)]
    controller.wanted = [Transmit(0, victim, CHECK) for victim in victims]
    link.poke()
    assert len(endpoint.base.sent) == 10
    assert endpoint.check_budget.denied == 489
    assert (endpoint.stats.checks, endpoint.stats.heartbeats) == (10, 0)
    assert endpoint.asked.asker(CHECK[8:20]) == "us"


async def test_answers_and_heartbeats_go_when_the_budget_is_spent() -> None:
    link, endpoint, controller = make()
    while endpoint.check_budget.take(0.0):
        pass
    controller.wanted = [Transmit(0, PROVEN, CHECK), Transmit(0, TransportAddress("203.0.113.1", 1), ANSWER)] * 50
    link.poke()
    assert len(endpoint.base.sent) == 100
    assert (endpoint.stats.checks, endpoint.stats.heartbeats) == (0, 50)


async def test_before_the_peer_has_proven_its_address_it_gets_three_times_what_came() -> None:
    link, endpoint, controller = make()
    controller.sending_paths = (Path(0, TransportAddress("203.0.113.1", 1), PathKind.DIRECT, validated=False),)
    packets = [bytes(1000)] * 10
    link.limit_until_proven()
    assert link.send(packets) == 10
    assert not endpoint.base.sent
    link.packets_received(1200)
    assert link.send(packets) == 10
    assert len(endpoint.base.sent) == 3
    assert link.send(packets) == 10
    assert len(endpoint.base.sent) == 3
    link.packets_received(1200)
    link.send(packets)
    assert len(endpoint.base.sent) == 7
    link.lift_limit()
    link.send(packets)
    assert len(endpoint.base.sent) == 17
    link.close()


async def test_the_first_packets_of_a_session_are_sent_twice() -> None:
    link, endpoint, controller = make()
    controller.sending_paths = (Path(0, PROVEN, PathKind.DIRECT, validated=True),)
    for number in range(REPEATED_PACKETS + 5):
        link.send((b"%d" % number,))
    assert len(endpoint.base.sent) == REPEATED_PACKETS + 5
    await asyncio.sleep(2 * REPEAT_AFTER_S)
    assert endpoint.base.sent[REPEATED_PACKETS + 5 :] == endpoint.base.sent[:REPEATED_PACKETS]
    link.close()


async def test_what_is_sent_again_takes_the_path_of_that_moment() -> None:
    link, endpoint, controller = make()
    controller.sending_paths = (Path(0, PROVEN, PathKind.DIRECT, validated=True),)
    link.send((b"first",))
    other = TransportAddress("192.0.2.2", 2)
    controller.sending_paths = (Path(0, other, PathKind.DIRECT, validated=True),)
    await asyncio.sleep(2 * REPEAT_AFTER_S)
    assert endpoint.base.sent == [(b"first", PROVEN), (b"first", other)]
    link.send((b"second",))
    link.close()
    await asyncio.sleep(2 * REPEAT_AFTER_S)
    assert len(endpoint.base.sent) == 3


async def test_what_a_path_does_not_carry_goes_in_two_pieces() -> None:
    link, endpoint, controller = make()
    wide, narrow = (Path(0, TransportAddress("203.0.113.1", port), PathKind.DIRECT) for port in (1, 2))
    controller.sending_paths = (wide, narrow)
    controller.events.append(PathSized(wide, 1452))
    link.poke()
    packets = [bytes(1452), bytes(100), bytes(1201)]
    assert link.send(packets) == 3
    sent = [[len(data) for data, to in endpoint.base.sent if to == path.remote] for path in (wide, narrow)]
    assert sent == [[1452, 100, 1201], [734, 734, 100, 609, 608]]
    assert link.stats.packets_cut == 2
    link.close()


@pytest.mark.parametrize(("room", "taken"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3)])
async def test_a_packet_of_which_one_piece_found_room_goes_again(room: int, taken: int) -> None:
    link, endpoint, controller = make()
    controller.sending_paths = (Path(0, TransportAddress("203.0.113.1", 1), PathKind.DIRECT),)
    endpoint.base.room = room
    assert link.send([bytes(1452), bytes(100), bytes(1201)]) == taken
    link.close()


async def test_the_limit_before_a_proof_counts_what_cutting_adds() -> None:
    link, endpoint, controller = make()
    controller.sending_paths = (Path(0, TransportAddress("203.0.113.1", 1), PathKind.DIRECT, validated=False),)
    link.limit_until_proven()
    link.packets_received(486)
    link.send([bytes(1452)])
    assert not endpoint.base.sent
    link.packets_received(4)
    link.send([bytes(1452)])
    assert sum(len(data) for data, _ in endpoint.base.sent) == 1468
    link.close()
