"""Telling from a router's clock whether it has forgotten what it granted.

PCP and NAT-PMP answers say how many seconds ago the router began to keep its mappings. When that clock does not agree
with ours, the router has restarted in between, or another router answers.
"""

from __future__ import annotations

_SLACK_S = 2.0


class PcpEpoch:
    """The rules of PCP. Source: RFC 6887 section 8.5."""

    def __init__(self) -> None:
        self._previous: tuple[float, float] | None = None

    def is_valid(self, server_s: float, now: float) -> bool:
        """Take the clock that an answer shows.

        Args:
            server_s: What the router says.
            now: The monotonic instant in seconds.

        Returns:
            Whether the router has kept its state since the answer before.
        """
        before, self._previous = self._previous, (server_s, now)
        if before is None:
            return True
        server_before, now_before = before
        # One second back may be two answers that have overtaken each other.
        if server_s < server_before - 1:
            return False
        client_delta, server_delta = now - now_before, server_s - server_before
        return not (
            client_delta + _SLACK_S < server_delta - server_delta / 16
            or server_delta + _SLACK_S < client_delta - client_delta / 16
        )


class NatPmpEpoch:
    """The rules of NAT-PMP, whose clock may be slow but not ahead. Source: RFC 6886 section 3.6."""

    def __init__(self) -> None:
        self._previous: tuple[float, float] | None = None

    def is_valid(self, server_s: float, now: float) -> bool:
        """Take the clock that an answer shows; see ``PcpEpoch.is_valid``."""
        before, self._previous = self._previous, (server_s, now)
        if before is None:
            return True
        expected_s = before[0] + (now - before[1]) * 7 / 8
        return server_s >= expected_s - _SLACK_S
