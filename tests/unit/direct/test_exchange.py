"""Direct signalling with a fake clock: two machines, and a network that loses, repeats and invents datagrams."""

from __future__ import annotations

import heapq
import itertools
import os
import random
from collections.abc import Callable

import pytest

from p2p.address import TransportAddress
from p2p.defaults import (
    DIRECT_ATTEMPTS,
    DIRECT_LINES,
    DIRECT_MESSAGES_BURST,
    DIRECT_MESSAGES_PER_S,
    DIRECT_PIECE_BYTES,
    DIRECT_QUEUE,
)
from p2p.errors import DecodeError, LocalProtocolError
from p2p.proto.direct import (
    Arrived,
    Delivered,
    DirectEvent,
    DirectExchange,
    Envelope,
    LineOpened,
    Undelivered,
    derive_key,
    lan_label,
)
from p2p.proto.direct.datagram import HEADER_BYTES, DirectDatagram, Kind, decode_untrusted, encode, receipt_payload
from p2p.proto.direct.exchange import MESSAGE_MAX_BYTES
from p2p.proto.machine import Datagram

KEY = derive_key(b"s" * 16, b"k" * 32, "web")
A = TransportAddress("192.0.2.1", 4000)
B = TransportAddress("192.0.2.2", 5000)
NOWHERE = TransportAddress("192.0.2.9", 9)


class Net:
    """Carries datagrams between machines by their addresses, 1 ms each."""

    def __init__(self, **machines: DirectExchange) -> None:
        self.now = 0.0
        self.machines: dict[TransportAddress, DirectExchange] = {}
        self.events: dict[TransportAddress, list[DirectEvent]] = {}
        self.sent: list[tuple[TransportAddress, Datagram]] = []
        self.loses: Callable[[TransportAddress, Datagram], bool] = lambda source, datagram: False
        self._order = itertools.count()
        self._air: list[tuple[float, int, TransportAddress, Datagram]] = []

    def add(self, address: TransportAddress, key: bytes = KEY) -> DirectExchange:
        machine = self.machines[address] = DirectExchange(key, os.urandom, is_dialer=address == A)
        self.events[address] = []
        return machine

    def inject(self, source: TransportAddress, destination: TransportAddress, data: bytes) -> None:
        heapq.heappush(self._air, (self.now + 0.001, next(self._order), source, Datagram(data, destination)))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            for address, machine in self.machines.items():
                for datagram in machine.datagrams_to_send(self.now):
                    self.sent.append((address, datagram))
                    if not self.loses(address, datagram):
                        self.inject(address, datagram.destination, datagram.data)
                while (event := machine.next_event()) is not None:
                    self.events[address].append(event)
            timers = [timer for machine in self.machines.values() if (timer := machine.get_timer()) is not None]
            due = min([*timers, *(self._air[0][:1] if self._air else ())], default=end)
            if due >= end:
                self.now = end
                return
            self.now = max(self.now, due)
            if self._air and self._air[0][0] <= self.now:
                _, _, source, datagram = heapq.heappop(self._air)
                if datagram.destination in self.machines:
                    self.machines[datagram.destination].receive_datagram(datagram.data, source, self.now)
            for machine in self.machines.values():
                machine.handle_timer(self.now)

    def messages(self, address: TransportAddress) -> list[bytes]:
        return [event.message for event in self.events[address] if isinstance(event, Arrived)]


@pytest.fixture
def net() -> Net:
    return Net()


def opened(net: Net) -> tuple[DirectExchange, DirectExchange]:
    a, b = net.add(A), net.add(B)
    a.call(B, net.now)
    net.run(0.01)
    assert net.events[A] == [LineOpened(B)]
    return a, b


@pytest.mark.parametrize("size", [1, DIRECT_PIECE_BYTES, DIRECT_PIECE_BYTES + 1, 5000, MESSAGE_MAX_BYTES])
def test_messages_pass_both_ways(net: Net, size: int) -> None:
    a, b = opened(net)
    question, answer = os.urandom(size), os.urandom(size)
    number = a.send(B, question, net.now)
    net.run(0.05)
    assert net.messages(B) == [question]
    assert Delivered(B, number) in net.events[A]
    # Who was called may answer without a call of its own.
    number = b.send(A, answer, net.now)
    net.run(0.05)
    assert net.messages(A) == [answer]
    assert Delivered(A, number) in net.events[B]
    assert not a.dropped
    assert not b.dropped
    assert a.get_timer() is None
    assert b.get_timer() is None


def test_an_address_is_called_until_it_answers(net: Net) -> None:
    a = net.add(A)
    a.call(B, net.now)
    net.run(1.0)
    calls = len(net.sent)
    assert 3 <= calls <= 5
    net.add(B)
    net.run(2.0)
    assert net.events[A] == [LineOpened(B)]
    assert a.get_timer() is None


def test_hanging_up_ends_the_calls(net: Net) -> None:
    a = net.add(A)
    a.call(NOWHERE, net.now)
    net.run(0.5)
    a.hang_up()
    assert a.get_timer() is None


