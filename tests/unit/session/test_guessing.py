"""By which address the outside knows a peer, and where its hints may lead us."""

from __future__ import annotations

import pytest

from p2p.address import TransportAddress
from p2p.proto.ice import Candidate, CandidateType
from p2p.proto.path.plans import HintKind, PortHint
from p2p.session.guessing import is_usable, mapped_address


def candidate(kind, host):
    return Candidate.local(kind, TransportAddress(host, 5000), 1)


HOST, MAPPED, RELAYED = CandidateType.HOST, CandidateType.SERVER_REFLEXIVE, CandidateType.RELAYED


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        ([(HOST, "10.0.0.2"), (MAPPED, "192.0.2.1"), (RELAYED, "192.0.2.9")], "192.0.2.1"),
        ([(HOST, "192.0.2.5"), (MAPPED, "192.0.2.1")], "192.0.2.1"),
        ([(HOST, "10.0.0.2"), (HOST, "192.0.2.5"), (HOST, "192.0.2.6")], "192.0.2.5"),
        ([(HOST, "2001:db8::1"), (MAPPED, "2001:db8::2")], None),
        ([(HOST, "10.0.0.2"), (HOST, "172.16.0.1"), (HOST, "192.168.1.1"), (HOST, "100.64.0.1")], None),
        ([(RELAYED, "192.0.2.9")], None),
        ([], None),
    ],
)
def test_mapped_address(candidates, expected):
    found = mapped_address(candidate(*each) for each in candidates)
    assert (found and found.address.host) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.1", True),
        ("192.0.2.2", False),
        ("192.168.1.1", False),
        ("192.0.2.9", False),
        ("127.0.0.1", False),
        ("0.0.0.1", False),
    ],
)
def test_guesses_go_where_checks_go_and_nowhere_else(host, expected):
    named = [(HOST, "10.0.0.2"), (MAPPED, "192.0.2.1"), (RELAYED, "192.0.2.9"), (HOST, "127.0.0.1"), (HOST, "0.0.0.1")]
    candidates = [candidate(*each) for each in named]
    assert is_usable(PortHint(HintKind.RANGE, 1, host, (1024, 65_535)), candidates, ["10.1.0.2"]) is expected
