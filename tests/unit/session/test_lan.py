"""Which addresses a ticket names, and what cannot be announced."""

from __future__ import annotations

import pytest

from p2p.address import TransportAddress
from p2p.defaults import TICKET_ADDRESSES
from p2p.errors import ConnectivityError
from p2p.gather.multicast import LanAnnouncement, look_up
from p2p.identity import Identity, Ticket
from p2p.identity.ticket import MAX_DIRECT_ADDRESSES
from p2p.proto.ice import Candidate, CandidateType
from p2p.session.lan import ticket_addresses


def candidates(*texts: str, kind: CandidateType = CandidateType.HOST) -> list[Candidate]:
    return [Candidate.local(kind, TransportAddress.parse(text), 1) for text in texts]


def test_two_of_each_kind_the_preferred_ones_first() -> None:
    found = ticket_addresses(
        candidates(
            "[2a00::1]:6",
            "[2a00::2]:6",
            "[2a00::3]:6",
            "[fd00::1]:6",
            "192.168.1.2:4",
            "172.17.0.1:4",
            "10.8.0.1:4",
            "8.8.8.8:4",
        )
    )
    texts = [str(address) for address in found]
    assert texts == ["192.168.1.2:4", "172.17.0.1:4", "8.8.8.8:4", "[2a00::1]:6", "[2a00::2]:6", "[fd00::1]:6"]
    assert len(found) <= TICKET_ADDRESSES <= MAX_DIRECT_ADDRESSES


def test_what_a_nat_gave_is_not_where_we_are_reached() -> None:
    assert ticket_addresses(candidates("8.8.8.8:4", kind=CandidateType.SERVER_REFLEXIVE)) == ()
    assert ticket_addresses(candidates("8.8.8.8:4", kind=CandidateType.RELAYED)) == ()


def test_a_forwarded_port_comes_before_our_own_addresses() -> None:
    forwarded = TransportAddress("9.9.9.9", 9)
    found = ticket_addresses(candidates("8.8.8.8:4", "8.8.4.4:4"), [forwarded])
    assert found == (forwarded, TransportAddress("8.8.8.8", 4))


def test_a_ticket_with_all_addresses_is_still_short() -> None:
    addresses = ticket_addresses(
        candidates("192.168.1.2:4", "10.8.0.1:4", "8.8.8.8:4", "8.8.4.4:4", "[2a00::1]:6", "[2a00::2]:6", "[fd00::1]:6")
    )
    ticket = Ticket(
        peer_id=Identity.generate().peer_id,
        service="service-abcdefgh",
        secret=bytes(16),
        rendezvous_urls=("wss://rendezvous.example",),
        direct_addresses=addresses,
    )
    assert len(addresses) == TICKET_ADDRESSES
    assert len(ticket.encode()) < 300


async def test_without_an_address_there_is_no_network_to_ask() -> None:
    with pytest.raises(ConnectivityError, match="P2P-4104"):
        await look_up("label", (), 1.0)
    with pytest.raises(ConnectivityError, match="P2P-4104"):
        async with LanAnnouncement("label", ()):
            pass


async def test_an_address_that_is_not_ours_cannot_be_used() -> None:
    with pytest.raises(ConnectivityError, match="P2P-4104"):
        await look_up("label", ("2001:db8::dead",), 1.0)
