"""Fuzz the pieces of knocks and what they carry: ``python tests/fuzz/fuzz_knock.py [corpus] [-max_total_time=60]``."""

import contextlib
import sys

import atheris

with atheris.instrument_imports():
    from p2p.address import TransportAddress
    from p2p.errors import DecodeError, IntegrityError
    from p2p.identity import Identity
    from p2p.proto.ice import Credentials
    from p2p.proto.path.reason import NatFacts
    from p2p.proto.signalling.bodies import Offer, decode_packed_untrusted, encode_packed
    from p2p.proto.signalling.knock import decode_piece_untrusted, make_pieces, verify_piece
    from p2p.proto.signalling.knocker import Knocker
    from rendezvous.core.knocks import Knocks
    from rendezvous.core.limits import AddressBuckets
    from rendezvous.core.registry import Seat

_OWNER = Identity.from_seed(b"b" * 32)
_KEY = bytes(32)
_NONCE = (1000).to_bytes(8, "big") + bytes(24)
_SOURCE = TransportAddress("192.0.2.1", 3478)
_OFFER = Offer(
    session="0123456789abcdef" * 2,
    service="web",
    proof=bytes(32),
    ice={"ufrag": "abcd", "password": "p" * 22},
    initial_dcid=bytes(8),
    candidates=("candidate:1 1 udp 2130706431 2001:db8::1 40000 typ host",),
    nat=NatFacts().to_wire(),
    instance="connect-1",
    flight=(bytes(40),),
)
_BODY = encode_packed(_OFFER)


def _pieces_are_refused(provider: atheris.FuzzedDataProvider) -> None:
    """A piece that was changed is none, or forged; a server that gets it passes nothing on and remembers nothing."""
    sound = make_pieces(_KEY, _OWNER.peer_id.public_key, _NONCE, bytes(1500))[provider.ConsumeIntInRange(0, 1)]
    start = provider.ConsumeIntInRange(0, len(sound))
    changed = sound[:start] + provider.ConsumeBytes(8) + sound[start + provider.ConsumeIntInRange(0, 8) :]
    knocks = Knocks(0.0, AddressBuckets(rate_per_s=1, burst=9, table_size=9), rate_per_s=1, burst=9)
    knocks.hang(None, Seat(_OWNER.peer_id), _KEY)
    if changed != sound:
        assert knocks.receive(changed, _SOURCE, now=0.0, now_wall=1.0)[1] is None
    with contextlib.suppress(DecodeError, IntegrityError):
        verify_piece(decode_piece_untrusted(changed), _KEY)
        assert changed == sound


def _bodies_are_read(provider: atheris.FuzzedDataProvider) -> None:
    changed = bytearray(_BODY)
    while provider.remaining_bytes():
        start = provider.ConsumeIntInRange(0, len(changed))
        changed[start : start + provider.ConsumeIntInRange(0, 4)] = provider.ConsumeBytes(
            provider.ConsumeIntInRange(0, 8)
        )
    with contextlib.suppress(DecodeError):
        body = decode_packed_untrusted(bytes(changed))
        if isinstance(body, Offer):
            assert decode_packed_untrusted(encode_packed(body)) == body
            with contextlib.suppress(DecodeError):
                Credentials.from_wire_untrusted(body.ice)
            NatFacts.from_wire_untrusted(body.nat)


def test_one_input(data: bytes) -> None:
    """Read the input bare, and as changes to what is sound."""
    with contextlib.suppress(DecodeError):
        decode_piece_untrusted(data)
    with contextlib.suppress(DecodeError):
        decode_packed_untrusted(data)
    knocker = Knocker(_SOURCE, (b"piece",), bytes)
    knocker.start(0.0)
    knocker.receive_datagram(data, _SOURCE, 0.0)
    provider = atheris.FuzzedDataProvider(data)
    if provider.ConsumeBool():
        _pieces_are_refused(provider)
    else:
        _bodies_are_read(provider)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
