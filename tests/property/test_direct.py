"""Direct signalling: what is written is read again, and any bytes are read or refused."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from p2p.address import TransportAddress
from p2p.defaults import DIRECT_PIECE_BYTES
from p2p.errors import DecodeError
from p2p.proto.direct import DirectExchange, Envelope
from p2p.proto.direct.datagram import MAX_PIECES, DirectDatagram, Kind, decode_untrusted, encode, receipt_payload

KEY = b"k" * 32
eight = st.binary(min_size=8, max_size=8)
names = st.from_regex(r"\A([a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?)?\Z")


@st.composite
def datagrams(draw: st.DrawFn) -> DirectDatagram:
    kind = draw(st.sampled_from(Kind))
    count = draw(st.integers(1, MAX_PIECES))
    payload = b""
    if kind is Kind.PIECE:
        payload = draw(st.binary(min_size=1, max_size=DIRECT_PIECE_BYTES))
    elif kind is Kind.RECEIPT:
        payload = receipt_payload(draw(st.integers(0, 0xFFFF)))
    return DirectDatagram(
        kind,
        draw(eight),
        draw(eight),
        draw(eight),
        draw(st.integers(0, count - 1)),
        count,
        payload,
        draw(st.booleans()),
    )


@given(datagrams())
def test_a_datagram_is_read_as_it_was_written(datagram: DirectDatagram) -> None:
    assert decode_untrusted(encode(datagram, KEY), KEY) == datagram


@given(datagrams(), st.data())
def test_a_changed_datagram_is_refused(datagram: DirectDatagram, data: st.DataObject) -> None:
    written = bytearray(encode(datagram, KEY))
    written[data.draw(st.integers(0, len(written) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        decode_untrusted(bytes(written), KEY)
    except DecodeError:
        return
    raise AssertionError("a change went unnoticed")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for decode in (lambda: decode_untrusted(data, KEY), lambda: Envelope.decode_untrusted(data)):
        with contextlib.suppress(DecodeError):
            decode()


@given(names, names, st.binary(max_size=200))
def test_an_envelope_is_read_as_it_was_written(sender: str, receiver: str, body: bytes) -> None:
    envelope = Envelope(sender, receiver, body)
    assert Envelope.decode_untrusted(envelope.encode()) == envelope


@given(st.lists(st.tuples(datagrams(), st.booleans(), st.integers(1, 3)), max_size=30))
def test_a_machine_takes_anything_from_holders_of_the_ticket(steps: list[tuple[DirectDatagram, bool, int]]) -> None:
    """It never raises, and what it sends is never more than what came, but for its own messages."""
    machine = DirectExchange(KEY, lambda size: bytes(size), is_dialer=False)
    now = 0.0
    for datagram, shows_cookie, host in steps:
        source = TransportAddress(f"192.0.2.{host}", 1)
        cookie = machine._cookie(source) if shows_cookie else datagram.yours
        received = encode(
            DirectDatagram(
                datagram.kind,
                cookie,
                datagram.mine,
                datagram.message_id,
                datagram.index,
                datagram.count,
                datagram.payload,
                datagram.from_dialer,
            ),
            KEY,
        )
        machine.receive_datagram(received, source, now)
        # A receipt has two bytes beyond the header, and a piece one at least.
        assert sum(len(sent.data) for sent in machine.datagrams_to_send(now)) <= len(received) + 1
        while machine.next_event() is not None:
            pass
        now += 0.1
        machine.handle_timer(now)
