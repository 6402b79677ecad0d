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
STUN_MAX_PADDING_BYTES: Final = 1500
"""The most padding an answer carries: enough to be fragmented, which is its purpose. Source: RFC 5780 section 7.6."""

# --- NAT behaviour discovery (RFC 5780) --------------------------------------------------------------------
NAT_UDP_REQUESTS: Final = 4
"""How often the first question is asked: at 0, 0.25, 0.75 and 1.75 s."""
NAT_UDP_LAST_WAIT_S: Final = 1.25
"""UDP that did not work within 3 s in all is no use to a session that is to begin now."""
NAT_TEST_INTERVAL_S: Final = 0.1
"""Tests whose answer may be silence are repeated evenly, so that silence is soon meant: eight in 0.7 s."""
NAT_TEST_REQUESTS: Final = 8
"""At 10 % loss each way one test in 600,000 takes loss for a filter, at 20 % one in 3,500."""
NAT_TEST_LAST_WAIT_S: Final = 0.7
"""How long the last answer may take. Where ordinary answers take longer, silence says nothing."""
NAT_SAMPLE_SOCKETS: Final = 16
"""Fresh sockets that ask at once, in pairs of neighbouring ports, to see how the NAT picks ports: with fewer, chance
passes for parity kept, and one lost packet hides a step."""
NAT_FILTERING_ROUNDS: Final = 2
"""How often the filter is asked about where all answers came too late to say anything: a busy host is no slow path."""
NAT_FILTERING_PORTS: Final = (16_384, 32_767)
"""Where the socket of the filtering tests is: below the ports that systems give to other sockets, or a mapping that an
earlier one left, whose port it happens to get, would let answers in."""
NAT_FILTERING_PORT_TRIES: Final = 8
"""Ports of these tried before any other is taken: on a crowded host with half of them in use one in 256 needs more."""
NAT_TEST_BUFFER_BYTES: Final = 64 << 10
"""Receive buffer of a socket of the tests: it gets a dozen answers."""
NAT_SEQUENTIAL_STEP: Final = 32
"""Ports that grow by no more than this from one mapping to the next are given one after the other, with others' traffic
in between."""
NAT_ALLOCATION_LEAST: Final = 4
"""Ports needed to call them sequential, or scattered: random ones look sequential once in 10^9."""
NAT_SEQUENTIAL_SHARE: Final = 0.65
"""From this share of ports in one run they are sequential: the others are of repeated questions and former mappings."""
NAT_WRAP_DISTANCE: Final = 1024
"""A counter that falls by so much has come to the end of its range: once at most while we look."""
NAT_RANDOM_LEAST: Final = 9
"""Ports needed to call them random when they are not all far apart: those of a small range."""
NAT_RANDOM_SHARE: Final = 0.5
"""Up to this share of ports in one run they are random: of 18 random ones out of a small block, half make a run at most
in 19 of 20 cases. In between it stays unknown."""
NAT_SCATTERED_SHARE: Final = 0.6
"""From this share of far jumps ports are random, however few were seen."""
NAT_PRESERVED_SHARE: Final = 0.5
"""From this share of kept ports a NAT keeps them: the rest were in use by somebody else. By chance none is kept."""
NAT_PARITY_TRIES: Final = 4
"""Sockets opened until one has a port of the parity that is wanted: one in 16 has not, which does no harm."""
NAT_PARITY_LEAST: Final = 14
"""Ports needed to call parity kept: chance passes for it once in 16,000."""

NAT_LIFETIME_LIMIT_S: Final = 300.0
"""The longest lifetime that is looked for unless the user says otherwise: what RFC 4787 section 4.3 recommends."""
NAT_LIFETIME_LIMIT_MAX_S: Final = 3600.0
"""The longest that a user may look for."""
NAT_LIFETIME_POINTS_S: Final = (
    5.0,
    10.0,
    15.0,
    20.0,
    25.0,
    30.0,
    45.0,
    60.0,
    75.0,
    90.0,
    120.0,
    150.0,
    180.0,
    240.0,
    300.0,
    450.0,
    600.0,
    900.0,
    1200.0,
    1800.0,
    2700.0,
)
"""How long the mappings of the first round are left alone: common lifetimes, and steps of a half at most."""
NAT_LIFETIME_SPLIT: Final = 8
"""Into how many parts a further round divides the gap: two rounds go from a gap of 30 s to one below 1 s."""
NAT_LIFETIME_PRECISION_S: Final = 2.0
"""A gap of this is small enough: routers look through their tables once a second."""
NAT_LIFETIME_PRECISION: Final = 0.03
"""And so is this share of the lifetime."""
NAT_LIFETIME_ASKS: Final = 5
"""How often a mapping is asked through before it counts as gone: at 10 % loss each way chance does it once in 4,000."""
NAT_LIFETIME_ASK_INTERVAL_S: Final = 0.3
"""Between these questions."""
NAT_CACHE_NETWORKS: Final = 64
"""Networks remembered: more than a traveller is in within a month."""
NAT_CACHE_AGE_S: Final = 30 * 86_400.0
"""How long what was learned of a network is believed until it is measured, a second later: routers stay for years."""
NAT_CACHE_BYTES: Final = 64 << 10
"""The longest file of remembered networks that is read: three times as long as a full one."""
STUN_RESOLVE_TIMEOUT_S: Final = 3.0
"""How long a name server may take for the name of a STUN server: its first retry included."""
STUN_TCP_TIMEOUT_S: Final = 2.0
"""How long a STUN server may take over TCP, when it is silent over UDP: a lost SYN is repeated after 1 s."""
VISIT_TIMEOUT_S: Final = 3.5
"""How long a rendezvous may take to let in a command that asks it once: five round trips over a satellite."""
VISIT_AGAIN_S: Final = 0.8
"""When a second connection is tried beside the first: a lost SYN is repeated after 1 s, the next time after 3 s."""

# --- TURN client (RFC 8656) --------------------------------------------------------------------------------
TURN_LIFETIME_S: Final = 600
"""The lifetime asked for: the RFC's default, which servers shorten anyway when they want to."""
TURN_REFRESH_MARGIN_S: Final = 60.0
"""How long before its end an allocation is refreshed: time for three rounds of retransmissions."""
TURN_PERMISSION_REFRESH_S: Final = 240.0
"""A permission lives 300 s. A minute is left for retransmissions. Source: RFC 8656 section 9."""
TURN_CHANNEL_REFRESH_S: Final = 540.0
"""A channel lives 600 s. A minute is left for retransmissions. Source: RFC 8656 section 12."""
TURN_REFRESH_TOGETHER_S: Final = 15.0
"""Permissions due within this time are refreshed in one request: fewer packets, fewer wake-ups of a radio."""
TURN_REFUSED_AGAIN_S: Final = 0.5
"""When a peer that the relay refused is asked for again, doubled each time: a server that has restarted knows its
clients again when they have come back, one by one within seconds."""
TURN_REFUSED_AGAIN_MAX_S: Final = 60.0
"""The most that this grows to: an address that policy forbids stays forbidden, and asking costs a packet."""
TURN_PERMISSIONS_PER_REQUEST: Final = 8
"""Keeps a request with IPv6 addresses and long credentials within 576 bytes."""
TURN_MAX_CHALLENGES: Final = 3
"""How often one request is repeated with another nonce before the server is taken to be broken."""
TURN_MAX_REQUESTS: Final = 12
"""How often a request to a relay is sent in all, the last time after 10.6 s."""
TURN_BACKOFF: Final = 1.25
"""By what each wait is longer than the one before; the RFC doubles them. From 0.25 s on, the next request comes after a
quarter of the time that has gone by without an answer: a relay that restarts is found again so soon, and one that stays
away is sent no more than seven packets more in the first ten seconds."""
TURN_CLOSE_REQUESTS: Final = 3
"""How often the farewell is sent: nobody waits long for it, and an allocation expires without it too."""

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
"""How long a command that no person stopped waits for open connections: what service managers grant, less a margin."""
STOP_GRACE_S: Final = 5.0
"""How long a command that was told to stop may take to say goodbye: longer than any goodbye, shorter than patience."""
STATUS_QUERY_TIMEOUT_S: Final = 1.0
"""How long `p2p status` waits for a process on this machine: it answers at once or it hangs."""
TARGET_PROBE_TIMEOUT_S: Final = 2.0
"""How long `p2p expose` looks for the service before it says that nothing answers: a lost SYN is repeated after 1 s."""

