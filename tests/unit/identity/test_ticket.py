import base64
import hashlib
from dataclasses import replace

import pytest

from p2p.address import TransportAddress
from p2p.errors import IdentityError
from p2p.identity import Identity, Ticket

PEER = Identity.from_seed(bytes(32)).peer_id
TICKET = Ticket(
    peer_id=PEER,
    service="web",
    secret=bytes(range(16)),
    rendezvous_urls=("wss://rv.example.com", "ws://[2001:db8::1]:8470/v1/signal"),
    expires_wall=1_900_000_000,
    direct_addresses=(TransportAddress("192.0.2.1", 5000), TransportAddress("2001:db8::5", 65535)),
)


def text_of(content: bytes) -> str:
    """Wrap content as a ticket with a right checksum."""
    checksum = hashlib.sha256(b"p2p ticket\0" + content).digest()[:4]
    return "p2p1" + base64.b32encode(content + checksum).decode().rstrip("=").lower()


def content_of(ticket: Ticket) -> bytes:
    encoded = ticket.encode().removeprefix("p2p1").upper()
    return base64.b32decode(encoded + "=" * (-len(encoded) % 8))[:-4]


def code_of(text: str) -> str:
    with pytest.raises(IdentityError) as caught:
        Ticket.parse(text)
    return caught.value.code


def test_a_ticket_survives_its_text() -> None:
    assert Ticket.parse(TICKET.encode()) == TICKET


def test_the_text_is_stable() -> None:
    """The layout is a promise to tickets that people keep."""
    assert Ticket(peer_id=PEER, service="a", secret=bytes(16)).encode() == (
        "p2p1ae5wuj54z23killcuounaktpbvzwkmqvo4o6eq5ghlaerimllhncsaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaafqqawrywpua"
    )


def test_a_plain_ticket_is_short() -> None:
    plain = Ticket(peer_id=PEER, service="web", secret=bytes(16), rendezvous_urls=("wss://rv.example.com",))
    assert len(plain.encode()) <= 132


def test_line_breaks_and_upper_case_are_forgiven() -> None:
    text = TICKET.encode().upper()
    assert Ticket.parse(f" {text[:40]}\n  {text[40:]} \n") == TICKET


def test_every_typing_error_is_found() -> None:
    text = TICKET.encode()
    for position in range(4, len(text)):
        wrong = "a" if text[position] != "a" else "b"
        assert code_of(text[:position] + wrong + text[position + 1 :]) in ("P2P-2201", "P2P-2202")
    for position in range(4, len(text) - 1):
        if text[position] != text[position + 1]:
            swapped = text[:position] + text[position + 1] + text[position] + text[position + 2 :]
            assert code_of(swapped) in ("P2P-2201", "P2P-2202")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "P2P-2201"),
        ("hello", "P2P-2201"),
        ("p2p1", "P2P-2202"),
        ("p2p1aaaa", "P2P-2202"),
        ("p2p1a", "P2P-2202"),
        ("p2p1!!!!", "P2P-2202"),
        ("p2p2aaaa", "P2P-2203"),
        ("p2p1" + "a" * 5000, "P2P-2201"),
        (text_of(b""), "P2P-2201"),
        (text_of(b"\x02" + content_of(TICKET)[1:]), "P2P-2203"),
        (text_of(content_of(TICKET)[:-1]), "P2P-2201"),
        (text_of(content_of(TICKET) + b"\0"), "P2P-2201"),
    ],
)
def test_what_is_no_ticket_says_why(text: str, code: str) -> None:
    assert code_of(text) == code


def test_the_checksum_is_the_first_thing_a_typing_error_meets() -> None:
    with pytest.raises(IdentityError, match="typing error") as caught:
        Ticket.parse(TICKET.encode()[:-8] + "aaaaaaaa")
    assert "copy it again" in caught.value.hint


@pytest.mark.parametrize(
    "change",
    [
        {"secret": bytes(15)},
        {"service": ""},
        {"service": "Web"},
        {"service": "a" * 64},
        {"expires_wall": 0},
        {"expires_wall": 1 << 40},
        {"rendezvous_urls": ("https://rv.example.com",)},
        {"rendezvous_urls": ("wss://",)},
        {"rendezvous_urls": ("wss://user@rv.example.com",)},
        {"rendezvous_urls": ("wss://rv.example.com/ x",)},
        {"rendezvous_urls": ("wss://rv.example.com:99999",)},
        {"rendezvous_urls": ("wss://" + "a" * 256,)},
        {"rendezvous_urls": ("wss://a",) * 9},
        {"direct_addresses": (TransportAddress("rv.example.com", 1),)},
        {"direct_addresses": (TransportAddress("192.0.2.1", 0),)},
        {"direct_addresses": (TransportAddress("fe80::1%eth0", 1),)},
        {"direct_addresses": (TransportAddress("192.0.2.1", 1),) * 17},
    ],
)
def test_a_ticket_with_an_impossible_field_cannot_be_made(change: dict[str, object]) -> None:
    with pytest.raises(IdentityError):
        replace(TICKET, **change)  # type: ignore[arg-type]


def test_an_expired_ticket_is_refused() -> None:
    TICKET.check_expiry(now_wall=1_899_999_999)
    with pytest.raises(IdentityError, match="expired 1 s ago") as caught:
        TICKET.check_expiry(now_wall=1_900_000_001)
    assert caught.value.code == "P2P-2204"
    replace(TICKET, expires_wall=None).check_expiry(now_wall=1e12)


def test_printing_a_ticket_does_not_show_its_secret() -> None:
    assert "secret" not in repr(TICKET)
    assert TICKET.secret.hex() not in f"{TICKET} {TICKET!r}"
