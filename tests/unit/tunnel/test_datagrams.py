"""How datagrams are packed into QUIC's, and framed on a stream."""

from __future__ import annotations

import pytest

from p2p.errors import DecodeError
from p2p.proto.tunnel.datagrams import (
    TRAIN_MAX_DATAGRAMS,
    DatagramReader,
    Train,
    TrainBuilder,
    decode_train_untrusted,
    frame_datagram,
)


def test_one_datagram_costs_a_stream_id_and_a_byte() -> None:
    builder = TrainBuilder(4)
    builder.add(b"hello", 5)
    assert builder.take(1170) == ([b"\x04\x00hello"], [])
    assert decode_train_untrusted(b"\x04\x00hello") == Train(4, [b"hello"])


def test_an_empty_datagram_is_one() -> None:
    builder = TrainBuilder(4)
    builder.add(b"", 0)
    builder.add(b"", 0)
    assert builder.take(1170) == ([b"\x04\x00", b"\x04\x00"], [])
    assert decode_train_untrusted(b"\x04\x00") == Train(4, [b""])


def test_equal_sizes_travel_together_as_far_as_they_fit() -> None:
    builder = TrainBuilder(4)
    for number in range(7):
        builder.add(bytes((number,)) * 200, 200)
    packed, large = builder.take(1000)
    assert not large
    assert [len(payload) for payload in packed] == [803, 603]
    trains = [decode_train_untrusted(payload) for payload in packed]
    assert [datagram[0] for train in trains for datagram in train.datagrams] == list(range(7))


def test_a_kernels_batch_is_cut_like_single_ones() -> None:
    builder = TrainBuilder(4)
    builder.add(bytes(1000) + b"x", 200)
    packed, _ = builder.take(1170)
    assert [len(datagram) for datagram in decode_train_untrusted(packed[0]).datagrams] == [200] * 5
    assert decode_train_untrusted(packed[1]).datagrams == [b"x"]


def test_a_shorter_one_ends_a_run_and_a_longer_one_begins_another() -> None:
    builder = TrainBuilder(4)
    sizes = [100, 100, 60, 100, 120, 120]
    for size in sizes:
        builder.add(bytes(size), size)
    packed, _ = builder.take(1170)
    trains = [decode_train_untrusted(payload).datagrams for payload in packed]
    assert [[len(datagram) for datagram in train] for train in trains] == [[100, 100, 60], [100], [120, 120]]


@pytest.mark.parametrize("room", [0, 1, 99, 101])
def test_what_does_not_fit_is_told(room: int) -> None:
    builder = TrainBuilder(4)
    builder.add(bytes(250), 100)
    packed, large = builder.take(room)
    assert [len(datagram) for datagram in large] == [100, 100, 50][: 2 if room >= 52 else 3]
    assert [len(payload) for payload in packed] == ([52] if room >= 52 else [])


def test_no_more_than_a_kernel_cuts_at_once() -> None:
    builder = TrainBuilder(4)
    builder.add(bytes(100), 1)
    packed, _ = builder.take(1170)
    assert [len(decode_train_untrusted(payload).datagrams) for payload in packed] == [TRAIN_MAX_DATAGRAMS, 36]


def test_many_sizes_do_not_make_it_grow() -> None:
    builder = TrainBuilder(4)
    for size in range(1, 3 * TRAIN_MAX_DATAGRAMS):
        builder.add(bytes(2 * size), size)
        assert len(builder.take(1170)[0]) == 1
    assert len(builder._prefixes) <= TRAIN_MAX_DATAGRAMS


@pytest.mark.parametrize("data", [b"", b"\x04", b"\x44", b"\x04\x01", b"\x04\x01" + bytes(65), b"\x04\x40"])
def test_nonsense_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_train_untrusted(data)


def test_framed_datagrams_come_out_whole() -> None:
    stream = b"".join(map(frame_datagram, (b"one", b"", bytes(65_507), b"four")))
    for step in (1, 7, len(stream)):
        reader = DatagramReader()
        got = [d for at in range(0, len(stream), step) for d in reader.feed(stream[at : at + step])]
        assert [len(datagram) for datagram in got] == [3, 0, 65_507, 4]
        assert reader.is_between_datagrams
    reader.feed(b"\0\5abc")
    assert not reader.is_between_datagrams