# --- UDP sockets (p2p.aio.udp) -----------------------------------------------------------------------------
UDP_RECEIVE_BYTES: Final = 65_536
"""What one receive can take. With UDP_GRO the kernel joins up to 64 KiB and cuts off what does not fit."""
UDP_RECEIVE_MANY: Final = 64
"""Datagrams that one call receives where programs send them one by one: what a train holds. As many times 64 KiB of
address space, of which only what was written to is memory."""
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
"""What a path must carry to be one, and is sent before it has proven more. Source: RFC 9000 section 14: all must."""
QUIC_PACKET_BYTES_MAX: Final = 1452
"""The longest packet: what Ethernet leaves behind the headers of IPv6 and UDP; 45 fit into one send of the kernel's."""
QUIC_IDLE_MOMENTS_S: Final = 3.0
"""How long after its begin a connection is fed only when it has sent all it had, for a library that looks for longer
packets in such moments: it needs three of them, a round trip apart."""
QUIC_NARROW_AFTER_S: Final = 10.0
"""How long packets are cut for a path that carries less, until shorter ones are made: one of the libraries cannot take
that back, and a path is often left within seconds of a session's begin."""
QUIC_CONNECTION_WINDOW_BYTES: Final = 8 << 20
"""Flow control over all streams: 640 Mbit/s at 100 ms, and the most a switch of paths can leave in flight."""
QUIC_STREAM_WINDOW_BYTES: Final = 8 << 20
"""Flow control of one stream: as much as the connection's, since the tunnel's own credit per stream is smaller and is
what bounds memory and keeps one stream from stopping all others."""
QUIC_MAX_STREAMS: Final = 16_384
"""Streams the peer may have open at once: 10,000 forwarded connections and some room for those just closing."""
QUIC_IDLE_TIMEOUT_S: Final = 600.0
"""A connection without a sign of life is lost after this: a lid that is closed for minutes costs no open terminal. An
address on a relay lives as long; and what waits for a peer that is dead costs 100 KiB of memory meanwhile."""
QUIC_KEEP_ALIVE_S: Final = 30.0
"""A quiet connection pings this often, for the peer's idle timeout: paths have heartbeats of their own."""
QUIC_HANDSHAKE_TIMEOUT_S: Final = 10.0
"""A handshake that has not ended by then has failed: five round trips over the worst path we accept."""
QUIC_CLOSE_LINGER_ROUND_TRIPS: Final = 5.0
"""How long a closing connection still answers: three probe timeouts of a quiet path. Source: RFC 9000 section 10.2."""
QUIC_CLOSE_LINGER_LEAST_S: Final = 0.1
"""The least of it: a busy peer may answer late."""
QUIC_CLOSE_LINGER_MOST_S: Final = 1.0
"""The most of it, also when the round trip is not known: a user waits for it at the end of a command."""
PIECES_WAITING: Final = 256
"""Pieces of packets of all peers that wait for the other piece: 300 KiB, and as many packets as one turn makes."""
HELD_PACKETS: Final = 10
"""Packets kept while there is no path yet: a congestion window before anything was acknowledged (RFC 9002 7.2)."""
REPEATED_PACKETS: Final = 24
"""Packets of a session's beginning that each side sends twice: handshake, proof of keys, the first request. 29 KB more
at most."""
REPEAT_AFTER_S: Final = 0.015
"""When: losses come in bursts of some milliseconds, and a person notices nothing below 0.1 s."""
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

# --- Connectivity checks (p2p.proto.ice) -------------------------------------------------------------------
ICE_PACING_S: Final = 0.01
"""Ta, between two checks. RFC 8445 says 50 ms, and 5 ms as the least that NATs stand: with a dozen pairs 10 ms puts
the last first check at 0.1 s instead of 0.6 s, and bounds a session to 100 packets/s of 120 bytes, 100 kbit/s."""
ICE_CHECK_SPACING_S: Final = (0.1, 0.1, 0.2, 0.3, 0.5)
"""Between attempts on one pair, the last repeated. The first attempt usually dies at a NAT that the other side has not
opened yet, so the second comes after a typical round trip's difference, not after the RFC's 500 ms."""
ICE_CHECK_DURATION_S: Final = 5.0
"""How long a pair is tried: a peer whose signalling runs seconds late still meets checks in flight."""
ICE_TRANSACTION_LIFETIME_S: Final = 10.0
"""How long an answer to a check is still believed: longer than any queue on a path one would want to use."""
ICE_MAX_TRANSACTIONS: Final = 2048
"""Checks that may await an answer: 100 pairs with 14 attempts each, and room for heartbeats."""
ICE_MAX_PAIRS: Final = 100
"""Length of the check list. Source: RFC 8445 section 6.1.2.5."""
ICE_MAX_REMOTE_CANDIDATES: Final = 64
"""Candidates believed from signalling: a host with ten interfaces has half as many; more is an attack."""
ICE_MAX_LEARNED_CANDIDATES: Final = 32
"""Addresses of the peer learned from its checks: a NAT shows a handful, a replayed check shows as many as it likes."""
ICE_MAX_EVENTS: Final = 1024
"""Events kept for a driver that does not take them; beyond it the oldest are dropped and counted."""
ICE_PATIENCE_S: Final = 8.0
"""When nobody says that candidates have ended: give up this long after the first check. RFC 8863 waits 39.5 s, for
peers that have no relay to be content with; here a verdict of "relayed" is not final and may come early."""

# --- Paths (p2p.proto.path) --------------------------------------------------------------------------------
PATH_HEARTBEAT_S: Final = 5.0
"""On the used path at most: a third of the shortest mapping lifetime seen in practice (15 s), so two may be lost."""
PATH_STANDBY_HEARTBEAT_S: Final = 15.0
"""On validated paths in reserve, and towards a relay that dialers come by, while nothing is known of the NAT's memory:
keeps a mapping of 20 s open, which some have. Source: RFC 8445 section 11 (Tr)."""
HEARTBEAT_LIFETIME_SHARE: Final = 0.5
"""Of the time that the NAT keeps an unused mapping, so much goes by between heartbeats: one may be lost."""
HEARTBEAT_STANDBY_MAX_S: Final = 30.0
"""In reserve behind a NAT that keeps mappings for a minute or longer, as it should (RFC 4787 section 4.3): half the
packets. Longer would leave the death of a path unnoticed for minutes."""
HEARTBEAT_MIN_S: Final = 1.0
"""The least: NATs that forget within two seconds are broken, and a packet a second on each path is all we give them."""
HEARTBEAT_LOSSES: Final = 2
"""Mappings found gone until that counts: one may be a router that was restarted."""
HEARTBEAT_QUIET_S: Final = 1.5
"""A shorter silence of a path shows nothing: no NAT that is of any use forgets so soon."""
PATH_TRUST_S: Final = 6.5
"""A direct path counts as alive this long after its last proof of life: one heartbeat and three quick probes."""
PATH_SILENCE_S: Final = 0.5
"""Data went out and nothing came back for so long: start probing. Above the delayed answer of a busy host."""
PATH_PROBE_SPACING_S: Final = 0.4
"""Between quick probes: with the four of PATH_PROBES_UNTIL_DEAD and the silence before them, 2.1 s to a verdict."""
PATH_ANSWER_WAIT_S: Final = 0.35
"""A probe counts as missed after this at the soonest, below the spacing; else after twice the smoothed round-trip
time, or that and four times its variation."""
PATH_ANSWER_WAIT_MAX_S: Final = 3.0
"""And after this at the latest: longer than the queue of any bottleneck that one would want to keep using."""
PATH_PROBES_UNTIL_DOUBT: Final = 2
"""Missed probes in a row from which data goes out on two paths: at 10 % loss each way one in a row is common."""
PATH_PROBES_UNTIL_DEAD: Final = 4
"""Missed probes in a row that end a path when nothing else is heard on it: 0.1 % by chance at 10 % loss each way.
While packets do come in, so many only raise a doubt: the answers may be stuck in a queue."""
PATH_PROBES_UNTIL_ONE_WAY_DEAD: Final = 7
"""The same while the path still brings packets in: chance must be ruled out, for the loss may be theirs to fix."""
PATH_WIDER_BYTES: Final = (QUIC_PACKET_BYTES_MAX, 1352)
"""What a path in use is tried for beyond QUIC_PACKET_BYTES, the most first: plain Ethernet, and the usual tunnels,
whose 1,420 bytes leave 1,368 under IPv6 and behind a relay's header. Multiples of four, as a padded check is one."""
PATH_WIDTH_TRIES: Final = 3
"""Unanswered checks of a size after which a path counts as too narrow for it. Source: RFC 8899 section 5.1.2."""
PATH_WIDTH_AGAIN_S: Final = 600.0
"""When a path that was found narrow is tried again. Source: RFC 8899 section 5.1.1 (PMTU_RAISE_TIMER)."""
PATH_WIDTH_GAP_S: Final = 0.1
"""How much later than that to a short check the answer to a long one may come, sent together: the jitter of a busy
host."""
PATH_WIDTH_MISSES: Final = 2
"""Long checks in a row that go missing where short ones come through, until a path counts as having become narrow: at
10 % loss each way one in five does by chance, and packets are cut for a round trip then."""
PATH_WIDTH_DOUBT_S: Final = 1.0
"""Between two such questions while packets are lost all the time: 21 kbit/s."""
PATH_PAUSE_S: Final = 2.0
"""A timer that fires this late means that we slept: missed probes from before are no evidence then."""
PATH_RECHECK_FIRST_S: Final = 1.0
"""First new attempt on a path that died, doubled up to PATH_RECHECK_S: most outages are short."""
PATH_RECHECK_UNPROVEN_S: Final = 5.0
"""First new attempt on a pair that never worked: the peer may only just have come, or its NAT table been full."""
PATH_RECHECK_ALL_LOST_S: Final = 2.0
"""Longest wait while no path is left, in the first seconds: the whole session hangs on it."""
OUTAGE_SHARE: Final = 0.25
"""When nothing works: the next attempt comes after this share of the time that it has lasted. So the end of an outage
is noticed a quarter later than it could be, and a peer that sleeps for minutes costs ever less."""
PATH_RECHECK_BRIEF_S: Final = 1.0
"""How long a failed pair is tried again while a direct path is in use: five packets a minute, for a better path."""
PATH_RECHECK_S: Final = 60.0
"""Between attempts on pairs that failed: networks change by the minute, and a try costs 13 packets."""
PATH_HOPELESS_S: Final = 1.5
"""When both NATs are known not to let plain checks through, the verdict comes this long after the first check."""
PATH_RTT_GAIN_S: Final = 0.005
"""A path must be this much quicker to replace one of its kind: above jitter, below what a person feels."""
PATH_RTT_GAIN_SHARE: Final = 0.1
"""The same as a share of the present round-trip time; the larger of the two counts."""
PATH_IPV6_BONUS_S: Final = 0.003
"""IPv6 wins over an IPv4 path this much quicker: it has no mapping that could expire."""
PATH_UNMEASURED_RTT_S: Final = 0.5
"""Stands for a round-trip time not measured yet: such a path is no reason to leave a measured one."""
PATH_FLAP_WINDOW_S: Final = 60.0
"""Losses of a path are remembered this long."""
PATH_FLAP_HOLD_S: Final = 4.0
"""A path lost twice within the window must stay up this long before it is used again, doubled by each further loss."""
PATH_FLAP_HOLD_MAX_S: Final = 32.0
"""The longest such wait: half the window."""
PATH_FLAP_REMEMBERED: Final = 8
"""Losses remembered for one path: more do not make the wait longer."""
PATH_MAX_EVENTS: Final = 1024
"""Events kept for a driver that does not take them; beyond it the oldest are dropped."""
QUIC_DATAGRAM_QUEUE: Final = 1024
"""Unreliable datagrams that may wait for the congestion window: 1.2 MB, 100 ms at 100 Mbit/s."""
QUIC_DATAGRAM_MAX_AGE_S: Final = 0.1
"""How long an unreliable datagram may wait: voice and games throw away what comes later."""

