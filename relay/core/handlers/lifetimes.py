"""How long an allocation lives."""

from __future__ import annotations

from p2p.defaults import RELAY_DEFAULT_LIFETIME_S, RELAY_MAX_LIFETIME_S


def granted_lifetime_s(requested_s: int | None) -> int:
    """Choose the lifetime of an allocation.

    Args:
        requested_s: What the client asks for, in seconds; None when it does not.

    Returns:
        From the default to the maximum, in seconds.

    Source: RFC 8656 sections 7.2 and 8.2.
    """
    if requested_s is None:
        return RELAY_DEFAULT_LIFETIME_S
    return max(RELAY_DEFAULT_LIFETIME_S, min(requested_s, RELAY_MAX_LIFETIME_S))
