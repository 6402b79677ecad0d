"""Tickets: one text each, and nothing but IdentityError for any other text."""

import base64
import hashlib

from hypothesis import given
from hypothesis import strategies as st

from p2p.address import TransportAddress
from p2p.errors import IdentityError
from p2p.identity import PeerId, Ticket

hosts = st.ip_addresses().map(str)
addresses = st.builds(TransportAddress, hosts, st.integers(1, 65535))
services = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?", fullmatch=True)
urls = st.builds(
    "{}://{}{}".format,
    st.sampled_from(["ws", "wss"]),
    st.from_regex(r"[a-z0-9]{1,20}\.[a-z]{2,5}", fullmatch=True),
    st.sampled_from(["", ":8470", "/v1/signal", ":1/x?y=z"]),
)
tickets = st.builds(
    Ticket,
    peer_id=st.builds(PeerId, st.binary(min_size=32, max_size=32)),
    service=services,
    secret=st.binary(min_size=16, max_size=16),
    rendezvous_urls=st.lists(urls, max_size=8).map(tuple),
    expires_wall=st.none() | st.integers(1, (1 << 40) - 1),
    direct_addresses=st.lists(addresses, max_size=16).map(tuple),
)


@given(tickets)
def test_a_ticket_survives_its_text(ticket: Ticket) -> None:
    assert Ticket.parse(ticket.encode()) == ticket


@given(st.text() | st.text().map("p2p1".__add__) | st.from_regex(r"p2p1[a-z2-7]{0,300}", fullmatch=True))
def test_any_text_is_a_ticket_or_an_identity_error(text: str) -> None:
    try:
        ticket = Ticket.parse(text)
    except IdentityError:
        return
    assert ticket.encode() == "".join(text.split()).lower()


@given(st.binary(max_size=300), st.booleans())
def test_any_content_with_a_right_checksum_is_a_ticket_or_an_identity_error(content: bytes, known: bool) -> None:
    if known:
        content = b"\x01" + content
    checksum = hashlib.sha256(b"p2p ticket\0" + content).digest()[:4]
    text = "p2p1" + base64.b32encode(content + checksum).decode().rstrip("=").lower()
    try:
        ticket = Ticket.parse(text)
    except IdentityError:
        return
    assert ticket.encode() == text


@given(tickets, st.data())
def test_a_changed_character_is_noticed(ticket: Ticket, data: st.DataObject) -> None:
    text = ticket.encode()
    position = data.draw(st.integers(4, len(text) - 1))
    character = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz234567").filter(lambda c: c != text[position]))
    try:
        Ticket.parse(text[:position] + character + text[position + 1 :])
    except IdentityError:
        return
    raise AssertionError("a typing error passed")