# --- Guessing ports (p2p.proto.path.plans) -----------------------------------------------------------------
GUESS_GRACE_S: Final = 0.15
"""Plain checks get this long first: where they get through at all, most do within a round trip and a half."""
GUESS_GRACE_UNSURE_S: Final = 0.3
"""The same before a birthday while the easy side's filtering is not known: its tests take 1.5 s, a useless birthday
costs 256 sockets."""
GUESS_GRACE_ROUND_TRIPS: Final = 2.0
"""And at least so many round trips of the path in use."""
GUESS_ASK_INTERVAL_S: Final = 0.1
"""Between two questions to the STUN server for one port: they use the mapping that was made, so repeating is free."""
GUESS_ASK_S: Final = 0.5
"""When to go on with what the server has answered: five questions at 20 % loss each way fail once in 160 times."""
GUESS_PROBE_INTERVAL_S: Final = 0.01
"""Between two guesses from one socket: 100 packets of 120 bytes a second are 0.1 Mbit/s, and home routers stand it."""
GUESS_PROBES_AT_ONCE: Final = 10
"""How many guesses a late timer may make up for at once: the longest pause of a busy loop, 0.1 s, costs no chances."""
GUESSES_PER_S: Final = 400.0
"""Guesses of all sessions of one program: four birthdays at their pace. They count as unproven checks as well."""
GUESSES_BURST: Final = 400.0
"""The same at once: windows of 40 sessions, or a dozen meetings."""
GUESS_BUDGET_WAIT_S: Final = 0.05
"""When a plan looks again for the budget that its row of packets needs."""
GUESS_PROBE_RENEWAL_S: Final = 2.0
"""How long one check goes to address after address before it gets a new transaction: answers are believed for 10 s."""
GUESS_ROUNDS: Final = 3
"""How often a prediction is repeated from fresh sockets: one in three fails at worst where others use the NAT too."""
GUESS_ROUND_S: Final = 0.7
"""How long a round waits for its guesses, three round trips not counted."""
GUESS_COMMIT_S: Final = 2.0
"""How long the way on which a guess arrived has to prove itself: seven checks from each side."""
GUESS_WINDOW_SOCKETS: Final = 8
"""Targets of one round: at 20 % loss the chance that no guess meets any is one in a million."""
GUESS_WINDOW_PORTS: Final = 96
"""Ports further apart before and after the round's packets were not given one after the other; at 100 a second they are
through within a second."""
GUESS_WINDOW_PASSES: Final = 4
"""How often each port of a window is tried."""
GUESS_WINDOW_PASS_S: Final = 0.12
"""At least so long from one pass to the next: loss comes in bursts."""
GUESS_MEETING_SOCKETS: Final = 32
"""Packets of each side when both predict: how far the two counters may have moved since they were told, and a few."""
GUESS_MEETING_AIM: Final = 27
"""Which of the other side's predicted ports the aiming side sends to, from 0: what is below it is tolerance for
mappings that others took meanwhile, what is above for answers that came out of order."""
GUESS_MEETING_REPEATS: Final = 2
"""How often the packets of a meeting are repeated, against loss."""
GUESS_MEETING_REPEAT_S: Final = 0.15
"""Between repetitions."""
GUESS_HINT_WAIT_S: Final = 2.5
"""How long the easy side waits for the hard side to say where to guess: its grace, its questions and a slow signal."""
GUESS_RETRY_S: Final = 10.0
"""A direct path that was lost is guessed for again at the earliest this long after the last plan ended."""
GUESS_AGAIN_S: Final = 20.0
"""After a plan that failed there is another one so much later, the next after twice as long: a session that is not
direct by bad luck shall not stay so. More than ``GUESS_RETRY_S`` and what the other side's part takes longer."""
GUESS_AGAIN_MOST_S: Final = 1800.0
"""The longest such pause; a birthday's cool-down comes on top."""
BIRTHDAY_SOCKETS: Final = 256
"""The hard side's open doors at a time: the oldest has been open for 2.6 s, longer than a check is on its way."""
BIRTHDAY_SAMPLES: Final = 16
"""Sockets that ask a STUN server first, to see the range that the NAT takes its ports from."""
BIRTHDAY_CONTROL_DOORS: Final = 64
"""One in so many doors asks the server, too: whether the NAT still gives ports."""
BIRTHDAY_CONTROLS_MISSED: Final = 2
"""Unanswered ones in a row that mean that it has no more: 13 questions in 1.3 s."""
BIRTHDAY_S: Final = 15.0
"""How long to guess: 1,500 packets on each side. Half of all meet after 2.1 s, 98 % after 5.5 s; by then nearly all."""
BIRTHDAY_COOLDOWN_S: Final = 60.0
"""After a birthday that failed none is tried with the same network for so long: 1,500 packets and mappings each."""
BIRTHDAYS_AT_ONCE: Final = 4
"""Birthdays of one program, and of the programs of one user on one host, at a time: 1,024 sockets and 400 packets a
second. A hundred sessions between the same two NATs take 10 s, since each helps the next."""
GUESS_TURN_POLL_S: Final = 0.1
"""How often a session that waits for its birthday or meeting asks again."""
GUESS_TURN_WAIT_S: Final = 60.0
"""How long it waits: four times four birthdays that fail, or 100 meetings."""
WINDOWS_AT_ONCE: Final = 8
"""Windows at a time: each tells the other side its ports, a program with many sessions has ten signals a second, and a
round waits a second for the guesses that follow."""
MEETINGS_AT_ONCE: Final = 1
"""The packets of two meetings through one NAT would spoil each other's prediction; one takes 0.4 s."""
GUESS_PORT_FIRST: Final = 1024
"""The lowest port that a NAT gives to a socket from the unprivileged range. Source: RFC 4787 section 4.2.2."""
GUESS_PORT_LAST: Final = 65_535
"""The highest port."""

