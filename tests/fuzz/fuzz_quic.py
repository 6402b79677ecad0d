"""Fuzz what reads packets and proofs: ``python tests/fuzz/fuzz_quic.py [corpus] [-max_total_time=60]``."""

import sys
from contextlib import suppress

import atheris

with atheris.instrument_imports():
    from p2p.errors import DecodeError, IdentityError
    from p2p.identity import Identity, proof
    from p2p.quic.routing import CidRouter, destination_cid
    from p2p.quic.varint import replace_parameter

_SERVER = Identity.from_seed(bytes(32))
_ROUTER = CidRouter()


def test_one_input(data: bytes) -> None:
    """Nothing but the documented errors may leave any of them, whatever the input."""
    found = destination_cid(data)
    assert found is None or found in data
    if data:
        _ROUTER.receive(data, 1 + data[0], 0.0)
        _ROUTER.after_receive(0.0)
    with suppress(DecodeError):
        replace_parameter(data, 8, 1 << 14)
    with suppress(IdentityError):
        proof.verify(data, bytes(32), _SERVER.peer_id)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
