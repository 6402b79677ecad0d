from __future__ import annotations

from dataclasses import replace

import pytest

from p2p.address import TransportAddress
from p2p.cli.bench import describe
from p2p.session.bench_result import BenchResult, Datagrams, Latency, Throughput
from p2p.session.status import PathKind

RESULT = BenchResult(
    path=PathKind.DIRECT, address=TransportAddress("203.0.113.9", 40000), rtt_s=0.0821, streams=4, seconds=5
)
LATENCY = Latency(count=60, p50_s=0.0822, p90_s=0.09, p99_s=0.1234, max_s=0.2)

UDP = Datagrams(sent=500, lost=2, jitter_s=0.0012, latency=LATENCY)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([0.3], (0.3, 0.3, 0.3, 0.3)),
        ([0.2, 0.1], (0.1, 0.2, 0.2, 0.2)),
        ([n / 1000 for n in range(1000, 0, -1)], (0.5, 0.9, 0.99, 1.0)),
    ],
)
def test_percentiles_are_of_the_nearest_rank(samples: list[float], expected: tuple[float, ...]) -> None:
    latency = Latency.of(samples)
    assert latency is not None
    assert (latency.p50_s, latency.p90_s, latency.p99_s, latency.max_s) == expected
    assert latency.count == len(samples)


def test_without_samples_there_is_no_latency() -> None:
    assert Latency.of([]) is None


def test_what_is_known_is_told_and_lines_are_only_added() -> None:
    stages = [
        RESULT,
        replace(RESULT, idle=LATENCY),
        replace(RESULT, idle=LATENCY, udp=UDP),
        replace(
            RESULT, idle=LATENCY, udp=UDP, download=Throughput(size_bytes=125_000_000, took_s=5.0, latency=LATENCY)
        ),
    ]
    told: list[str] = []
    for stage in stages:
        lines = describe(stage)
        assert lines[: len(told)] == told
        told = lines
    assert told == [
        "path      direct to 203.0.113.9:40000",
        "latency   p50 82 ms, p90 90 ms, p99 123 ms, 60 requests",
        "UDP       0.4 % of 500 datagrams lost, jitter 1.2 ms",
        "          p50 82 ms, p90 90 ms, p99 123 ms",
        "download  200 Mbit/s, 125 MB in 5.0 s, 4 streams",
        "          latency meanwhile p50 82 ms, p90 90 ms, p99 123 ms",
    ]


def test_a_path_that_changed_and_a_relay_are_told() -> None:
    result = replace(RESULT, path=PathKind.RELAY, reason="both-mappings-dependent", path_changes=1)
    first, *_, last = describe(result)
    assert first == "path      relay to 203.0.113.9:40000 (both-mappings-dependent)"
    assert last == "The path changed 1 time meanwhile: run it again."


def test_the_json_has_every_field_whatever_is_known() -> None:
    full = replace(RESULT, idle=LATENCY, upload=Throughput(size_bytes=1000, took_s=0.0, latency=None))
    assert full.to_json().keys() == RESULT.to_json().keys()
    assert full.to_json()["latency_ms"] == {"count": 60, "p50": 82.2, "p90": 90.0, "p99": 123.4, "max": 200.0}
    assert full.to_json()["upload"] == {"mbit_s": 0.0, "bytes": 1000, "took_s": 0.0, "latency_ms": None}
