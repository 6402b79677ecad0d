"""A client's stream: any chunking, closed when it is no TURN, bounded when it does not read."""

import asyncio
import struct

import pytest

from p2p.proto.stun.attributes import CHANNEL_NUMBER, REQUESTED_TRANSPORT, XOR_PEER_ADDRESS
from p2p.proto.stun.message import Message, MessageClass, Method, encode
from relay.core.counters import Drop
from relay.core.five_tuple import ClientTransport
from relay.shell.connections import ConnectionLimiter, ConnectionLimits
from relay.shell.control import Control
from relay.shell.streams import StreamClient
from tests.unit.relay.support import PEER, SERVER, Client, Relay

CHANNEL = 0x4000


class FakeTransport(asyncio.Transport):
    """Remembers what was written, and holds it like a peer that does not read when told so."""

    def __init__(self, peer=("203.0.113.7", 4000)):
        super().__init__({"peername": peer, "sockname": tuple(SERVER)})
        self.written = b""
        self.is_stuck = False
        self.is_aborted = False
        self.is_closed = False

    def write(self, data):
        self.written += data

    def get_write_buffer_size(self):
        return len(self.written) if self.is_stuck else 0

    def is_closing(self):
        return self.is_aborted or self.is_closed

    def abort(self):
        self.is_aborted = True

    def close(self):
        self.is_closed = True


class FakeLoop:
    """The two methods a stream needs, on the relay's clock."""

    def __init__(self, relay):
        self.relay = relay
        self.timers = []

    def time(self):
        return self.relay.now

    def call_at(self, at, callback):
        timer = FakeTimer(at, callback)
        self.timers.append(timer)
        return timer

    def call_later(self, delay, callback):
        return self.call_at(self.relay.now + delay, callback)

    def advance(self, seconds):
        end = self.relay.now + seconds
        while due := [timer for timer in self.timers if timer.at <= end]:
            first = min(due, key=lambda timer: timer.at)
            self.timers.remove(first)
            self.relay.now = max(self.relay.now, first.at)
            if not first.is_cancelled:
                first.callback()
        self.relay.now = end


class FakeTimer:
    def __init__(self, at, callback):
        self.at, self.callback, self.is_cancelled = at, callback, False

    def cancel(self):
        self.is_cancelled = True

    def when(self):
        return self.at


class Fixture:
    def __init__(self, limits=None):
        self.relay = Relay()
        self.loop = FakeLoop(self.relay)
        self.control = Control(self.loop, self.relay.server, wall_clock=lambda: self.relay.now_wall)
        self.limiter = ConnectionLimiter(limits or ConnectionLimits())
        self.client = Client(self.relay, transport=ClientTransport.TCP)
        self.stream, self.transport = self.connect()

    def connect(self, port=4000):
        stream = StreamClient(self.loop, self.control, self.limiter)
        transport = FakeTransport(("203.0.113.7", port))
        stream.connection_made(transport)
        return stream, transport

    def allocate_and_bind(self):
        self.stream.data_received(self.client.encoded(Method.ALLOCATE, REQUESTED_TRANSPORT(17)))
        bind = (CHANNEL_NUMBER(CHANNEL), XOR_PEER_ADDRESS(PEER))
        self.stream.data_received(self.client.encoded(Method.CHANNEL_BIND, *bind))
        self.transport.written = b""

    @property
    def sent(self):
        return [data for _, data in self.client.socket.sent]


@pytest.fixture
def fixture():
    return Fixture()


def channel_data(payload, number=CHANNEL):
    return struct.pack("!HH", number, len(payload)) + payload + bytes(-len(payload) & 3)


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 7, 11, 64, 1000, 10_000])
def test_messages_are_found_in_any_chunking(fixture, chunk):
    fixture.allocate_and_bind()
    payloads = [b"a", b"", b"", b"1234", b"x" * 1200, b"x" * 1200, b"y" * 333, *[b"z" * 50] * 3, *[b"zz"] * 70, b"zzz"]
    refresh = fixture.client.encoded(Method.REFRESH)
    stream = b"".join(map(channel_data, payloads)) + refresh + channel_data(b"end")
    for start in range(0, len(stream), chunk):
        fixture.stream.data_received(stream[start : start + chunk])
    assert fixture.sent == [*payloads, b"end"]
    assert len(fixture.transport.written) > 20
    assert not fixture.transport.is_aborted


