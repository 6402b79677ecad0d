"""Every number that is a choice, with its reason. Times are in seconds, sizes in bytes."""

from __future__ import annotations

from typing import Final

# --- Ports -------------------------------------------------------------------------------------------------
STUN_PORT: Final = 3478
"""STUN and TURN over UDP and TCP. Source: RFC 8489 section 18, RFC 8656 section 19."""
STUN_ALTERNATE_PORT: Final = 3479
"""The second port of RFC 5780's tests."""
TURNS_PORT: Final = 5349
"""TURN over TLS. Source: RFC 8656 section 19."""
RENDEZVOUS_PORT: Final = 8470
"""Signalling without TLS; free in the IANA registry, so that `p2p serve` starts next to other servers."""

# --- STUN (RFC 8489 section 6.2.1) -------------------------------------------------------------------------
STUN_INITIAL_RTO_S: Final = 0.25
"""First retransmission. The RFC says 500 ms for an unknown path; 250 ms is twice what most users have."""
STUN_MAX_REQUESTS: Final = 7
"""Rc: how often a request is sent in all."""
STUN_LAST_WAIT_FACTOR: Final = 16
"""Rm: how many RTOs to wait after the last request."""
STUN_RELIABLE_TIMEOUT_S: Final = 39.5
"""Ti: how long to wait for an answer over TCP or TLS."""

# --- Datagrams ---------------------------------------------------------------------------------------------
SOCKET_BUFFER_BYTES: Final = 4 << 20
"""Send and receive buffer of a UDP socket: 10 ms at 3 Gbit/s, the longest pause of a busy event loop."""