# --- Relay (TURN server) -----------------------------------------------------------------------------------
RELAY_DEFAULT_LIFETIME_S: Final = 600
"""Lifetime of an allocation, unless the client asks for more. Source: RFC 8656 section 3.2."""
RELAY_MAX_LIFETIME_S: Final = 3600
"""The most a client gets: what a vanished client can hold a port for. Source: RFC 8656 section 7.2 suggests an hour."""
RELAY_PERMISSION_LIFETIME_S: Final = 300
"""Source: RFC 8656 section 9: exactly this."""
RELAY_CHANNEL_LIFETIME_S: Final = 600
"""Source: RFC 8656 section 12: exactly this."""
RELAY_RESERVATION_LIFETIME_S: Final = 30
"""How long a reserved port waits for its Allocate. Source: RFC 8656 section 7.2: at least 30 s."""
RELAY_NONCE_LIFETIME_S: Final = 3600.0
"""Source: RFC 8656 section 5: at most an hour. Clients that allocate on demand hold a nonce in advance."""
RELAY_EXPIRY_STEP_S: Final = 1.0
"""How exactly things expire: the shortest lifetime is 30 s, and one bucket a second keeps the wheel at 3,600."""
RELAY_PORT_REST_S: Final = 60.0
"""How long a freed port rests: longer than peers keep sending to a relayed address that is gone."""
RELAY_PORT_FIRST: Final = 49_152
"""Source: RFC 8656 section 7.2: the dynamic ports."""
RELAY_PORT_LAST: Final = 65_535
RELAY_PORT_ATTEMPTS: Final = 16
"""Ports tried for one allocation when other programs hold some of the range; more would stall the event loop."""
RELAY_MAX_ALLOCATIONS: Final = 12_000
"""In all: three quarters of the port range, so that the random choice of a port stays random."""
RELAY_MAX_ALLOCATIONS_PER_USER: Final = 64
"""One for each session over each transport, for a peer with some twenty relayed sessions."""
RELAY_MAX_ALLOCATIONS_PER_ADDRESS: Final = 1024
"""Whole offices and mobile carriers share one address; users are what the quota is really about."""
RELAY_MAX_PERMISSIONS: Final = 1024
"""Peers of one allocation: a busy exposer holds one permission for each peer that is connecting."""
RELAY_MAX_CHANNELS: Final = 1024
"""Channels of one allocation, out of the 4,096 numbers: as many as permissions."""
RELAY_STRANGER_BURST_BYTES: Final = 32_768
"""What an address without a proof may get at first beyond what it sends: a peer that asks STUN from 256 sockets at
once takes 18 KiB, an office of 500 that starts to work 20 KiB."""
RELAY_STRANGER_BYTES_PER_S: Final = 4096
"""What it gets each second when it sends less: 57 STUN answers for the peers behind one NAT, and no weapon."""
RELAY_STRANGERS_REMEMBERED: Final = 65_536
"""Sources whose budget is remembered: 15 MiB of memory at worst."""
RELAY_GUESSES_BURST: Final = 100
"""Wrong passwords of people that one network may send at once: an office in which one was changed."""
RELAY_GUESSES_PER_S: Final = 2.0
"""How many it may send in the long run: 172,800 guesses a day find no password that is worth the name."""
RELAY_KNOWN_HOST_S: Final = 86_400.0
"""How long after its last request a host may still become a peer: a laptop that slept over night comes back."""
RELAY_KNOWN_HOSTS: Final = 65_536
"""Hosts that are remembered of each kind, proven and only seen: some 10 MiB each."""
RELAY_RATE_BURST_S: Final = 0.25
"""What a rate limit lets through at once, as a share of a second: more would fill the queues of slow links."""
RELAY_RATE_BURST_BYTES: Final = 131_072
"""And at least: two of the batches in which a fast sender's data arrives."""
RELAY_RATE_BURST_PACKETS: Final = 128
"""The same in datagrams."""
RELAY_STREAM_SETUP_S: Final = 20.0
"""A TCP or TLS connection must have an allocation by then: five round trips and a handshake on the worst path."""
RELAY_STREAM_IDLE_S: Final = 60.0
"""How long a connection may live on after its allocation ended: time to make a new one."""
RELAY_TLS_HANDSHAKE_S: Final = 10.0
"""How long a TLS handshake may take."""
RELAY_STREAM_SEND_BUFFER_BYTES: Final = 256 << 10
"""What waits for a client that does not read, besides the kernel's buffer: four joined batches. Data beyond it is
dropped, as UDP would."""
RELAY_STREAM_FIRST_MESSAGE_BYTES: Final = 2048
"""The longest message before a connection has an allocation: four times the longest sensible Allocate."""
RELAY_STREAM_REFUSALS: Final = 16
"""Requests on a connection without an allocation that may be refused before it is closed: no guessing at leisure."""
RELAY_TCP_BACKLOG: Final = 1024
"""Connections the kernel completes while the event loop is busy: 10 ms at 100,000 connections a second."""
RELAY_ACCEPTS_PER_WAKEUP: Final = 64
"""Connections accepted before others get their turn: about 2 ms of work."""
RELAY_ACCEPT_RETRY_S: Final = 0.5
"""How long not to accept when the process is out of file descriptors."""
RELAY_MAX_CONNECTIONS: Final = 16_384
"""TCP and TLS connections in all: each costs a file descriptor and some 20 KiB before it has proven anything."""
RELAY_MAX_CONNECTIONS_PER_ADDRESS: Final = 1024
"""TCP and TLS connections of one client host: as many as allocations."""
RELAY_SOCKET_BUFFER_BYTES: Final = 1 << 20
"""Receive buffer of one relayed address: 900 full packets in the kernel's accounting, 9 ms at 1 Gbit/s, and no more
memory for one client that is flooded."""
RELAY_MAX_PEER_CONNECTIONS: Final = 64
"""TCP connections with peers of one allocation: a browser has six with one server, a file transfer a dozen."""
RELAY_PEER_CONNECTION_WAIT_S: Final = 30.0
"""How long one of them waits for the client's data connection. Source: RFC 6062 section 5.2: at least 30 s."""
RELAY_PEER_CONNECT_S: Final = 30.0
"""How long a peer may take to answer a connection. Source: RFC 6062 section 5.2: at least 30 s."""
RELAY_ICMP_PER_S: Final = 5.0
RELAY_ICMP_BURST: Final = 10.0
"""ICMP errors that one relayed address tells its client of: one says what the next hundred would say again."""
RELAY_MOBILE_GAP_S: Final = 120.0
"""How long an allocation waits for a client that lost its connection and has a mobility ticket: a tunnel, a lift."""
RELAY_METRICS_USERS: Final = 100
"""Users that metrics name at most: names come and go, and Prometheus keeps a series for each."""
RELAY_USERS_COUNTED: Final = 10_000
"""Users without an allocation whose traffic is remembered: 1 MiB."""
CONTROL_TIMEOUT_S: Final = 5.0
"""How long a command waits for the answer of a server on this machine: longer than its event loop is ever busy."""
RELAY_RECEIVE_SLOTS: Final = 256
"""Messages one call can receive at most: 17 MB of address space, of which small datagrams touch one page each."""
RELAY_CLIENT_BATCH: Final = 64
"""Messages one call takes from a socket of one client or one relayed address, so that others get their turn."""
RELAY_BATCH_BYTES: Final = 512 << 10
"""Bytes one call takes from such a socket, once joined buffers are seen there: 0.5 ms at 8 Gbit/s."""
RELAY_LONG_QUEUE_ROUNDS: Final = 8
"""A socket that is ready in so many rounds without a pause is read in batches: for single datagrams that costs more."""
RELAY_SHORT_BATCH: Final = 3
"""A batch with fewer messages than this ends the reading in batches."""
RELAY_VIEWS_REMEMBERED: Final = 65_536
"""Views of received segments that are kept for the next batch of the same size: 12 MB."""
RELAY_ADDRESSES_REMEMBERED: Final = 65_536
"""Source addresses whose decoded form is kept: 12 MB at worst."""
RELAY_POLL_EVENTS: Final = 128
"""Sockets served in one round."""
RELAY_POLL_TURN_S: Final = 0.001
"""How long ready sockets are served before the event loop's other work gets its turn."""
RELAY_POLL_DELAY_S: Final = 0.0001
"""How long the relay looks away when nothing is ready under load: at 100,000 packets a second ten gather meanwhile, for
each of which it would wake up otherwise."""
RELAY_POLL_DELAY_PACKETS_PER_S: Final = 60_000.0
"""The load from which it does: below it a tenth of a millisecond is worth more than the CPU time it would save."""
RELAY_POLL_BATCH: Final = 48
"""Messages a call on average above which it does not: batches are long already."""
RELAY_CLIENT_SOCKET_PACKETS: Final = 512
RELAY_CLIENT_SOCKET_WINDOW_S: Final = 0.25
"""A client that exchanges so many packets in such a time (2,000 a second) gets a UDP socket of its own: what it sends
too fast then fills its own queue and nobody else's."""
RELAY_CLIENT_SOCKETS: Final = 4096
"""How many clients have sockets of their own, where the kernel finds connected sockets by hash (Linux 6.13)."""
RELAY_CLIENT_SOCKETS_LINEAR: Final = 64
"""And where it compares one after the other for each datagram that arrives."""
RELAY_MAX_WORKERS: Final = 64
"""Processes of one relay: more than the cores that anyone gives to one."""
RELAY_WORKER_STARTS_S: Final = 5.0
"""A worker that fails so soon after its start has a configuration that it cannot work with."""
RELAY_REPORT_S: Final = 10.0
"""How often a relay tells a rendezvous how it does: a tenth of the allocations that fill it come in that time."""
RELAY_REPORT_LOOK_S: Final = 1.0
"""How often it looks whether there is something to tell sooner: it drains, is full, or has room again."""
RELAY_REPORT_LASTS_S: Final = 35.0
"""How long a report is believed: three in a row may be lost before clients hear of the relay no more."""
RELAY_REPORT_SKEW_S: Final = 60.0
"""How far the clocks of relay and rendezvous may differ: a report that somebody kept is of no use later."""
RELAY_REPORT_TIMEOUT_S: Final = 5.0
"""How long a rendezvous may take for a report: half of the time until the next."""
RELAY_ROOM_SHARE: Final = 0.95
"""From this share of its limits on a relay is not offered: clients that are on their way already find the rest."""
RELAYS_ASKED_AGAIN_S: Final = 5.0
"""How soon at most a client asks a rendezvous for relays again, when it was told of none or none of them serves it."""
RELAYS_REPORTING: Final = 256
"""Processes of relays that one rendezvous hears; 100 KiB."""
RELAY_DRAIN_S: Final = 60.0
"""How long a stopping relay serves what it has: clients that get 508 for new allocations go elsewhere meanwhile."""

