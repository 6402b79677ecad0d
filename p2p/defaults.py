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

# --- QUIC (p2p.quic) ---------------------------------------------------------------------------------------
QUIC_PACKET_BYTES: Final = 1200
"""Size of a packet before a path is known to carry more. Source: RFC 9000 section 14: every path must."""
QUIC_CONNECTION_WINDOW_BYTES: Final = 8 << 20
"""Flow control over all streams: 640 Mbit/s at 100 ms, and the most a switch of paths can leave in flight."""
QUIC_STREAM_WINDOW_BYTES: Final = 6 << 20
"""Flow control of one stream, below the connection's, so that one stream with a gap cannot stop all others. The
tunnel's own credit per stream is smaller and is what bounds memory."""
QUIC_MAX_STREAMS: Final = 16_384
"""Streams the peer may have open at once: 10,000 forwarded connections and some room for those just closing."""
QUIC_IDLE_TIMEOUT_S: Final = 30.0
"""A connection without a sign of life is lost after this: longer than an outage of paths of 20 s."""
QUIC_KEEP_ALIVE_S: Final = 10.0
"""A quiet connection pings this often: three times within the idle timeout, so that two pings may be lost."""
QUIC_HANDSHAKE_TIMEOUT_S: Final = 10.0
"""A handshake that has not ended by then has failed: five round trips over the worst path we accept."""
QUIC_CLOSE_LINGER_S: Final = 1.0
"""How long a closing connection still answers: three round trips over a slow path. Source: RFC 9000 section 10.2."""
QUIC_POLL_PACKETS: Final = 256
"""Packets taken from an engine at once: several GSO batches, half a millisecond of the fast engine's work."""
QUIC_POLL_ROUNDS: Final = 4
"""Polls in a row before the loop gets a turn: unread ACKs would stall the sender that never yields."""
QUIC_PACER_BURST_S: Final = 0.002
"""What aioquic's pacer lets go at once: twice the loop's timer resolution, or the timer would cap the rate."""
QUIC_INITIAL_RTT_S: Final = 0.1
"""First guess of the round trip: the first retransmission after 0.2 s, where the RFC's 333 ms would take 0.67 s."""
QUIC_KEY_UPDATE_PACKETS: Final = 1 << 22
"""Packets after which keys are changed: half of AES-GCM's limit of 2^23. Source: RFC 9001 section 6.6."""
QUIC_PATH_CHANGE_FLIGHT_BYTES: Final = 64 << 10
"""What may be in flight right after a change of path: 13 Mbit/s at 40 ms, doubled each round trip without loss."""