def test_data_to_the_client_is_padded(fixture):
    fixture.allocate_and_bind()
    for run in ([b"12345", b"54321", b"1234"], [b"1"], [b""], [b"12345678"] * 3, [b"12345", b"1"]):
        fixture.transport.written = b""
        fixture.client.allocation.receive_from_peer(PEER, run)
        assert fixture.transport.written == b"".join(map(channel_data, run))


def test_unknown_channels_are_dropped_and_the_rest_is_not(fixture):
    fixture.allocate_and_bind()
    fixture.stream.data_received(channel_data(b"a") + channel_data(b"b", 0x4001) + channel_data(b"c"))
    assert fixture.sent == [b"a", b"c"]
    assert fixture.relay.counters.drops[Drop.NO_CHANNEL] == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\xff" * 100,
        b"\x00\x01\x00\x00" + bytes(16),
        b"\x00\x01\x00\x03\x21\x12\xa4\x42" + bytes(15),
        b"\x00\x01\xff\xfc\x21\x12\xa4\x42" + bytes(12),
        channel_data(bytes(3000)),
    ],
)
def test_what_is_no_turn_is_closed_at_once(fixture, garbage):
    fixture.stream.data_received(garbage)
    assert fixture.transport.is_aborted
    fixture.stream.data_received(garbage)
    fixture.stream.connection_lost(None)
    assert len(fixture.limiter) == 0


def test_a_malformed_message_of_right_length_is_dropped(fixture):
    fixture.stream.data_received(b"\x00\x03\x00\x04\x21\x12\xa4\x42" + bytes(12) + b"\x00\x06\xff\xff")
    assert fixture.relay.counters.drops[Drop.MALFORMED] == 1
    assert not fixture.transport.is_aborted


def test_a_connection_without_an_allocation_is_closed_in_time(fixture):
    fixture.loop.advance(19)
    fixture.stream.data_received(b"\x00")
    assert not fixture.transport.is_aborted
    fixture.loop.advance(2)
    assert fixture.transport.is_aborted


def test_a_connection_with_an_allocation_stays_and_goes_after_it(fixture):
    fixture.allocate_and_bind()
    fixture.loop.advance(590)
    assert not fixture.transport.is_aborted
    fixture.loop.advance(90)
    assert fixture.transport.is_aborted


def test_after_the_end_of_the_allocation_data_is_dropped_and_a_new_one_can_be_made(fixture):
    fixture.allocate_and_bind()
    fixture.loop.advance(602)
    fixture.stream.data_received(channel_data(b"late"))
    assert fixture.relay.counters.drops[Drop.NO_CHANNEL] == 1
    fixture.stream.data_received(fixture.client.encoded(Method.ALLOCATE, REQUESTED_TRANSPORT(17)))
    assert len(fixture.relay.server.table) == 1
    assert not fixture.transport.is_aborted


def test_a_lost_connection_ends_its_allocation_and_its_timer(fixture):
    fixture.allocate_and_bind()
    fixture.stream.connection_lost(ConnectionResetError())
    assert len(fixture.relay.server.table) == 0
    assert len(fixture.limiter) == 0
    assert all(timer.is_cancelled for timer in fixture.loop.timers if timer.callback.__self__ is fixture.stream)


def test_too_many_refusals_close_the_connection(fixture):
    request = encode(Message(MessageClass.REQUEST, Method.ALLOCATE, bytes(12), (REQUESTED_TRANSPORT(17),)))
    for _ in range(15):
        fixture.stream.data_received(request)
        assert not fixture.transport.is_closed
    fixture.stream.data_received(request)
    assert fixture.transport.is_closed


def test_a_client_that_does_not_read_loses_data_and_not_the_relays_memory(fixture):
    fixture.allocate_and_bind()
    fixture.transport.is_stuck = True
    for _ in range(1000):
        fixture.client.allocation.receive_from_peer(PEER, [bytes(1200)] * 10)
    assert len(fixture.transport.written) <= 256 * 1024
    assert fixture.relay.counters.drops[Drop.CLIENT_BUFFER_FULL] >= 9700


def test_connections_are_counted_against_their_limits():
    fixture = Fixture(ConnectionLimits(total=3, per_address=2))
    second, _ = fixture.connect(4001)
    refused, transport = fixture.connect(4002)
    assert transport.is_aborted
    refused.connection_lost(None)
    second.connection_lost(None)
    assert not fixture.connect(4003)[1].is_aborted
    fixture.limiter.close()
    assert fixture.transport.is_aborted