# --- Direct signalling: peers without a rendezvous -----------------------------------------------------------
DIRECT_PIECE_BYTES: Final = 1100
"""Of a message in one datagram: with its header below the 1,232 bytes that pass everywhere over IPv6."""
DIRECT_FIRST_RETRY_S: Final = 0.1
"""When an unanswered datagram is sent again; then the wait doubles. Longer than most
round trips take, and a lost one costs little."""
DIRECT_CALL_RETRY_MAX_S: Final = 2.0
"""Longest wait between two calls to an address that is silent: a host that joins the network is found about then."""
DIRECT_ATTEMPTS: Final = 6
"""How often a message is sent before its receiver counts as gone: over 6.3 s, as long as an idle path may be silent."""
DIRECT_QUEUE: Final = 64
"""Messages that may wait for one receiver: a session sends some ten in its first second."""
DIRECT_LINES: Final = 256
"""Addresses with which messages are exchanged at a time; the one that was silent longest goes first. 3 MiB at worst."""
DIRECT_MESSAGES_PER_S: Final = 20.0
"""Messages a second taken from one host: what a rendezvous takes of one connection."""
DIRECT_MESSAGES_BURST: Final = 200.0
"""The same at once."""
DIRECT_CALLS_PER_S: Final = 100.0
"""Calls answered a second in all: each costs three hashes and 48 bytes, and only who has a ticket can make one."""
DIRECT_CALLS_BURST: Final = 200.0
"""The same at once."""
DIRECT_CALLED: Final = 32
"""Addresses at which one peer is called: those of a ticket, and four answers to a search. The oldest give way."""
DIRECT_RECEIPT_S: Final = 0.5
"""When a message without a receipt is sent by the rendezvous as well: several round trips."""
DIRECT_PATIENCE_S: Final = 2.0
"""How long a peer that the rendezvous cannot reach may take to answer directly: multicast DNS asks three times by then,
and a call is repeated five times."""
LAN_PATIENCE_S: Final = 4.0
"""The same where there is no rendezvous: Wi-Fi delivers multicast to sleeping receivers late, or at the next try."""
LAN_QUERY_S: Final = 3.0
"""How long one question by multicast DNS may go unanswered; the library repeats it meanwhile."""
LAN_LOOK_AFTER_S: Final = 0.2
"""When multicast DNS is asked, if there are addresses to call: each has been called twice by then. Loading it is 80 ms
of work, which would delay an answer on a busy machine, and it tells everybody that we look for something."""
LAN_WATCH_S: Final = 1.0
"""How soon an announcement follows a change of addresses, beyond what it takes to notice that."""
LAN_READY_S: Final = 2.0
"""How long `p2p expose --lan` waits for its rendezvous, if it has one, before it shows the ticket all the same."""
TICKET_ADDRESSES: Final = 6
"""Direct addresses in a ticket: two of each kind; each costs 11 (IPv4) or 31 characters (IPv6)."""
TICKET_ADDRESSES_OF_A_KIND: Final = 2
"""Of one kind, such as private IPv4: containers and virtual machines give a host many that lead nowhere."""

# --- Signalling: the client --------------------------------------------------------------------------------
SIGNALLING_BACKOFF_MIN_S: Final = 0.25
"""Upper bound of the first random wait before a reconnect: a restarted server is back about then."""
SIGNALLING_BACKOFF_MAX_S: Final = 30.0
"""Upper bound of any wait: a server that was down for hours is found again within half a minute."""
SIGNALLING_CONNECT_TIMEOUT_S: Final = 10.0
"""TCP, TLS, upgrade and login together."""
SIGNALLING_NEXT_SERVER_S: Final = 1.0
"""When the next server of a list is tried beside one that has not answered: three satellite round trips."""
SIGNALLING_SYNS: Final = 3
"""Connections begun to one address at most: at 10 % loss each way all three fail once in 150 times."""
SIGNALLING_SYN_SPACING_S: Final = 0.1
"""Between these; the system repeats a SYN after 1 s. At least this much says RFC 8305 section 8."""
CHASER_WAITS_S: Final = (0.01, 0.015)
"""When empty frames follow a message to or from a rendezvous: late enough to be lost by themselves, and two, so that
one may be. TCP repeats the message a quarter of a round trip after the first of them is acknowledged (RFC 8985)."""
SIGNALLING_REQUEST_TIMEOUT_S: Final = 10.0
"""How long a request waits for its answer, a reconnect in between included."""
SIGNALLING_HEARTBEAT_S: Final = 15.0
"""WebSocket ping of the client: a dead connection is known after 22 s, and middleboxes keep theirs for 60 s."""
SIGNALLING_RENEW_MARGIN: Final = 0.25
"""Relay credentials are renewed when this part of their life is left."""
KNOCK_WAITS_S: Final = (0.015, 0.06, 0.06)
"""When the pieces of a knock without an answer are sent again: at once, since one lost piece holds up the whole knock,
and then above most round trips to a server of the continent. 10 KB at most where UDP does not pass."""
KNOCK_CHECK_AFTER_S: Final = 0.04
"""How long after its answer an exposer checks where a knock came from: the dialer's first check has left by then, and
has not arrived yet where a round trip takes longer than this."""
KNOCK_ANSWER_S: Final = 0.25
"""How long after the login the answer to a knock that was passed on is waited for before the offer is made again."""
SIGNALLING_STABLE_S: Final = 10.0
"""A connection that lived this long has earned a quick first reconnect."""