@pytest.mark.parametrize("seed", range(8))
def test_loss_is_repaired_and_the_order_kept(net: Net, seed: int) -> None:
    chance = random.Random(seed)
    a, b = opened(net)
    net.loses = lambda source, datagram: chance.random() < 0.2
    messages = [bytes([index]) * 3000 for index in range(5)]
    for message in messages:
        a.send(B, message, net.now)
        b.send(A, message, net.now)
    net.run(20.0)
    assert net.messages(B) == messages
    assert all(isinstance(event, Delivered) for event in net.events[A][1:] if not isinstance(event, Arrived))


def test_a_silent_receiver_is_given_up(net: Net) -> None:
    a, _ = opened(net)
    net.loses = lambda source, datagram: True
    numbers = [a.send(B, b"one", net.now), a.send(B, b"two", net.now)]
    before = len(net.sent)
    net.run(10.0)
    assert net.events[A][1:] == [Undelivered(B, number) for number in numbers]
    assert len(net.sent) - before == DIRECT_ATTEMPTS
    assert a.get_timer() is None
    # It must be called again first.
    number = a.send(B, b"three", net.now)
    net.run(0.01)
    assert net.events[A][-1] == Undelivered(B, number)


def test_a_receiver_that_restarts_is_found_again(net: Net) -> None:
    a, _ = opened(net)
    net.add(B)
    number = a.send(B, b"lost", net.now)
    net.run(10.0)
    assert net.events[A][-1] == Undelivered(B, number)
    a.call(B, net.now)
    net.run(0.01)
    a.send(B, b"found", net.now)
    net.run(0.05)
    assert net.messages(B) == [b"found"]


def test_what_waits_goes_on_after_another_call(net: Net) -> None:
    a, _ = opened(net)
    net.loses = lambda source, datagram: True
    a.send(B, b"message", net.now)
    net.run(0.05)
    net.loses = lambda source, datagram: False
    a.call(B, net.now)
    net.run(0.05)
    assert net.messages(B) == [b"message"]


def test_the_queue_is_bounded(net: Net) -> None:
    a, _ = opened(net)
    net.loses = lambda source, datagram: True
    for _ in range(DIRECT_QUEUE + 1):
        a.send(B, b"x", net.now)
    net.run(0.01)
    assert net.events[A][1:] == [Undelivered(B, DIRECT_QUEUE + 1)]


def test_messages_have_a_size(net: Net) -> None:
    a, _ = opened(net)
    for message in (b"", bytes(MESSAGE_MAX_BYTES + 1)):
        with pytest.raises(LocalProtocolError):
            a.send(B, message, net.now)


# --- what strangers, and holders of the ticket, can do -----------------------------------------------------


def test_another_ticket_gets_no_answer(net: Net) -> None:
    a, b = net.add(A), net.add(B, derive_key(b"t" * 16, b"k" * 32, "web"))
    a.call(B, net.now)
    net.run(1.0)
    assert not [source for source, _ in net.sent if source == B]
    assert b.dropped > 0
    assert not net.events[A]


def test_a_mirror_is_not_the_other_side(net: Net) -> None:
    """Who gives back what he gets passes the tag, for it is ours, and would even show our cookie."""
    a = net.add(A)
    a.call(NOWHERE, net.now)
    for _ in range(5):
        net.run(0.2)
        for _, datagram in net.sent:
            net.inject(NOWHERE, A, datagram.data)
    assert not net.events[A]
    assert {datagram.data[2] for _, datagram in net.sent} == {Kind.CALL}


def test_a_call_is_answered_with_no_more_than_it_has(net: Net) -> None:
    net.add(B)
    call = encode(DirectDatagram(Kind.CALL, mine=b"c" * 8, from_dialer=True), KEY)
    net.inject(A, B, call)
    net.run(0.01)
    assert [len(datagram.data) for _, datagram in net.sent] == [len(call)] == [HEADER_BYTES]


def test_calls_leave_no_state_and_are_limited(net: Net) -> None:
    b = net.add(B)
    for port in range(1, 1001):
        b.receive_datagram(
            encode(DirectDatagram(Kind.CALL, from_dialer=True), KEY), TransportAddress("192.0.2.77", port), 0.0
        )
    answers = b.datagrams_to_send(0.0)
    assert 0 < len(answers) < 500
    assert b.dropped == 1000 - len(answers)
    assert not b._lines


@pytest.mark.parametrize("kind", [Kind.HERE, Kind.PIECE, Kind.RECEIPT])
def test_without_the_cookie_nothing_is_taken(net: Net, kind: Kind) -> None:
    """A forged source has not seen the cookie: nothing is sent to it, and nothing is kept."""
    b = net.add(B)
    payload = {Kind.PIECE: b"x", Kind.RECEIPT: receipt_payload(1)}.get(kind, b"")
    forged = DirectDatagram(kind, yours=b"guessed!", mine=b"c" * 8, count=1, payload=payload, from_dialer=True)
    net.inject(A, B, encode(forged, KEY))
    net.run(0.01)
    assert b.dropped == 1
    assert not net.sent
    assert not b._lines


