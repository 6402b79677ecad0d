"""The validated paths of one peer."""

from __future__ import annotations

from collections.abc import Iterator

from p2p import defaults
from p2p.address import TransportAddress
from p2p.proto.ice import CandidatePair, PairKey
from p2p.proto.path.events import PathSized
from p2p.proto.path.flaps import FlapMemory
from p2p.proto.path.health import PathHealth
from p2p.proto.path.heartbeats import Heartbeats
from p2p.proto.path.path import Path
from p2p.proto.path.policy import PathView


class PathBook:
    """Every path that is alive, with its health, and the memory of those that died.

    Args:
        heartbeats: See ``PathHealth``.
        wider_bytes: See ``PathWidth``.
    """

    def __init__(
        self, heartbeats: Heartbeats | None = None, wider_bytes: tuple[int, ...] = defaults.PATH_WIDER_BYTES
    ) -> None:
        self._heartbeats = heartbeats or Heartbeats()
        self._wider_bytes = wider_bytes
        self._healths: dict[PairKey, PathHealth] = {}
        self._sized: tuple[PairKey, int] | None = None
        self._flaps = FlapMemory()
        self._buried: set[PairKey] = set()
        self._empty_since: float | None = None

    def __len__(self) -> int:
        return len(self._healths)

    def __iter__(self) -> Iterator[PathHealth]:
        return iter(tuple(self._healths.values()))

    def find(self, key: PairKey) -> PathHealth | None:
        """Return the health of a path that is alive."""
        return self._healths.get(key)

    def add(self, pair: CandidatePair, rtt_s: float, now: float) -> PathHealth:
        """Take a pair that has become valid."""
        health = self._healths[pair.key] = PathHealth(pair, rtt_s, now, self._heartbeats, self._wider_bytes)
        return health

    def packet_bytes(self, key: PairKey) -> int:
        """The longest packet to send on a path: what it has proven to carry, or what every path must."""
        health = self._healths.get(key)
        return defaults.QUIC_PACKET_BYTES if health is None else health.width.packet_bytes

    def sized(self, path: Path) -> PathSized | None:
        """Tell what a path carries, if it is not the path that this was asked for last, or carries more or less now."""
        before, self._sized = self._sized, (path.key, self.packet_bytes(path.key))
        if self._sized == before:
            return None
        return PathSized(path, self._sized[1])

    def suspect(self) -> None:
        """Have all paths probed as soon as possible."""
        for health in self:
            health.suspect()

    def doubt(self, remote: TransportAddress) -> None:
        """Have the paths to an address probed, and not relied upon before that is answered."""
        for health in self:
            if health.path.remote == remote:
                health.doubt()

    def remove(self, key: PairKey, now: float) -> PathHealth | None:
        """Forget a path whose transport is gone."""
        self._buried.discard(key)
        return self._take(key, now)

    def bury(self, key: PairKey, now: float) -> None:
        """Forget a path that died, but not that it did."""
        if self._take(key, now) is not None:
            self._flaps.lost(key, now)
            self._buried.add(key)

    def _take(self, key: PairKey, now: float) -> PathHealth | None:
        taken = self._healths.pop(key, None)
        if taken is not None and not self._healths:
            self._empty_since = now
        return taken

    def without_path_s(self, now: float) -> float | None:
        """How long there has been no path, None while there is one; 0 before the first one."""
        if self._healths:
            return None
        return 0.0 if self._empty_since is None else now - self._empty_since

    def has_direct(self) -> bool:
        """Whether a direct path is alive."""
        return any(health.path.is_direct for health in self._healths.values())

    def views(self, now: float, *, controlling: bool) -> list[PathView]:
        """Return what the policy looks at.

        Args:
            now: The monotonic time.
            controlling: Whether we control; if not, the peer's nomination counts.
        """
        return [
            PathView(
                health.path,
                health.rtt_s,
                health.doubtful(now),
                self._flaps.held_until(key, health.validated_at) > now or (key in self._buried and not health.is_wide),
                health.pair.nominated and not controlling,
            )
            for key, health in self._healths.items()
        ]

    def next_at(self, now: float) -> float | None:
        """When something changes by itself: a probe is due, doubt or an end comes, a hold ends."""
        times = [health.next_at(now) for health in self._healths.values()]
        holds = (self._flaps.held_until(key, health.validated_at) for key, health in self._healths.items())
        times += [held_until for held_until in holds if held_until > now]
        return min(times, default=None)
