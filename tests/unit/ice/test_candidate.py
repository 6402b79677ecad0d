"""Candidates: priorities, foundations and the line of text."""

import pytest

from p2p.address import TransportAddress
from p2p.errors import DecodeError
from p2p.proto.ice import REMOTE_BASE_ID, Candidate, CandidateType, RelayProtocol, candidate_priority

V4 = TransportAddress("192.0.2.1", 5000)
V6 = TransportAddress("2001:db8::1", 5000)


def test_priority_is_that_of_the_rfc():
    # RFC 8839 section 4.2: a host candidate with the highest preferences
    assert candidate_priority(126, 65535) == 2130706431
    assert candidate_priority(100, 65535) == 1694498815


def test_types_are_preferred_in_the_order_of_the_rfc():
    order = [CandidateType.HOST, CandidateType.PEER_REFLEXIVE, CandidateType.SERVER_REFLEXIVE, CandidateType.RELAYED]
    priorities = [Candidate.local(kind, V4, 0).priority for kind in order]
    assert priorities == sorted(priorities, reverse=True)


def test_ipv6_is_preferred_and_a_relay_over_udp():
    assert Candidate.local(CandidateType.HOST, V6, 0).priority > Candidate.local(CandidateType.HOST, V4, 0).priority
    by_protocol = [
        Candidate.local(CandidateType.RELAYED, V4, 0, relay_protocol=protocol).priority for protocol in RelayProtocol
    ]
    assert by_protocol == sorted(by_protocol, reverse=True)
    assert by_protocol[-1] > 0


def test_foundation_is_equal_for_one_base_and_server_only():
    one = Candidate.local(CandidateType.HOST, V4, 0)
    assert one.foundation == Candidate.local(CandidateType.HOST, TransportAddress(V4.host, 6000), 1).foundation
    assert one.foundation != Candidate.local(CandidateType.HOST, V6, 0).foundation
    reflexive = {
        Candidate.local(CandidateType.SERVER_REFLEXIVE, V4, 0, related=V4, server=server).foundation
        for server in ("one", "other")
    }
    assert len(reflexive) == 2


def test_line_of_text_is_that_of_sdp():
    candidate = Candidate.local(
        CandidateType.SERVER_REFLEXIVE, V4, 3, related=TransportAddress("10.0.0.1", 4000), local_preference=65535
    )
    expected = f"candidate:{candidate.foundation} 1 udp 1694498815 192.0.2.1 5000 typ srflx raddr 10.0.0.1 rport 4000"
    assert candidate.to_wire() == expected


@pytest.mark.parametrize("protocol", list(RelayProtocol))
def test_relay_protocol_travels(protocol):
    candidate = Candidate.local(CandidateType.RELAYED, V6, 3, relay_protocol=protocol)
    read = Candidate.from_wire_untrusted(candidate.to_wire())
    assert read.relay_protocol is protocol
    assert read.base_id == REMOTE_BASE_ID
    assert (read.type, read.address, read.priority) == (candidate.type, V6, candidate.priority)


def test_a_foreign_line_is_read():
    # as browsers write it: with a prefix, a generation and a network cost
    line = "candidate:842163049 1 UDP 1677729535 203.0.113.7 62034 typ srflx raddr 0.0.0.0 rport 0 generation 0 ufrag x"
    candidate = Candidate.from_wire_untrusted(line)
    assert candidate.address == TransportAddress("203.0.113.7", 62034)
    assert candidate.related == TransportAddress("0.0.0.0", 0)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "candidate:",
        "candidate:1 1 udp 1 192.0.2.1 5000 typ",
        "candidate:1 1 udp 1 192.0.2.1 5000 tip host",
        "candidate:1 1 udp 1 192.0.2.1 5000 typ hoste",
        "candidate:1 2 udp 1 192.0.2.1 5000 typ host",
        "candidate:1 1 tcp 1 192.0.2.1 5000 typ host",
        "candidate:1 1 udp 0 192.0.2.1 5000 typ host",
        "candidate:1 1 udp -1 192.0.2.1 5000 typ host",
        "candidate:1 1 udp 1_0 192.0.2.1 5000 typ host",
        "candidate:1 1 udp ١ 192.0.2.1 5000 typ host",
        "candidate:1 1 udp 2147483648 192.0.2.1 5000 typ host",
        "candidate:1 1 udp 1 192.0.2.1 0 typ host",
        "candidate:1 1 udp 1 192.0.2.1 65536 typ host",
        "candidate:1 1 udp 1 name.local 5000 typ host",
        "candidate:1 1 udp 1 0.0.0.0 5000 typ host",
        "candidate:1 1 udp 1 :: 5000 typ host",
        "candidate:1 1 udp 1 224.0.0.1 5000 typ host",
        "candidate:1 1 udp 1 ff02::1 5000 typ host",
        "candidate:1 1 udp 1 255.255.255.255 5000 typ host",
        "candidate:1 1 udp 1 fe80::1%eth0 5000 typ host",
        "candidate:1 1 udp 1 ::ffff:192.0.2.1 5000 typ host",
        "candidate:1 1 udp 1 192.0.2.1 5000 typ host odd",
        "candidate:1 1 udp 1 192.0.2.1 5000 typ relay relay-protocol pigeon",
        f"candidate:{'f' * 33} 1 udp 1 192.0.2.1 5000 typ host",
        "candidate:1 1 udp 1 192.0.2.1 5000 typ host " + "x y " * 80,
        None,
        7,
        ["candidate"],
    ],
)
def test_what_is_no_candidate_is_refused(line):
    with pytest.raises(DecodeError):
        Candidate.from_wire_untrusted(line)


def test_checks_from_a_relay_say_so_in_their_priority():
    relay = Candidate.local(CandidateType.RELAYED, V4, 1)
    assert relay.check_priority >> 24 == 0
    assert Candidate.local(CandidateType.HOST, V4, 0).check_priority >> 24 == 110
    learned = Candidate(CandidateType.PEER_REFLEXIVE, V4, REMOTE_BASE_ID, None, relay.check_priority, "p")
    assert learned.via_relay


def test_a_learned_relay_stays_one_whatever_signalling_says():
    seen = Candidate(CandidateType.PEER_REFLEXIVE, V4, REMOTE_BASE_ID, None, 100, "p")
    told = Candidate.from_wire_untrusted(Candidate.local(CandidateType.SERVER_REFLEXIVE, V4, 0).to_wire())
    assert seen.upgraded(told).via_relay
    assert not told.via_relay
