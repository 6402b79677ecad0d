"""Fuzz bodies from peer to peer: ``python tests/fuzz/fuzz_bodies.py [corpus] [-max_total_time=60]``."""

import sys
from contextlib import suppress

import atheris

with atheris.instrument_imports():
    from p2p.errors import DecodeError
    from p2p.proto.ice import Candidate, Credentials
    from p2p.proto.path.reason import NatFacts, plain_checks_can_succeed, why_relayed
    from p2p.proto.signalling.bodies import (
        Answer,
        Farewell,
        Offer,
        PeerBody,
        Refusal,
        Trickle,
        decode_untrusted,
        encode,
    )
    from p2p.session.permissions import PeerPermissions
    from p2p.session.plausible import is_plausible

_SESSION = "0123456789abcdef" * 2
_LINE = "candidate:1 1 udp 2130706431 2001:db8::1 40000 typ srflx raddr 10.0.0.1 rport 1"
_RELAYED = "candidate:2 1 udp 255 203.0.113.1 50000 typ relay relay-protocol tls"
_ICE = {"ufrag": "abcd", "password": "p" * 22}
_NAT = NatFacts().to_wire()
_SAMPLES: tuple[bytes, ...] = tuple(
    encode(body)
    for body in (
        Offer(
            session=_SESSION,
            service="web",
            proof=bytes(32),
            ice=_ICE,
            initial_dcid=bytes(8),
            candidates=(_LINE, _RELAYED),
            nat=_NAT,
        ),
        Answer(session=_SESSION, ice=_ICE, candidates=(_LINE,), nat=_NAT),
        Trickle(session=_SESSION, candidates=(_LINE, _RELAYED), nat=_NAT),
        Refusal(session=_SESSION, code=1, text="no"),
        Farewell(session=_SESSION, text="bye"),
    )
)


def _use(body: PeerBody) -> None:
    """Do what a session does with a body."""
    permissions = PeerPermissions()
    for line in getattr(body, "candidates", ()):
        with suppress(DecodeError):
            candidate = Candidate.from_wire_untrusted(line)
            wire = candidate.to_wire()
            assert Candidate.from_wire_untrusted(wire).to_wire() == wire
            if is_plausible(candidate.address, ("192.0.2.1", "::1")):
                permissions.add(candidate, None)
    with suppress(DecodeError):
        Credentials.from_wire_untrusted(getattr(body, "ice", None))
    with suppress(DecodeError):
        facts = NatFacts.from_wire_untrusted(getattr(body, "nat", None))
        assert NatFacts.from_wire_untrusted(facts.to_wire()) == facts
        plain_checks_can_succeed(facts, NatFacts())
        why_relayed(facts, NatFacts())
    permissions.release()


def test_one_input(data: bytes) -> None:
    """Decode the input bare, and as changes to a sound body: the decoder is native, so coverage does not guide."""
    provider = atheris.FuzzedDataProvider(data)
    changed = bytearray(_SAMPLES[provider.ConsumeIntInRange(0, len(_SAMPLES) - 1)])
    while provider.remaining_bytes():
        start = provider.ConsumeIntInRange(0, len(changed))
        removed = provider.ConsumeIntInRange(0, 4)
        changed[start : start + removed] = provider.ConsumeBytes(provider.ConsumeIntInRange(0, 8))
    for candidate in (data, bytes(changed)):
        try:
            body = decode_untrusted(candidate)
        except DecodeError:
            continue
        if body is not None:
            _use(body)
            assert decode_untrusted(encode(body)) == body


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
