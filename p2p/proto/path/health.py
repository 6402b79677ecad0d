"""Whether one path is alive: when to probe it, when to doubt it, when to give it up."""

from __future__ import annotations

from typing import Final

from p2p import defaults
from p2p.proto.ice import CandidatePair
from p2p.proto.path.heartbeats import Heartbeats
from p2p.proto.path.path import Path, PathStatus
from p2p.proto.path.width import PathWidth

_RTT_GAIN: Final = 1 / 8
_VARIATION_GAIN: Final = 1 / 4
_VARIATIONS: Final = 4
"""The constants of RFC 6298 section 2."""


class PathHealth:
    """The signs of life of one validated path.

    Probes are Binding requests. They go out at the heartbeat's pace while all is well, and every
    ``PATH_PROBE_SPACING_S`` as soon as a probe is missed, or data went out and nothing came back. An answer
    proves both directions; any other authentic packet only that packets come in, so that a path on which
    packets come in and probes stay unanswered is doubted just the same, and given up later.

    A path may let checks pass and not the far longer packets of data. So probes are padded to ``QUIC_PACKET_BYTES``
    until one was answered, and again after data went out; then only the answer to such a probe proves anything. What a
    path in use carries beyond that is asked with checks of their own, whose silence is no sign of death.

    Args:
        pair: The valid pair.
        rtt_s: Round-trip time of the check that made it valid.
        now: The monotonic time.
        heartbeats: How often to probe, and who is told what that shows of the NAT; None means as usual.
        wider_bytes: See ``PathWidth``.

    Attributes:
        path: What is selected; replaced when more becomes known about the addresses.
        validated_at: When the pair became valid.
        rtt_s: Smoothed as in RFC 6298.
        min_rtt_s: The least seen.
        heard_at: When anything authentic last came in.
        used_since: When the path became a sending path, None while it is in reserve.
        is_wide: Whether a packet of ``QUIC_PACKET_BYTES`` has come through since the path is there.
        width: What it carries beyond that.
    """

    __slots__ = (
        "_has_carried",
        "_heartbeats",
        "_is_doubted",
        "_mapped_address",
        "_probe_now",
        "_probed_at",
        "_quiet_s",
        "_rtt_variation_s",
        "_sent_at",
        "_silent_since",
        "_unanswered",
        "heard_at",
        "is_wide",
        "min_rtt_s",
        "pair",
        "path",
        "rtt_s",
        "used_since",
        "validated_at",
        "width",
    )

    def __init__(
        self,
        pair: CandidatePair,
        rtt_s: float,
        now: float,
        heartbeats: Heartbeats | None = None,
        wider_bytes: tuple[int, ...] = defaults.PATH_WIDER_BYTES,
    ) -> None:
        self.pair = pair
        self.path = Path.of(pair)
        self.validated_at = now
        self.rtt_s = rtt_s
        self.min_rtt_s = rtt_s
        self._rtt_variation_s = rtt_s / _VARIATIONS
        self.heard_at = now
        self.used_since: float | None = None
        self.is_wide = False
        self.width = PathWidth(wider_bytes)
        self._heartbeats = heartbeats or Heartbeats()
        self._mapped_address = pair.mapped_address
        self._probed_at = self._sent_at = now
        self._quiet_s = 0.0
        self._probe_now = True
        self._has_carried = False
        self._is_doubted = False
        self._silent_since: float | None = None
        self._unanswered: list[float] = []

    # --- What happened -------------------------------------------------------------------------------------
    def answered(self, rtt_s: float, now: float, *, size: int) -> None:
        """A check was answered: packets pass both ways, at least those of its size (bytes; 0 without padding)."""
        full_size = size >= defaults.QUIC_PACKET_BYTES
        self.width.answered(size, now - rtt_s, now)
        self._rtt_variation_s += (abs(rtt_s - self.rtt_s) - self._rtt_variation_s) * _VARIATION_GAIN
        self.rtt_s += (rtt_s - self.rtt_s) * _RTT_GAIN
        self.min_rtt_s = min(self.min_rtt_s, rtt_s)
        self.heard(now)
        self._notice_mapping()
        if not full_size and self.needs_full_size:
            return
        self._unanswered.clear()
        self._is_doubted = False
        if full_size:
            self.is_wide = True
            self._has_carried = False

    def heard(self, now: float) -> None:
        """Something authentic came in."""
        self.heard_at = now
        self._silent_since = None

    def checked(self, now: float) -> None:
        """A check of the peer's came in, and an answer went out."""
        self.heard(now)
        self._sent(now)

    def data_sent(self, now: float) -> bool:
        """Data went out.

        Returns:
            Whether this starts a silence, which moves the timer.
        """
        self._sent(now)
        if self._silent_since is not None:
            return False
        self._silent_since = now
        self._has_carried = True
        return True

    def probes(self, now: float) -> list[int]:
        """Take the checks that are due: the padded size of each, in bytes, 0 for one without padding."""
        sizes = []
        if self.probe_at() <= now:
            sizes.append(defaults.QUIC_PACKET_BYTES if self.needs_full_size else 0)
            self.probed(now)
        if self.used_since is not None:
            sizes += self.width.probes(now, self.heard_at, self._answer_wait_s)
        return sizes

    def probed(self, now: float) -> None:
        """A probe went out."""
        self._sent(now)
        self._probed_at = now
        self._probe_now = False
        if len(self._unanswered) < defaults.PATH_PROBES_UNTIL_ONE_WAY_DEAD:
            self._unanswered.append(now)

    def suspect(self) -> None:
        """Something happened that may have broken the path: probe it as soon as possible."""
        self._probe_now = True

    def doubt(self) -> None:
        """Somebody says that the path is broken: probe it, and do not rely on it before that is answered."""
        self._is_doubted = True
        self._probe_now = True

    def forgive(self) -> None:
        """We were asleep: unanswered probes of before prove nothing, and nothing of before proves life."""
        self._unanswered.clear()
        self._silent_since = None
        self._probe_now = True

    # --- What follows --------------------------------------------------------------------------------------
    @property
    def needs_full_size(self) -> bool:
        """Whether a probe must have the size of a full packet to prove anything."""
        return self._has_carried or not self.is_wide

    def probe_at(self) -> float:
        """When the next probe is due; in the past when it is now."""
        if self._probe_now:
            return self._probed_at
        in_use = self.used_since is not None
        due_at = self._probed_at + (self._heartbeats.used_s if in_use else self._heartbeats.standby_s)
        quick_at = self._probed_at + defaults.PATH_PROBE_SPACING_S
        if self._unanswered:
            due_at = min(due_at, max(quick_at, self._unanswered[0] + self._answer_wait_s))
        if self._silent_since is not None:
            due_at = min(due_at, max(quick_at, self._silent_since + defaults.PATH_SILENCE_S))
        return due_at

    def uneasy(self, now: float) -> bool:
        """Whether data should go out on another path too: at the first sign that this one may be dead."""
        return now >= self._unease_at()

    def doubtful(self, now: float) -> bool:
        """Whether the path may be dead on better evidence, so that another of its kind should take its place."""
        return now >= self._doubt_at()

    def dead(self, now: float) -> bool:
        """Whether the path is dead as far as evidence goes."""
        return now >= self._dead_at()

    def next_at(self, now: float) -> float:
        """When something about the path changes by itself: a probe is due, doubt or the end comes."""
        width_at = max(self.width.next_at(), now) if self.used_since is not None else float("inf")
        changes = (self._unease_at(), self._doubt_at(), self._dead_at())
        return min([self.probe_at(), width_at, *(at for at in changes if at > now)])

    def status(self, now: float, *, in_use: bool) -> PathStatus:
        """Return how the path is doing."""
        return PathStatus(
            self.path, self.rtt_s, self.min_rtt_s, self.doubtful(now), in_use, self.heard_at, self.width.packet_bytes
        )

    def _sent(self, now: float) -> None:
        self._quiet_s = max(self._quiet_s, now - self._sent_at)
        self._sent_at = now

    def _notice_mapping(self) -> None:
        """See whether the NAT still had our mapping after the longest time in which we sent nothing."""
        quiet_s, self._quiet_s = self._quiet_s, 0.0
        before, self._mapped_address = self._mapped_address, self.pair.mapped_address
        seen = self._mapped_address
        if quiet_s < defaults.HEARTBEAT_QUIET_S or not self.path.is_direct or before is None or seen is None:
            return
        # Another host is another router, or another way out.
        if before.host == seen.host and not seen.is_ipv6:
            self._heartbeats.noticed(quiet_s, is_kept=before == seen)

    @property
    def _answer_wait_s(self) -> float:
        expected_s = self.rtt_s + max(self.rtt_s, _VARIATIONS * self._rtt_variation_s)
        return min(max(defaults.PATH_ANSWER_WAIT_S, expected_s), defaults.PATH_ANSWER_WAIT_MAX_S)

    def _missed_at(self, count: int) -> float:
        """When so many probes in a row have been missed, should nothing be answered."""
        if len(self._unanswered) < count:
            return float("inf")
        return self._unanswered[count - 1] + self._answer_wait_s

    @property
    def _is_heard(self) -> bool:
        """Whether packets have come in since the first probe that is unanswered."""
        return bool(self._unanswered) and self.heard_at > self._unanswered[0]

    def _unease_at(self) -> float:
        if self._silent_since is None:
            return self._doubt_at()
        # Data without a reply is evidence as well: one missed probe is enough then.
        return min(max(self._missed_at(1), self._silent_since + defaults.PATH_SILENCE_S), self._doubt_at())

    def _doubt_at(self) -> float:
        if self._is_doubted:
            return float("-inf")
        count = defaults.PATH_PROBES_UNTIL_DEAD if self._is_heard else defaults.PATH_PROBES_UNTIL_DOUBT
        missed_at = self._missed_at(count)
        if self.used_since is None or not self.path.is_direct:
            return missed_at
        return min(missed_at, max(self.heard_at, self.used_since) + defaults.PATH_TRUST_S)

    def _dead_at(self) -> float:
        # In reserve there is no hurry: a doubtful path is the last to be taken anyway.
        patient = self._is_heard or self.used_since is None
        return self._missed_at(defaults.PATH_PROBES_UNTIL_ONE_WAY_DEAD if patient else defaults.PATH_PROBES_UNTIL_DEAD)
