"""The book of our candidates: what comes, what goes."""

from __future__ import annotations

from dataclasses import dataclass

from p2p.address import TransportAddress
from p2p.gather.candidates import CandidateBook
from p2p.proto.ice import CandidateType

STUN = TransportAddress("198.51.100.10", 3478)
OTHER_STUN = TransportAddress("203.0.113.10", 3478)
MAPPED = TransportAddress("192.0.2.1", 40000)
MAPPED_LATER = TransportAddress("192.0.2.77", 50000)


@dataclass
class Base:
    base_id: int
    local_address: TransportAddress


V4, V6 = Base(1, TransportAddress("0.0.0.0", 5000)), Base(2, TransportAddress("::", 6000))


def texts(candidates):
    return [str(candidate.address) for candidate in candidates]


def test_addresses_of_the_host_come_and_go():
    book = CandidateBook()
    change = book.set_hosts(V4, ["10.0.0.2", "2001:db8::2", "10.8.0.3"])
    assert texts(change.added) == ["10.0.0.2:5000", "10.8.0.3:5000"]
    assert texts(book.set_hosts(V6, ["10.0.0.2", "2001:db8::2"]).added) == ["[2001:db8::2]:6000"]
    assert not book.set_hosts(V4, ["10.8.0.3", "10.0.0.2"])
    change = book.set_hosts(V4, ["10.8.0.3", "172.16.0.9"])
    assert texts(change.added) == ["172.16.0.9:5000"]
    assert texts(change.removed) == ["10.0.0.2:5000"]
    assert texts(book.candidates) == ["10.8.0.3:5000", "[2001:db8::2]:6000", "172.16.0.9:5000"]


def test_a_server_s_newer_word_replaces_its_older_one():
    book = CandidateBook()
    book.set_hosts(V4, ["10.0.0.2"])
    assert texts(book.set_mapped(1, MAPPED, STUN).added) == [str(MAPPED)]
    assert not book.set_mapped(1, MAPPED, STUN)
    change = book.set_mapped(1, MAPPED_LATER, STUN)
    assert texts(change.added) == [str(MAPPED_LATER)]
    assert texts(change.removed) == [str(MAPPED)]
    assert book.mapped_address(1, STUN) == MAPPED_LATER


def test_an_address_stays_while_one_server_says_so():
    book = CandidateBook()
    book.set_mapped(1, MAPPED, STUN)
    book.set_mapped(1, MAPPED, OTHER_STUN)
    assert not book.set_mapped(1, MAPPED_LATER, STUN).removed
    assert texts(book.set_mapped(1, MAPPED_LATER, OTHER_STUN).removed) == [str(MAPPED)]


def test_an_address_of_the_host_itself_is_not_withdrawn_by_a_server():
    book = CandidateBook()
    book.set_hosts(V4, ["192.0.2.1"])
    own = TransportAddress("192.0.2.1", 5000)
    assert not book.set_mapped(1, own, STUN)
    assert not book.set_mapped(1, MAPPED_LATER, STUN).removed
    assert [candidate.type for candidate in book.candidates] == [CandidateType.HOST, CandidateType.SERVER_REFLEXIVE]


def test_in_another_network_words_count_when_they_are_said_again():
    book = CandidateBook()
    book.set_hosts(V4, ["10.0.0.2"])
    book.set_mapped(1, MAPPED, STUN)
    book.set_mapped(1, MAPPED, OTHER_STUN)
    book.doubt_mapped()
    assert book.mapped_address(1, STUN) is None
    assert not book.set_mapped(1, MAPPED, STUN)
    assert book.mapped_address(1, STUN) == MAPPED
    assert not book.drop_doubted()
    book.set_mapped(1, MAPPED, OTHER_STUN)
    book.doubt_mapped()
    assert not book.set_mapped(1, MAPPED_LATER, STUN).removed
    assert texts(book.drop_doubted().removed) == [str(MAPPED)]
    assert not book.drop_doubted()
    assert texts(book.candidates) == ["10.0.0.2:5000", str(MAPPED_LATER)]


def test_a_socket_without_any_address_of_the_host_is_reached_nowhere():
    book = CandidateBook()
    book.set_hosts(V4, ["10.0.0.2"])
    book.set_hosts(V6, ["2001:db8::2"])
    book.set_mapped(1, MAPPED, STUN)
    assert texts(book.set_hosts(V4, ["2001:db8::2"]).removed) == ["10.0.0.2:5000", str(MAPPED)]
    assert texts(book.candidates) == ["[2001:db8::2]:6000"]
    assert book.mapped_address(1, STUN) is None
    book.set_hosts(V4, ["10.0.0.2"])
    assert texts(book.set_mapped(1, MAPPED, STUN).added) == [str(MAPPED)]


def test_a_base_that_is_closed_takes_its_addresses_along():
    book = CandidateBook()
    book.set_hosts(V4, ["10.0.0.2"])
    assert texts(book.remove_base(1).removed) == ["10.0.0.2:5000"]
    assert book.candidates == ()