# --- Rendezvous --------------------------------------------------------------------------------------------
EARLY_LOGIN_SKEW_S: Final = 60.0  # clocks of hosts with NTP differ by less; others pay the round trip of a challenge
EARLY_LOGINS_REMEMBERED: Final = 200_000  # in two minutes, 20 MB; past it, challenges
KNOCK_SKEW_S: Final = 60.0
"""How far the clock of whoever knocks may be off the server's; as with early logins."""
KNOCK_NONCES_REMEMBERED: Final = 200_000
"""Knocks taken in two minutes; past it there are none for a while, and offers come by WebSocket."""
KNOCK_ASSEMBLY_S: Final = 2.0
"""How long the pieces of a knock may be apart: they are sent together, and again for a tenth of a second."""
KNOCK_PARTIALS: Final = 4096
"""Knocks that wait for more pieces: 23 MB at worst, of holders of tickets."""
KNOCK_PARTIALS_PER_BELL: Final = 64
"""The same at one bell, so that the holders of one ticket cannot take all."""
KNOCK_HOLD_S: Final = 10.0
"""How long answers to a knock wait for its maker's login: as long as a login may take."""
KNOCK_HELD_MESSAGES: Final = 16
"""Answers that wait for one: the answer itself, and news of addresses."""
KNOCK_HELD_BYTES_EACH: Final = 64 << 10
"""The same in bytes: four of the longest."""
KNOCK_HELD_BYTES: Final = 32 << 20
"""And for all together; beyond it who knocks is told by nobody, and makes its offer by WebSocket."""
RENDEZVOUS_LOGIN_TIMEOUT_S: Final = 10.0
"""From accepting a connection to its login: three round trips of a satellite link, with TLS."""
RENDEZVOUS_HEARTBEAT_S: Final = 25.0
"""WebSocket ping of the server: presence is wrong for 38 s at most after a peer vanishes."""
RENDEZVOUS_CLOSE_TIMEOUT_S: Final = 1.0
"""How long a dismissed client may take to answer the close before its connection is cut."""
RENDEZVOUS_SEND_BUFFER_BYTES: Final = 256 << 10
"""What may wait for a slow client; then it is disconnected. 16 of the largest messages."""
RENDEZVOUS_STUCK_S: Final = 10.0
"""How long a client may take nothing of what others send it: longer than any hiccup, shorter than the heartbeat."""
RENDEZVOUS_SOCKET_BUFFER_BYTES: Final = 64 << 10
"""What the kernel may hold for a client besides: four of the largest messages."""
RENDEZVOUS_CONNECTIONS: Final = 20_000
"""Open connections in all: 0.5 GB at 25 KiB each."""
RENDEZVOUS_CONNECTIONS_PER_ADDRESS: Final = 256
"""Open connections of one address (or IPv6 /64): an office behind one NAT fits."""
RENDEZVOUS_BACKLOG: Final = 1024
"""Connections the kernel holds until they are accepted: all clients come back at once after a restart."""
RENDEZVOUS_SOCKETS_PER_HOST: Final = 1024
"""TCP connections of one host on the HTTP port, before and after they have said what they are: those of an office, its
relayed ones included, and a sixtieth of the descriptors of a server."""
RENDEZVOUS_CONNECTS_PER_S: Final = 10.0
"""New connections a second of one address; each costs a signature check of 0.1 ms."""
RENDEZVOUS_CONNECT_BURST: Final = 256
"""New connections at once of one address: that office after its uplink came back."""
RENDEZVOUS_MESSAGES_PER_S: Final = 20.0
"""Messages a second of one connection; a session takes about 20 in all."""
RENDEZVOUS_MESSAGE_BURST: Final = 200
"""Messages at once of one connection: ten sessions that begin together."""
RENDEZVOUS_OFFENCES: Final = 50
"""Malformed or excess messages after which a connection is closed."""
RENDEZVOUS_SERVICES_PER_PEER: Final = 100
"""Services one peer may offer: bounds the registry."""
RENDEZVOUS_ADDRESS_TABLE: Final = 65_536
"""Addresses whose rate is remembered: 15 MB."""
RENDEZVOUS_CREDENTIAL_LIFETIME_S: Final = 24 * 3600
"""Life of relay credentials. A leaked one ends within a day, and a laptop that slept overnight still has its own."""
RENDEZVOUS_DRAIN_S: Final = 20.0
"""How long a drain leaves clients to move; below the 30 s after which service managers kill."""
STUN_STREAM_IDLE_S: Final = 30.0
"""How long a STUN connection over TCP may be silent."""
STUN_STREAM_CONNECTIONS: Final = 1_000
"""STUN connections over TCP at once: each is used for one exchange."""

# --- Inside the connection -----------------------------------------------------------------------------------
QUIC_HOLD_EVENTS_S: Final = 0.5
"""How long what happens while packets arrive is held back at most, until frames that are sent again have left."""

QUIC_STUCK_ACK_S: Final = 0.025
"""How long an acknowledgement may be behind frames that wait; as long as peers are told to expect one to take."""

QUIC_ENGINE_ERROR_PAUSE_S: Final = 0.05
"""How long an engine's timers rest after it raised: often enough to recover, too seldom to burn a core."""

# --- Gathering -------------------------------------------------------------------------------------------------
RELAY_ALLOCATE_TIMEOUT_S: Final = 5.0
"""How long one relay may take over one protocol: several retransmissions on a slow path."""
RELAY_RACE_SPACING_S: Final = 0.1
"""Head start of the better relay or protocol: two round trips on most paths. With a handful of relays, a network that
lets only the last one through costs half a second."""
RELAY_RACE_SPACING_BLOCKED_S: Final = 0.01
"""The same where UDP is blocked: a firewall drops SYNs silently, and each one waited for would delay the first byte."""
RELAY_NEARER_BY_S: Final = 0.01
"""A relay that is nearer by less is not better: Wi-Fi delays single packets as much, and the order of the
rendezvous decides."""
RELAY_SILENT_S: Final = 10.0
"""How long a relay may be silent before another one is looked for, where there is one: one that restarts is back."""
RELAY_DISTANCE_RTO_S: Final = 1.0
RELAY_DISTANCE_REQUESTS: Final = 2
"""How far a relay is, is asked once, and again if there is no answer: a later repetition than usual, so that the answer
of a satellite's far end still belongs to the one question."""
RELAY_RELEASE_WAIT_S: Final = 0.3
"""How long giving an address back may delay the end of the program."""
RELAY_CARRIER_BUFFER_BYTES: Final = 256 << 10
"""Unsent bytes towards a relay over TCP before the sender has to wait: 20 ms at 100 Mbit/s."""
NETWORK_SETTLE_S: Final = 0.25
"""How long the network must have told no news before we act on them: an address and its routes come within 0.1 s."""
NETWORK_SETTLE_MAX_S: Final = 1.0
"""When we act although news keep coming: half the time after which a silent path is given up."""
NETWORK_CHECK_S: Final = 3.0
"""How often we look for signs of sleep, and at the network itself where nobody tells
its news: a cheap look, and a user who has just opened the lid has not typed a word by then."""
NETWORK_SLEEP_S: Final = 2.0
"""Time that is missing on our clock, for us to have slept: longer than any pause of a busy machine. Below 20 s, NATs
would still know us and asking again is all that it costs."""
TUNNEL_REFUSAL_LINGER_S: Final = 2.0
"""How long a refused dialer has to hear why before the connection is closed: a few round trips over a far relay."""
TUNNEL_INITIAL_CREDIT_BYTES: Final = 64 << 10
"""What may be sent on a new stream unasked; part of the protocol. Four times QUIC's first flight, and 5,000 streams
that nobody reads cost 320 MiB, not 5 GiB."""
TUNNEL_WINDOW_BYTES: Final = 1 << 20
"""The most one stream may have on the way or in our hands: 200 Mbit/s at 40 ms; a slow reader costs no more."""
TUNNEL_ABSORBED_BYTES: Final = 3 << 20
"""The most that may be under way on top of the window because the kernel has room for it: 800 Mbit/s at 40 ms in all,
and with the window below QUIC's own limit for a stream. Should the kernel break its word, a stream holds that too."""
TUNNEL_CREDIT_STEP_BYTES: Final = 32 << 10
"""Credit is granted in steps: a thirty-second of the window, since what is not granted yet is missing on a fast path.
On loopback it gives a tenth more than an eighth; a frame of ten bytes for it joins an ACK that leaves anyway."""
TUNNEL_CREDIT_POOL_BYTES: Final = 64 << 20
"""What all streams together may hold beyond their initial credit: 64 full windows."""
TUNNEL_CREDIT_SHARE: Final = 8
"""One stream may take at most this fraction of what the pool has left, so that it never runs quite dry."""
TUNNEL_EARLY_STREAMS: Final = 4
"""Streams a dialer may open before it is accepted, with the initial credit each: saves the first flow a round trip."""
TUNNEL_MAX_FLOWS: Final = 12_288
"""Flows of one session: 10,000 idle WebSockets of a gateway, and some more; fewer than the streams that QUIC allows."""
TUNNEL_QUANTUM_BYTES: Final = 128 << 10
"""What one flow feeds into QUIC before the next has its turn; smaller ones cost throughput, larger ones latency."""
TUNNEL_FEED_BELOW_BYTES: Final = 16 << 10
"""The next flow's turn comes when QUIC has less than this left to send: a dozen packets, so that none leaves half full.
Streams mixed in one batch of packets cost a receiver of 16 streams a quarter of its CPU."""
FORWARD_DIAL_TIMEOUT_S: Final = 10.0
"""How long the exposing side tries to reach the service: a lost SYN is repeated after 1, 3 and 7 s."""
FORWARD_DIAL_STAGGER_S: Final = 0.25
"""When the next address of a name is tried beside the first. Source: RFC 8305 section 5."""
FORWARD_NAME_TTL_S: Final = 30.0
"""How long a resolved name is used without asking again: a service that moves is found within half a minute."""
FORWARD_BACKLOG: Final = 1024
"""Connections the kernel holds until we accept them: a burst of 200 is normal, a thousand is a load test."""
FORWARD_ACCEPT_BATCH: Final = 64
"""Connections accepted in a row before other work has its turn."""
FORWARD_WAITING_LIMIT: Final = 256
"""Accepted connections that may wait for a session; more are reset at once."""
FORWARD_WAITING_S: Final = 20.0
"""How long such a connection waits before it is reset: longer than any NAT plan takes, shorter than a browser waits."""
FORWARD_DESCRIPTORS_PAUSE_S: Final = 0.5
"""How long to stop accepting after the system ran out of descriptors, so that the loop does not spin."""
THROTTLE_PORTION_S: Final = 0.01
"""A flow that waits at a bandwidth limit gets what passes in this time: short enough that many share and no pause
is felt, long enough that a wake-up moves more than a packet."""
THROTTLE_PORTION_LEAST_BYTES: Final = 1500
"""And at least a packet."""
THROTTLE_PORTION_MOST_BYTES: Final = 128 << 10
"""And at most a feeder's turn."""
THROTTLE_BURST_S: Final = 0.1
"""What passes at once after a pause, in seconds of the limit: a late timer must not cost throughput."""
THROTTLE_BURST_LEAST_BYTES: Final = 64 << 10
"""And at least this much: the largest datagram must pass some time."""
FORWARD_UDP_IDLE_S: Final = 180.0
"""A flow of datagrams without one for so long is over. NATs keep a mapping at least 2 minutes (RFC 4787 section 4.3):
whoever is silent for longer expects to be forgotten."""
COMPRESSION_LEVEL: Final = 1
"""DEFLATE's quickest: 0.5 Gbit/s of text from one core, and nine tenths of what the default saves."""
COMPRESSION_PIECE_BYTES: Final = 64 << 10
"""Compressed or expanded at once: a millisecond in which the loop does nothing else."""
COMPRESSED_FLOWS: Final = 256
"""Compressed flows of all dialers of an exposer together: 100 MB. Any ticket holder can ask for them."""
FORWARD_UDP_FLOWS: Final = 6144
"""Flows of datagrams in one session; one more ends the one idle for longest. Below what a session has in all, so that
no flood of sources keeps connections out."""
FORWARD_UDP_HELD: Final = 256
"""Datagrams kept while they wait for a session, a flow or a socket; then the oldest go: the burst with which a program
begins, and four times what the kernel hands over at once."""
FORWARD_UDP_HELD_BYTES: Final = 256 << 10
"""How many bytes those may have: four of the largest datagrams."""
FORWARD_UDP_WAITING_S: Final = 3.0
"""How long a datagram waits for a session: that is how long opening one takes; after it, programs have asked again."""
FORWARD_UDP_BACKLOG_BYTES: Final = 256 << 10
"""Datagrams too large for a packet that wait for their stream; then the oldest go: 20 ms at 100 Mbit/s."""
FORWARD_UDP_REPEATED: Final = 8
"""Datagrams sent again, to the next address of a service's name, when nobody answered at the first: a first flight."""
FORWARD_UDP_BUFFER_BYTES: Final = 1 << 20
"""Kernel buffers of one flow's socket: 40 ms at 200 Mbit/s, the longest pause of a busy event loop."""
FORWARD_UDP_REFUSED_S: Final = 1.0
"""No new flows of datagrams for so long after one was refused: a program that repeats itself must not ask each time."""
STDIO_CHUNK_BYTES: Final = 256 << 10
"""Read size of standard input and output: four pipe buffers, so that a fast program is woken seldom."""
QUIC_PATH_CHANGE_PACKETS: Final = 3
"""Packets sent past the cap as probes of a new path, and losses that are forgiven there: those of the old path."""
QUIC_TIMER_RESOLUTION_S: Final = 0.001
"""No engine timer fires sooner than this: the loop's resolution, half of what a pacer may let go at once."""
QUIC_BLOCKED_TIMER_S: Final = 0.02
"""How often an engine's timers are looked at while the link takes no packets."""

