"""Received batches sorted into runs, and ChannelData cut out of them: nothing lost, nothing in another order."""

from __future__ import annotations

import struct
import sys

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from p2p.address import TransportAddress
from relay.core.counters import Drop, RelayCounters
from relay.shell.arena import SLOT_BYTES, Batch, ReceiveArena
from relay.shell.channel_data import ChannelDataCutter, fits
from relay.shell.runs import payloads_of, runs_of, segments_of

ARENA = ReceiveArena(16)
CHANNELS = {0x4000: "one", 0x4001: "two"}


class FakeAllocation:
    """Has two channels, and checks that what it is given are runs."""

    def __init__(self) -> None:
        self.channels = dict(CHANNELS)
        self.sent: list[tuple[str, bytes]] = []
        self.calls = 0

    def send_on_channel(self, channel: str, payloads) -> None:
        assert payloads
        assert all(fits(payloads[:at], payloads[at]) for at in range(len(payloads)))
        self.calls += 1
        self.sent += [(channel, bytes(payload)) for payload in payloads]


def put(messages: list[bytes], sizes: list[int] | None = None) -> Batch:
    for slot, message in enumerate(messages):
        ARENA.view[slot * SLOT_BYTES : slot * SLOT_BYTES + len(message)] = message
    return Batch([len(message) for message in messages], sizes)


def channel_data(number: int, payload: bytes, padding: int = 0) -> bytes:
    return struct.pack("!HH", number, len(payload)) + payload + bytes(padding)


def cutter_and_others() -> tuple[ChannelDataCutter, RelayCounters, list[bytes]]:
    others: list[bytes] = []
    counters = RelayCounters()
    return ChannelDataCutter(ARENA, counters, lambda data, _: others.append(data)), counters, others


def naive(datagram: bytes) -> tuple[str, bytes] | None:
    """What one datagram should become."""
    if len(datagram) < 4:
        return None
    number, size = struct.unpack_from("!HH", datagram)
    return (CHANNELS[number], datagram[4 : 4 + size]) if number in CHANNELS and size <= len(datagram) - 4 else None


datagrams = st.one_of(
    st.builds(
        channel_data,
        st.sampled_from([0x4000, 0x4001, 0x4002]),
        st.sampled_from([b"", b"a", b"bb" * 20, b"c" * 20]),
        st.sampled_from([0, 0, 0, 3]),
    ),
    st.binary(min_size=1, max_size=30),
    st.just(b"\x00\x01\x00\x00" + bytes(16)),
)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 2), datagrams), min_size=1, max_size=16))
def test_separate_datagrams_of_several_clients(arrived):
    batch = put([data for _, data in arrived])
    cutter, _, others = cutter_and_others()
    allocations = [FakeAllocation() for _ in range(3)]
    for run in runs_of(batch, [key for key, _ in arrived], ARENA.heads(batch)):
        cutter.take(allocations[run.key], run)
    for key, allocation in enumerate(allocations):
        mine = [naive(data) for sender, data in arrived if sender == key]
        assert allocation.sent == [found for found in mine if found is not None]
    assert sorted(others) == sorted(data for _, data in arrived if not 0x40 <= data[0] <= 0x7F)


@settings(max_examples=300)
@given(st.lists(datagrams, min_size=1, max_size=12), st.integers(1, 60))
def test_joined_datagrams(wanted, size):
    """The kernel joins what is of one size, and one shorter datagram at the end."""
    segments = [data.ljust(size, b"\0")[:size] for data in wanted[:-1]] + [wanted[-1][:size]]
    message = b"".join(segments)
    cutter, _, others = cutter_and_others()
    allocation = FakeAllocation()
    for run in runs_of(put([message], [size]), None, [0]):
        cutter.take(allocation, run)
    assert allocation.sent == [found for found in map(naive, segments) if found is not None]
    assert others == [data for data in segments if not 0x40 <= data[0] <= 0x7F]


def test_a_uniform_flow_goes_on_in_one_call():
    for joined in (False, True):
        cutter, _, _ = cutter_and_others()
        allocation = FakeAllocation()
        sent = [channel_data(0x4000, bytes([number]) * 100) for number in range(10)]
        if joined:
            sent.append(channel_data(0x4000, b"short"))
            batch = put([b"".join(sent)], [104])
        else:
            batch = put(sent)
        for run in runs_of(batch, None, ARENA.heads(batch)):
            cutter.take(allocation, run)
        assert [data for _, data in allocation.sent] == [data[4:] for data in sent]
        assert allocation.calls == 1


def test_a_message_among_channel_data_keeps_its_place():
    cutter, _, _ = cutter_and_others()
    allocation = FakeAllocation()
    seen: list[int] = []
    cutter._on_other = lambda data, _: seen.append(len(allocation.sent))
    segments = [channel_data(0x4000, b"x" * 16)] * 3 + [b"\x00" * 20] + [channel_data(0x4000, b"y" * 16)] * 2
    for run in runs_of(put([b"".join(segments)], [20]), None, [0]):
        cutter.take(allocation, run)
    assert seen == [3]
    assert len(allocation.sent) == 5


def test_what_is_no_data_is_counted():
    cutter, counters, _ = cutter_and_others()
    allocation = FakeAllocation()
    for data in (channel_data(0x4005, b"x"), b"\x40\x00\x00\x09x", b"\x40"):
        put([data])
        cutter.take_one(allocation, len(data), len(data))
    assert counters.drops == {Drop.NO_CHANNEL: 1, Drop.MALFORMED: 2}
    assert not allocation.sent


def test_the_size_of_the_last_batch_does_not_linger():
    """A batch with joined messages, then one without: each is read by its own sizes."""
    first = list(runs_of(put([bytes(40), bytes(10)], [20, 0]), [1, 1], None))
    assert [(run.length, run.size) for run in first] == [(40, 20), (10, 0)]
    second = list(runs_of(put([bytes(40), bytes(40)]), [1, 1], None))
    assert [(list(run.slots), run.length, run.size) for run in second] == [([0, 1], 40, 0)]


def test_views_are_kept_within_a_bound(monkeypatch):
    monkeypatch.setattr("relay.shell.arena.RELAY_VIEWS_REMEMBERED", 1000)
    arena = ReceiveArena(4)
    for size in range(200, 1400, 10):
        assert len(segments_of(arena, 1, 65_000, size)) == -(-65_000 // size)
        assert arena._view_count <= 1000


@pytest.mark.parametrize("slots", [range(2), range(16), [3, 1, 15], list(range(15, -1, -1))])
def test_payloads_are_views_of_their_slots(slots):
    put([bytes([slot]) * 50 for slot in range(16)])
    assert [bytes(view) for view in payloads_of(ARENA, slots, 4, 30)] == [bytes([slot]) * 30 for slot in slots]


def test_addresses_are_read_as_the_kernel_writes_them():
    arena = ReceiveArena(4)
    key = int.from_bytes(b"\x02\x00\x13\x88\xc0\x00\x02\x07", sys.byteorder)
    assert arena.address_of(key) == TransportAddress("192.0.2.7", 5000)
    assert arena.address_of(b"\x13\x88" + bytes(15) + b"\x01") == TransportAddress("::1", 5000)
    assert isinstance(arena.address_of(("192.0.2.7", 5000)), TransportAddress)
