"""How long the packets may be that one path carries."""

from __future__ import annotations

from typing import Final

from p2p import defaults

_NEVER: Final = float("inf")


class PathWidth:
    """Finds out what a path carries beyond what all must, and notices when it carries less.

    A search: checks that are padded to the widest size go out, up to ``PATH_WIDTH_TRIES`` of them, then to the next
    one. The first that is answered ends it. A path that has been found narrow is tried again after
    ``PATH_WIDTH_AGAIN_S``.

    A doubt: packets were lost. Then a check of the width goes out, and with it one of ``QUIC_PACKET_BYTES``. If only
    the short one is answered, and that twice, the path has become narrow, and the search begins anew. If neither is,
    nothing is known of the width, and the path's health is the question.

    The width is that of our own direction; the peer finds out about the other one. Source: RFC 8899, in spirit.

    Args:
        sizes: What to try, in bytes, the most first, each above ``QUIC_PACKET_BYTES``; none leaves the path at that.

    Attributes:
        packet_bytes: The longest packet that the path has proven to carry, or that every path must.
    """

    __slots__ = (
        "_again_at",
        "_asked_at",
        "_due_at",
        "_is_doubted",
        "_misses",
        "_not_before",
        "_sizes",
        "_target",
        "_told_at",
        "_tries",
        "packet_bytes",
    )

    def __init__(self, sizes: tuple[int, ...] = defaults.PATH_WIDER_BYTES) -> None:
        self.packet_bytes = defaults.QUIC_PACKET_BYTES
        self._sizes = sizes
        self._target: int | None = None
        self._tries = self._misses = 0
        self._due_at = self._asked_at = float("-inf")
        self._again_at = float("-inf") if sizes else _NEVER
        self._is_doubted = False
        self._told_at: float | None = None
        self._not_before = float("-inf")

    # --- What happened -------------------------------------------------------------------------------------
    def answered(self, size: int, sent_at: float, now: float) -> None:
        """A check was answered.

        Args:
            size: The padded length of the check, in bytes; 0 without padding.
            sent_at: When it was sent.
            now: The monotonic time.
        """
        if size > self.packet_bytes:
            self.packet_bytes = size
            self._rest(now)
        if size >= self.packet_bytes:
            self._is_doubted = False
        elif self._is_doubted and self._told_at is None and size and sent_at >= self._asked_at:
            self._told_at = now

    def packets_lost(self, now: float) -> bool:
        """Packets of data were lost, perhaps because they are too long now.

        Returns:
            Whether this raises a doubt: checks are due.
        """
        if self._is_doubted or self.packet_bytes <= defaults.QUIC_PACKET_BYTES or now < self._not_before:
            return False
        self._is_doubted = True
        self._told_at = None
        self._misses = 0
        self._due_at = now
        self._not_before = now + defaults.PATH_WIDTH_DOUBT_S
        return True

    # --- What follows --------------------------------------------------------------------------------------
    def probes(self, now: float, heard_at: float, answer_wait_s: float) -> tuple[int, ...]:
        """Take the checks that are due.

        Args:
            now: The monotonic time.
            heard_at: When anything authentic last came in on the path.
            answer_wait_s: How long an answer may take.

        Returns:
            The size of each, in bytes.
        """
        if now < self.next_at():
            return ()
        wait_s = max(answer_wait_s, defaults.PATH_PROBE_SPACING_S)
        if self._is_doubted:
            if self._told_at is not None:
                self._misses += 1
            if self._misses < defaults.PATH_WIDTH_MISSES:
                self._told_at = None
                self._asked_at, self._due_at = now, now + wait_s
                return self.packet_bytes, defaults.QUIC_PACKET_BYTES
            self._is_doubted = False
            self.packet_bytes = defaults.QUIC_PACKET_BYTES
            self._target = None
        if self._target is None:
            self._target = self._sizes[0]
            self._tries = 0
        elif self._asked_at >= heard_at:
            self._tries -= 1  # nothing came in since, short or long: that says nothing of the width
        if self._tries >= defaults.PATH_WIDTH_TRIES:
            self._tries = 0
            self._target = next((size for size in self._sizes if self.packet_bytes < size < self._target), None)
            if self._target is None:
                self._rest(now)
                return ()
        self._tries += 1
        self._asked_at, self._due_at = now, now + wait_s
        return (self._target,)

    def next_at(self) -> float:
        """When ``probes`` has something to do next; in the past when it is now."""
        if self._is_doubted and self._told_at is not None:
            return self._told_at + defaults.PATH_WIDTH_GAP_S
        return self._due_at if self._is_doubted or self._target is not None else self._again_at

    def _rest(self, now: float) -> None:
        """Search no more for now."""
        self._target = None
        is_widest = self.packet_bytes >= self._sizes[0]
        self._again_at = _NEVER if is_widest else now + defaults.PATH_WIDTH_AGAIN_S
