"""How long a mapping lives, found out with a fake clock."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from p2p.address import TransportAddress
from p2p.proto.stun.lifetime import ASKING_SOCKET, Lifetime, LifetimeProblem, LifetimeSearch
from p2p.proto.stun.message import Message, MessageClass, Method, encode
from p2p.proto.stun.responder import BindingResponder
from tests.support.nat_box import transaction_ids

SERVER = TransportAddress("198.51.100.10", 3478)
OUTSIDE = "203.0.113.1"
ROUND_TRIP_S = 0.04


class Net:
    """A NAT that forgets, with a server behind it."""

    def __init__(
        self, lifetime_s: float, *, lost: Callable[[], bool] = lambda: False, understands: bool = True
    ) -> None:
        self.lifetime_s = lifetime_s
        self.lost = lost
        self.responder = BindingResponder([SERVER, SERVER._replace(port=3479)] if understands else [])
        self.used_at: dict[int, float] = {}
        self.outages: list[tuple[float, float]] = []

    def carry(self, data: bytes, socket: int, now: float) -> tuple[float, int, bytes] | None:
        """Take a question to the server, and give when and where its answer comes in."""
        self.used_at[socket] = now
        if any(start <= now < end for start, end in self.outages) or self.lost():
            return None
        reply = self.responder.respond(data, TransportAddress(OUTSIDE, 20000 + socket), SERVER)
        if reply is None or self.lost():
            return None
        target, at = reply.destination.port - 20000, now + ROUND_TRIP_S
        if at - self.used_at[target] > self.lifetime_s:
            return None
        self.used_at[target] = at
        return at, target, reply.data


def search(net: Net, limit_s: float = 300.0, until: float = 1e9) -> tuple[Lifetime, float]:
    machine = LifetimeSearch(SERVER, transaction_ids(), limit_s=limit_s)
    now = 0.0
    arrivals: list[tuple[float, int, bytes]] = []
    machine.start(now)
    while now < until:
        for sent in machine.datagrams_to_send(now):
            assert sent.destination == SERVER
            arrival = net.carry(sent.data, sent.socket, now)
            if arrival is not None:
                arrivals.append(arrival)
        timer = machine.get_timer()
        if timer is None:
            break
        arrivals.sort()
        if arrivals and arrivals[0][0] <= timer:
            now, socket, data = arrivals.pop(0)
            machine.receive_datagram(data, SERVER, now, socket)
        else:
            now = max(now, timer)
            machine.handle_timer(now)
    return machine.result, now


@pytest.mark.parametrize("lifetime_s", [3.0, 17.0, 30.0, 120.0, 155.0, 299.0])
def test_is_narrowed_down(lifetime_s: float) -> None:
    result, took_s = search(Net(lifetime_s))
    assert result.is_done
    assert result.problem is None
    assert result.at_most_s is not None
    assert result.at_least_s <= lifetime_s <= result.at_most_s
    assert result.at_most_s - result.at_least_s <= max(2.0, 0.03 * result.at_most_s) or lifetime_s > 150
    assert took_s <= 610


def test_longer_than_the_limit() -> None:
    result, took_s = search(Net(1e6), limit_s=100.0)
    assert (result.at_least_s, result.at_most_s, result.is_done) == (100.0, None, True)
    assert took_s == pytest.approx(100.0, abs=1.0)


def test_what_is_known_is_there_at_any_time() -> None:
    result, _ = search(Net(1e6), until=40.0)
    assert (result.at_least_s, result.at_most_s, result.is_done) == (30.0, None, False)


@pytest.mark.parametrize("seed", range(20))
def test_loss_does_not_shorten_it(seed: int) -> None:
    random = Random(seed)
    result, _ = search(Net(60.0, lost=lambda: random.random() < 0.1))
    assert result.at_most_s is not None
    assert result.at_least_s <= 60.0 <= result.at_most_s


def test_an_outage_proves_nothing() -> None:
    net = Net(120.0)
    net.outages.append((29.0, 33.0))
    result, _ = search(net)
    assert result.at_least_s <= 120.0 <= (result.at_most_s or 0.0)


def test_no_server() -> None:
    result, took_s = search(Net(60.0, lost=lambda: True))
    assert result.problem is LifetimeProblem.NO_SERVER
    assert took_s < 3.0


def test_plain_server_refuses() -> None:
    result, _ = search(Net(60.0, understands=False))
    assert result.problem is LifetimeProblem.NOT_SUPPORTED


def test_mapping_that_nobody_else_can_use() -> None:
    class Private(Net):
        def carry(self, data: bytes, socket: int, now: float) -> tuple[float, int, bytes] | None:
            arrival = super().carry(data, socket, now)
            return None if arrival is None or arrival[1] != socket else arrival

    result, took_s = search(Private(60.0))
    assert result.problem is LifetimeProblem.NOT_LET_IN
    assert took_s < 3.0


def test_server_that_answers_where_it_was_asked_from() -> None:
    machine = LifetimeSearch(SERVER, transaction_ids(), limit_s=60.0)
    machine.start(0.0)
    responder = BindingResponder([SERVER])
    (first,) = machine.datagrams_to_send(0.0)
    reply = responder.respond(first.data, TransportAddress(OUTSIDE, 5000), SERVER)
    assert reply is not None
    machine.receive_datagram(reply.data, SERVER, 0.1, first.socket)
    machine.handle_timer(0.2)
    through = machine.datagrams_to_send(0.2)[0]
    answer = Message(MessageClass.SUCCESS, Method.BINDING, through.data[8:20])
    assert machine.receive_datagram(encode(answer), SERVER, 0.3, ASKING_SOCKET)
    assert machine.result.problem is LifetimeProblem.NOT_SUPPORTED


def test_garbage_is_nobodys() -> None:
    machine = LifetimeSearch(SERVER, transaction_ids(), limit_s=60.0)
    machine.start(0.0)
    for data in (b"", b"\0" * 20, b"\0\1\0\1\x21\x12\xa4\x42" + bytes(13)):
        assert not machine.receive_datagram(data, SERVER, 0.0, 1)
    assert not machine.receive_datagram(b"\1\1\0\0\x21\x12\xa4\x42" + bytes(12), OTHER, 0.0, 1)


OTHER = TransportAddress("192.0.2.66", 1)
