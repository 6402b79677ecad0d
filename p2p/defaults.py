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
STUN_MAX_ATTRIBUTES: Final = 64
"""More than any usage needs; without a limit one 64 KiB datagram costs the reader 16,000 attributes."""

# --- Datagrams ---------------------------------------------------------------------------------------------
SOCKET_BUFFER_BYTES: Final = 4 << 20
"""Send and receive buffer of a UDP socket: 10 ms at 3 Gbit/s, the longest pause of a busy event loop."""

# --- Identity ----------------------------------------------------------------------------------------------
SEALED_MAX_SKEW_S: Final = 300.0
"""How far two peers' clocks may differ; as in Kerberos. TLS to the rendezvous needs a clock about as good."""
SEALED_REMEMBERED: Final = 65_536
"""Message ids kept against replays: 5 MiB, and 100 a second over the whole window."""

# --- Command line ------------------------------------------------------------------------------------------
CONNECT_TIMEOUT_S: Final = 30.0
"""How long to wait for a rendezvous and a first path: longer than any NAT plan takes (15 s), shorter than patience."""
LIVE_VIEW_INTERVAL_S: Final = 0.25
"""Four pictures a second: smooth to the eye, and less than 1 % of a core."""
RATE_WINDOW_S: Final = 2.0
"""Throughput is shown over this window: one picture's worth of bytes jumps too much to read."""
DRAIN_TIMEOUT_S: Final = 30.0
"""How long a stopping command waits for open connections after SIGTERM: what service managers grant, less a margin."""
STATUS_QUERY_TIMEOUT_S: Final = 1.0
"""How long `p2p status` waits for a process on this machine: it answers at once or it hangs."""
TARGET_PROBE_TIMEOUT_S: Final = 2.0
"""How long `p2p expose` looks for the service before it says that nothing answers: a lost SYN is repeated after 1 s."""

# --- UDP sockets (p2p.aio.udp) -----------------------------------------------------------------------------
UDP_RECEIVE_BYTES: Final = 65_536
"""What one receive can take. With UDP_GRO the kernel joins up to 64 KiB and cuts off what does not fit."""
UDP_WAKEUP_BUDGET_BYTES: Final = 8 * 65_536
"""What one wake-up reads before others get their turn: 0.5 MiB is about 1 ms of work for the fast QUIC engine."""
UDP_WAKEUP_RECEIVES: Final = 64
"""How many receives one wake-up makes at most, for small datagrams that never reach the byte budget."""
UDP_POLL_DELAY_S: Final = 0.001
"""How long packets gather under load. Measured on a 100 Mbit/s path: CPU falls from 40 % to 12 % of a core."""
UDP_POLL_DELAY_PACKETS_PER_S: Final = 3000.0
"""The load from which packets gather: below it a millisecond is worth more than the CPU time it would save."""
UDP_RATE_INTERVAL_S: Final = 0.02
"""Over what time the load is measured: long enough for 60 packets at the threshold, short for a burst's start."""
UDP_GSO_SEGMENTS: Final = 64
"""How many segments one send may carry. Source: UDP_MAX_SEGMENTS in Linux up to 6.8, 128 since."""
UDP_GSO_BYTES: Final = 65_000
"""How many bytes one send may carry: 65,535 less the largest headers, with a margin."""