def test_a_recorded_piece_from_elsewhere_is_dropped(net: Net) -> None:
    a, b = opened(net)
    a.send(B, b"message", net.now)
    net.run(0.05)
    piece = next(d.data for source, d in net.sent if source == A and d.data[2] == Kind.PIECE)
    before = len(net.sent)
    net.inject(NOWHERE, B, piece)
    net.run(0.05)
    assert len(net.sent) == before
    assert b.dropped == 1
    # From where it came from, it costs a receipt and is not taken twice.
    net.inject(A, B, piece)
    net.run(0.05)
    assert len(net.sent) == before + 1
    assert net.messages(B) == [b"message"]


def test_a_host_may_send_so_many_messages(net: Net) -> None:
    a, b = opened(net)
    for _ in range(DIRECT_QUEUE):
        a.send(B, b"x", net.now)
    net.run(1.0)
    assert len(net.messages(B)) == DIRECT_QUEUE
    cookie = b._cookie(A)
    for number in range(1000):
        piece = DirectDatagram(Kind.PIECE, cookie, b"c" * 8, number.to_bytes(8, "big"), 0, 1, b"y", from_dialer=True)
        b.receive_datagram(encode(piece, KEY), A, net.now)
    net.run(0.01)
    assert len(net.messages(B)) <= DIRECT_MESSAGES_BURST + 1.1 * DIRECT_MESSAGES_PER_S
    assert b.dropped > 700


def test_lines_and_hosts_are_bounded(net: Net) -> None:
    b = net.add(B)
    for number in range(2 * DIRECT_LINES):
        source = TransportAddress(f"10.0.{number // 250}.{number % 250 + 1}", 1)
        piece = DirectDatagram(Kind.PIECE, b._cookie(source), b"c" * 8, b"messages", 0, 2, b"y", from_dialer=True)
        b.receive_datagram(encode(piece, KEY), source, 0.0)
    assert len(b._lines) == DIRECT_LINES
    assert len(b._hosts) == DIRECT_LINES


def test_a_half_sent_message_makes_room_for_the_next(net: Net) -> None:
    b = net.add(B)
    cookie = b._cookie(A)
    for index, message_id in ((0, b"message1"), (1, b"message2"), (1, b"message1"), (0, b"message2")):
        piece = DirectDatagram(Kind.PIECE, cookie, b"c" * 8, message_id, index, 2, b"%d" % index, from_dialer=True)
        b.receive_datagram(encode(piece, KEY), A, 0.0)
    net.run(0.01)
    assert net.messages(B) == []


def test_a_lying_receipt_delivers_nothing(net: Net) -> None:
    a, _ = opened(net)
    net.loses = lambda source, datagram: True
    a.send(B, bytes(3000), net.now)
    net.run(0.001)
    lie = DirectDatagram(Kind.RECEIPT, a._cookie(B), b"c" * 8, b"another!", payload=receipt_payload(0xFFFF))
    a.receive_datagram(encode(lie, KEY), B, net.now)
    assert a.next_event() is None


# --- the wire ----------------------------------------------------------------------------------------------


def test_a_later_version_and_unknown_kinds_are_dropped(net: Net) -> None:
    data = bytearray(encode(DirectDatagram(Kind.CALL), KEY))
    data[1] = 2
    with pytest.raises(DecodeError):
        decode_untrusted(bytes(data), KEY)


def test_what_later_versions_add_is_dropped(net: Net) -> None:
    for kind, payload in ((Kind.CALL, b"more"), (Kind.HERE, b"more"), (Kind.RECEIPT, receipt_payload(5) + b"more")):
        read = decode_untrusted(encode(DirectDatagram(kind, payload=payload), KEY), KEY)
        assert read.kind is kind
        assert read.received == (5 if kind is Kind.RECEIPT else 0)


def test_keys_and_labels_differ_by_each_part() -> None:
    parts = [(b"s" * 16, b"k" * 32, "web"), (b"t" * 16, b"k" * 32, "web"), (b"s" * 16, b"l" * 32, "web")]
    parts.append((b"s" * 16, b"k" * 32, "ssh"))
    assert len({derive_key(*part) for part in parts}) == len(parts)
    labels = {lan_label(*part) for part in parts}
    assert len(labels) == len(parts)
    assert all(len(label) == 32 and label.isalnum() and label.islower() for label in labels)


def test_an_envelope_keeps_names_and_body() -> None:
    envelope = Envelope("connect-1", "", b"{}")
    assert Envelope.decode_untrusted(envelope.encode()) == envelope


@pytest.mark.parametrize(
    "data", [b"", b"\x02\0\0", b"\x01", b"\x01\x05abc", b"\x01\x01-\0", b"\x01\x01\xff\0", b'{"type":"offer"}']
)
def test_no_envelope(data: bytes) -> None:
    with pytest.raises(DecodeError):
        Envelope.decode_untrusted(data)
