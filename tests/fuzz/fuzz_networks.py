"""Fuzz the file of remembered networks: ``python tests/fuzz/fuzz_networks.py [corpus] [-max_total_time=60]``."""

import sys

import atheris

with atheris.instrument_imports():
    from p2p.errors import DecodeError
    from p2p.gather.nat_cache import complete, decode_networks_untrusted
    from p2p.proto.path.heartbeats import Heartbeats
    from p2p.proto.path.reason import NatFacts

_NOW = 1_800_000_000.0


def test_one_input(data: bytes) -> None:
    """Read the input; what is read must be usable."""
    try:
        networks = decode_networks_untrusted(data, _NOW)
    except DecodeError:
        return
    for at, facts, lifetime in networks.values():
        assert at <= _NOW + 60.0
        Heartbeats().measured(lifetime)
        assert complete(NatFacts(), facts) is not None
        assert NatFacts.from_wire_untrusted(facts.to_wire()) == facts


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