# --- Sessions --------------------------------------------------------------------------------------------------
FLOW_PROBLEM_INTERVAL_S: Final = 10.0
"""A service that refuses connections is told so often: a browser tries many times a second, a person reads once."""
READY_WITHOUT_RELAY_S: Final = 2.0
"""How long `p2p expose` waits for its relayed address before it shows the ticket all the same."""
LOOK_AROUND_S: Final = 1.0
"""How often at most a doubt makes us ask STUN servers and relay again, however many sessions have it."""
TRICKLES_PER_S: Final = 10.0
"""News of addresses that one program sends: half of what the rendezvous takes, so that answers and offers pass."""
SIGNAL_REPEATS_S: Final = (0.25, 0.5, 1.0, 2.0)
"""When a session's signal is sent again that the rendezvous had no room for, or no receiver: a peer that gets a hundred
sessions at once has read what came first by then, and one that logs in again is back."""
TRICKLES_UNPROVEN_S: Final = 30.0
"""What was sent so shortly before a connection to the rendezvous ended is sent again on the next one: a connection that
is dead is noticed after 22 s at the latest, and takes everything until then."""
TRICKLES_BURST: Final = 100.0
"""The same at once: half of what the rendezvous takes."""
LOGIN_WATCH_S: Final = 1.0
"""How soon an exposer notices that another login of its key and name has taken over."""
PATHS_REMEMBERED: Final = 100
"""Path switches of a session that its report lists."""
SESSION_SEEK_S: Final = 2.0
"""How often a session without a path asks relay and peer for one at first; an outage that ends is noticed so soon."""
CHECKS_REMEMBERED: Final = 32_768
"""Checks whose sessions a program remembers, for their answers: those of 10 s with 4,096 sessions, which have
heartbeats on two paths each; 5 MiB."""
CHECKS_UNPROVEN_PER_S: Final = 500.0
"""Checks of one program to addresses that never answered: 60 kB/s is no weapon, and 30 sessions a second need less."""
CHECKS_UNPROVEN_BURST: Final = 2000.0
"""The same at once: 200 sessions that open together, with ten checks each before one is answered."""
SESSION_PERMITTED_HOSTS: Final = 16
"""Hosts of one peer that may send through our relay, half of them in its own networks: a relay grants 1,024 in all."""
SERVICES_MAX: Final = 1024
"""Services of one command, ports of ranges included: as many sockets to listen on, one connecting side has room for."""
SESSIONS_MAX: Final = 4096
"""Sessions of one exposer; each idle one costs about 100 KiB."""
SESSIONS_OPENING_MAX: Final = 256
"""Sessions that may be opening at once: what ticket holders can make an exposer check at a time."""
SESSIONS_REPORTED: Final = 1000
"""Ended sessions that are kept for the report: a program that runs for months sees millions."""
SERVERS_USED: Final = 8
"""STUN servers, and relays, of a rendezvous that are asked: a fleet's neighbours, and no list of victims."""
SESSIONS_PER_PEER: Final = 512
"""Sessions of one peer with one exposer: a dialer needs one, a load test hundreds."""
SESSIONS_OPENING_PER_PEER: Final = 64
"""The same for those that are opening: a quarter of all, so that one key cannot keep everybody else out."""
REPLIES_PER_S: Final = 5.0
"""Answers an exposer gives to peers without a session: a quarter of what the rendezvous lets it send in all."""
REPLIES_BURST: Final = 50.0
"""The same at once: a quarter of the rendezvous' burst."""
SESSION_OPENING_TIMEOUT_S: Final = 30.0
"""When an exposer forgets a dialer that asked for a session and did not come."""
RELAY_UNLESS_MAPPED_MIN_S: Final = 0.03
RELAY_UNLESS_MAPPED_MAX_S: Final = 0.25
"""When a dialer without an answer from STUN takes a relay of its own: UDP may be blocked. Between these it waits as
long as connecting to the rendezvous took, which is two round trips at least, while STUN takes one; not at all when a
STUN server of the rendezvous has had that time already, and not answered a knock."""
RELAY_UNLESS_OPEN_S: Final = 1.0
"""When a dialer whose session is not open yet takes a relay of its own: the exposer's may not be enough."""
DIAL_STALE_S: Final = 3.0
"""When the rendezvous takes longer to let us in, the attempt begins anew: its handshake runs all the time."""
DIAL_BACKOFF_MIN_S: Final = 0.25
"""Shortest wait before a lost session is opened again."""
DIAL_BACKOFF_MAX_S: Final = 10.0
"""Longest wait: how late a service that came back is noticed."""
PING_INTERVAL_S: Final = 1.0
"""Between two questions of `p2p ping`, as everybody knows it from ping."""
PING_ANSWER_WAIT_S: Final = 3.0
"""How long `p2p ping` waits for an answer: a path switch fits in."""
BENCH_BLOCK_BYTES: Final = 256 << 10
"""What a measurement reads and writes at once: two turns of a flow, so that the feeder never finds it empty."""
BENCH_SECONDS: Final = 5
"""How long each part of `p2p bench` takes: slow start is over within one second even at 200 ms."""
BENCH_SECONDS_MAX: Final = 60
"""How long it may take: a relay's owner pays for every byte."""
BENCH_STREAM_MAX_S: Final = 75.0
"""How long an exposer serves one stream of it at most: a part, and the wait for a slow network before and after it."""
BENCH_STREAMS: Final = 4
"""Streams that `p2p bench` uses at once: what a browser opens, and enough where one stream's window is too small."""
BENCH_STREAMS_MAX: Final = 64
"""Streams of measurements that an exposer serves at once, for all peers: each one may keep the machine busy."""
BENCH_REPORT_S: Final = 0.1
"""How often the exposer tells how much has come: 16 bytes ten times a second disturb nothing."""
BENCH_MESSAGE_BYTES: Final = 64
"""Request and response of a latency measurement: a keystroke, a small query."""
BENCH_DATAGRAM_BYTES: Final = 200
"""A datagram of the UDP part: 20 ms of voice with its headers."""
BENCH_DATAGRAM_INTERVAL_S: Final = 0.01
"""Between two of them: twice as many as a call sends, 160 kbit/s; what is lost is lost on the way, not for the load."""
BENCH_DATAGRAM_WAIT_S: Final = 1.0
"""How long the last ones are waited for; what is later is lost to a call or a game."""
BENCH_WATCH_S: Final = 0.02
"""How often `p2p bench` looks whether the path has settled, or a part's first byte has come."""
BENCH_SETTLE_S: Final = 20.0
"""How long it waits for a direct path, or for the reason why there is none: guessing ports takes 15 s."""
BENCH_FIRST_BYTE_S: Final = 10.0
"""How long the first byte of a part may take before the measurement has failed."""
BENCH_REST_S: Final = 3.0
"""How long it waits between two parts for what is still under way, which would slow down the next one."""
PROXY_CONNECTIONS_MAX: Final = 1024
"""Connections through a proxy at once, for all peers: a browser with many tabs has two hundred."""
PROXY_BEGIN_S: Final = 30.0
"""How long a client may take to say where to, with connecting there: twice the time for that."""
PROXY_DIAL_S: Final = 15.0
"""How long resolving a name and connecting may take, as for a service."""
PROXY_ADDRESS_S: Final = 5.0
"""How long one address of several may take: three lost SYNs."""
PROXY_READ_BYTES: Final = 64 << 10
"""What is copied at once: a connection holds no more than that in each direction."""
FILES_CONNECTIONS_MAX: Final = 256
"""Connections to an exposed folder at once, for all peers: browsers open six each."""
FILES_KEEPALIVE_S: Final = 75.0
"""How long one may be idle between two requests: what browsers are used to."""
FILES_SHUTDOWN_S: Final = 0.2
"""How long the end waits for answers under way: their sessions have ended before, so nobody hears them."""
FILES_WRITE_BYTES: Final = 1 << 20
"""What of an upload is collected before a thread writes it: a thread costs 0.1 ms each time."""
FILES_ROOM_LEFT_BYTES: Final = 256 << 20
"""What uploads leave free of the file system, so that the machine of who takes files goes on to work."""
FILES_PART_LIFETIME_S: Final = 7 * 86_400.0
"""How long half a file is kept for who broke off: over a weekend."""
FILES_SMALL_BYTES: Final = 256 << 10
"""Files up to this size are copied by one request and begun anew: at 1 Mbit/s they take 2 s."""
FILES_DEPTH_MAX: Final = 64
"""Folders in folders that are copied; deeper ones are somebody's joke."""
COPY_FILES_AT_ONCE: Final = 4
"""Files that `p2p cp` has under way: small ones take a round trip each, and wait for it side by side."""
COPY_PROGRESS_S: Final = 0.2
"""How often it shows how far it is."""
COPY_ATTEMPTS: Final = 5
"""How often it opens a session again that was lost, without a byte copied in between."""
FILES_CHUNK_BYTES: Final = 256 << 10
"""What is read of a file at once where the kernel cannot send it by itself."""
CLASSIC_TEST_TIMEOUT_S: Final = 0.5
"""How long pystun3 waits for each of its four tries at most: longer than any round trip on Earth."""
CLASSIC_TEST_LEAST_S: Final = 0.15
"""And at least: a busy host answers late."""
CLASSIC_ROUND_TRIPS: Final = 4.0
"""In between it is so many round trips: where answers are quick, silence is soon meant."""

