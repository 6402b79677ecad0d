"""What ``p2p bench`` found, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from p2p.address import TransportAddress
from p2p.session.status import PathKind, PathTransport, milliseconds

_BITS_PER_MBIT: Final = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long requests of a few bytes took, one after the other on one stream, until the response was there."""

    count: int
    """How many there were."""
    p50_s: float
    """The median, in seconds."""
    p90_s: float
    """Nine of ten took no longer."""
    p99_s: float
    """99 of 100 took no longer."""
    max_s: float
    """The slowest one."""

    @classmethod
    def of(cls, samples_s: Sequence[float]) -> Self | None:
        """Sum up single measurements.

        Args:
            samples_s: In seconds, in any order.

        Returns:
            None when there are none.
        """
        if not samples_s:
            return None
        ordered = sorted(samples_s)

        def percentile(percent: int) -> float:
            """The nearest rank: always something that was measured."""
            return ordered[-(-len(ordered) * percent // 100) - 1]

        return cls(
            count=len(ordered), p50_s=percentile(50), p90_s=percentile(90), p99_s=percentile(99), max_s=ordered[-1]
        )

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values, times in milliseconds."""
        return {
            "count": self.count,
            "p50": milliseconds(self.p50_s),
            "p90": milliseconds(self.p90_s),
            "p99": milliseconds(self.p99_s),
            "max": milliseconds(self.max_s),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """What came through in one direction, counted where it arrived."""

    size_bytes: int
    """Payload on all streams together."""
    took_s: float
    """From the first byte on."""
    latency: Latency | None
    """What requests took meanwhile; None when none was answered."""

    @property
    def bytes_per_s(self) -> float:
        """The mean, slow start included."""
        return self.size_bytes / self.took_s if self.took_s > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "mbit_s": round(self.bytes_per_s * 8 / _BITS_PER_MBIT, 2),
            "bytes": self.size_bytes,
            "took_s": round(self.took_s, 3),
            "latency_ms": None if self.latency is None else self.latency.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Datagrams:
    """What became of datagrams at the pace of a call, there and back."""

    sent: int
    """How many there were."""
    lost: int
    """How many did not come back in time, whichever way they were lost on."""
    jitter_s: float | None
    """How much their times differ from one to the next, smoothed. Source: RFC 3550 section 6.4.1, for round trips."""
    latency: Latency | None
    """How long those that came back took; None when none did."""

    @property
    def loss(self) -> float:
        """The share that was lost, 0 to 1."""
        return self.lost / self.sent if self.sent else 0.0

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "sent": self.sent,
            "lost": self.lost,
            "loss": round(self.loss, 5),
            "jitter_ms": milliseconds(self.jitter_s),
            "latency_ms": None if self.latency is None else self.latency.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult:
    """All of a run; what was not measured yet is None."""

    path: PathKind
    """How everything travelled at first."""
    transport: PathTransport = PathTransport.UDP
    """What carried it on our side."""
    address: TransportAddress | None = None
    """Where we sent it."""
    rtt_s: float | None = None
    """Round trip of the path, in seconds."""
    reason: str | None = None
    """Why it stays on the relay, as a code of docs/errors/relayed.md; None when it does not, or nobody knows yet."""
    path_changes: int = 0
    """How often the path changed during the run: a run with a change measures two paths at once."""
    streams: int
    """Streams used at once."""
    seconds: int
    """How long each part took."""
    idle: Latency | None = None
    """What requests took while nothing else was sent."""
    udp: Datagrams | None = None
    """What became of datagrams while nothing else was sent."""
    download: Throughput | None = None
    """From the exposing side to us."""
    upload: Throughput | None = None
    """From us to the exposing side."""

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values, ready for one line of output."""
        return {
            "event": "bench",
            "path": self.path,
            "transport": self.transport,
            "address": None if self.address is None else str(self.address),
            "rtt_ms": milliseconds(self.rtt_s),
            "reason": self.reason,
            "path_changes": self.path_changes,
            "streams": self.streams,
            "seconds": self.seconds,
            "latency_ms": None if self.idle is None else self.idle.to_json(),
            "udp": None if self.udp is None else self.udp.to_json(),
            "download": None if self.download is None else self.download.to_json(),
            "upload": None if self.upload is None else self.upload.to_json(),
        }
