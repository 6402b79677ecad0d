from __future__ import annotations

import asyncio

import pytest

from p2p.proto.bench import encode_datagram
from p2p.session.bench_datagrams import EchoTimes


class Clock(asyncio.AbstractEventLoop):
    """A loop that only tells the time."""

    now = 0.0

    def time(self) -> float:
        return self.now


def test_loss_latency_and_jitter() -> None:
    clock = Clock()
    times = EchoTimes(clock)
    for number, took_s in ((1, 0.1), (2, 0.116), (3, None), (4, 0.1)):
        clock.now = float(number)
        times.sent(number)
        if took_s is not None:
            clock.now += took_s
            times.send([encode_datagram(number, 200)])
    result = times.result()
    assert (result.sent, result.lost, result.loss) == (4, 1, 0.25)
    assert result.latency is not None
    assert result.latency.max_s == pytest.approx(0.116)
    assert result.jitter_s == pytest.approx(0.001 + (0.016 - 0.001) / 16)
    assert not times.is_complete


def test_what_comes_twice_or_is_none_of_ours_does_not_count() -> None:
    clock = Clock()
    times = EchoTimes(clock)
    times.sent(1)
    times.send([encode_datagram(1, 4), encode_datagram(1, 4), encode_datagram(7, 4), b"", b"abc"])
    result = times.result()
    assert (result.sent, result.lost, result.jitter_s) == (1, 0, None)
    assert times.is_complete
    assert EchoTimes(clock).result().loss == 0.0