# --- Port mapping ------------------------------------------------------------------------------------------------
PORTMAP_LIFETIME_S: Final = 3600
"""How long a router is asked to forward a port: what a program that was killed leaves behind is gone in an hour, and a
renewal each half hour costs nothing. Source: RFC 6886 section 3.3 has two hours, UPnP IGD 2 one."""
PORTMAP_LIFETIME_MAX_S: Final = 86_400
"""What we believe of a longer lifetime: the router's word is looked at anew at least twice a day."""
PORTMAP_RENEW_MIN_S: Final = 15.0
"""How often at most a port is asked for again, whatever lifetimes and clocks a router shows."""
PORTMAP_PROBE_RTO_S: Final = 0.1
"""Between the first requests: a router on the LAN answers in 1 to 50 ms, one on bad Wi-Fi loses a datagram."""
PORTMAP_PROBE_REQUESTS: Final = 3
"""How often a router is asked at first; with the wait after the last one that makes 0.3 s until it counts as silent."""
PORTMAP_NAT_PMP_GRACE_S: Final = 0.05
"""How long a router that has answered in NAT-PMP may take to answer in PCP, which we would rather speak."""
PORTMAP_REQUEST_RTO_S: Final = 0.25
"""Between repeated requests to a router that is known to speak the protocol; doubled. Source: RFC 6886 section 3.1."""
PORTMAP_REQUESTS: Final = 4
"""How often such a request is sent: 0, 0.25, 0.75 and 1.75 s."""
PORTMAP_RENEW_RTO_S: Final = 3.0
"""Between repeated renewals, for which there is time; doubled. Source: RFC 6887 section 8.1.1."""
PORTMAP_RENEWALS: Final = 12
"""How often a renewal is sent: more often than fits into half a lifetime."""
PORTMAP_EPOCH_JITTER_S: Final = 0.5
"""A router that has restarted is asked anew within this time, so that a LAN does not ask all at once. RFC 6887 section
14.1.3 has 5 s, for routers of providers."""
PORTMAP_UNMAP_S: Final = 0.3
"""How long a program that ends waits for the router to take a mapping back: it must not keep a user waiting."""
PORTMAP_SSDP_S: Final = 1.6
"""How long answers to a UPnP search are waited for: devices may take 1 s (MX), and the search is sent three times."""
PORTMAP_SSDP_ANSWERS: Final = 64
"""Answers to a search that are read: a LAN full of televisions, and no flood."""
PORTMAP_HTTP_S: Final = 3.0
"""How long one request to a UPnP router may take: slow ones need a second to write their rules."""
PORTMAP_CONFLICT_TRIES: Final = 6
"""Outside ports that are tried when others have them: of 64,000 ports, a second random one is nearly always free."""
PORTMAP_PERMANENT_CHECK_S: Final = 600.0
"""How often a UPnP mapping without an end is written again: a router that restarted has forgotten it."""
PORTMAP_RETRY_MIN_S: Final = 5.0
"""When a router that gave nothing is asked again: it may be starting."""
PORTMAP_RETRY_MAX_S: Final = 900.0
"""The most that this wait grows to, doubled each time: a setting that the owner changes is found in a quarter hour."""

METRICS_TIME_TO_DIRECT_BUCKETS_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0)
"""Plain checks take a round trip or a few, guesses up to ten seconds; later comes what the network changed for."""

PUBLICATION_ANSWER_S: Final = 15.0
"""How long a gateway may take to publish a service: it opens a port at most."""
ISSUER_KEYS_EVERY_S: Final = 300.0
"""How often the keys of token issuers are read: they publish a key hours before they sign with it."""
ISSUER_KEYS_WITHIN_S: Final = 10.0
"""How long one of their documents may take."""
ISSUER_CLOCK_SKEW_S: Final = 60.0
"""How far the clock of an issuer of tokens and ours may be apart."""
