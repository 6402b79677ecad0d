"""Requests to a router: what they are for, and how often they are sent."""

from __future__ import annotations

import enum

from p2p import defaults
from p2p.proto.stun.transaction import Transaction


class Purpose(enum.Enum):
    """What an exchange is for; there is one of each at a time."""

    MAP = enum.auto()
    ADDRESS = enum.auto()
    UNMAP = enum.auto()


def probe(request: bytes, now: float) -> Transaction:
    """Ask a router that perhaps does not speak the protocol, or that nobody waits for: a few times, soon.

    Args:
        request: The datagram.
        now: The monotonic instant in seconds.
    """
    rto_s = defaults.PORTMAP_PROBE_RTO_S
    return Transaction(
        request, now, rto_s=rto_s, max_requests=defaults.PORTMAP_PROBE_REQUESTS, backoff=1.0, last_wait_s=rto_s
    )


def question(request: bytes, now: float) -> Transaction:
    """Ask a router that is known to speak the protocol; see ``probe``."""
    return Transaction(request, now, rto_s=defaults.PORTMAP_REQUEST_RTO_S, max_requests=defaults.PORTMAP_REQUESTS)


def renewal(request: bytes, now: float) -> Transaction:
    """Ask for more of what still holds, for which there is time; see ``probe``."""
    return Transaction(request, now, rto_s=defaults.PORTMAP_RENEW_RTO_S, max_requests=defaults.PORTMAP_RENEWALS)
