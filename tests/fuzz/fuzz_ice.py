"""Fuzz what a peer can send to an ICE agent: ``python tests/fuzz/fuzz_ice.py [corpus] [-max_total_time=60]``."""

import json
import sys
from contextlib import suppress
from itertools import count

import atheris

with atheris.instrument_imports():
    from p2p import defaults
    from p2p.address import TransportAddress
    from p2p.errors import DecodeError
    from p2p.proto.ice import Candidate, CandidateType, Credentials, receiver_fragment_untrusted
    from p2p.proto.path import NatFacts, PathController, why_relayed
    from p2p.proto.stun.integrity import IntegrityAlgorithm, integrity_attribute

_LOCAL = TransportAddress("192.0.2.1", 40000)
_PEER = TransportAddress("192.0.2.2", 50000)
_OURS = Credentials("OURS", "o" * 22)
_THEIRS = Credentials("THEM", "t" * 22)


def _controller(credentials: Credentials) -> PathController:
    """Make a controller whose transaction ids the fuzzer can find: 0, 1, 2, ..."""
    numbers = count()
    return PathController(
        local=credentials, controlling=True, random_bytes=lambda size: next(numbers).to_bytes(size, "big")
    )


def test_one_input(data: bytes) -> None:
    """Read the input as text, as JSON and as a datagram, forged and with the integrity of an insider."""
    with suppress(DecodeError):
        receiver_fragment_untrusted(data)
    text = data.decode("utf-8", "replace")
    with suppress(DecodeError):
        line = Candidate.from_wire_untrusted(text).to_wire()
        assert Candidate.from_wire_untrusted(line).to_wire() == line
    with suppress(ValueError, RecursionError):
        value = json.loads(text)
        for decode in (Credentials.from_wire_untrusted, NatFacts.from_wire_untrusted):
            with suppress(DecodeError):
                decode(value)
        with suppress(DecodeError):
            why_relayed(NatFacts.from_wire_untrusted(value), NatFacts())
    controller = _controller(_OURS)
    controller.add_local_candidate(Candidate.local(CandidateType.HOST, _LOCAL, 0))
    remote = Candidate.local(CandidateType.HOST, _PEER, 0)
    controller.add_remote_candidate(Candidate.from_wire_untrusted(remote.to_wire()))
    controller.set_remote_credentials(_THEIRS)
    controller.transmits(1.0)
    for number, password in enumerate((None, _OURS.password, _THEIRS.password)):
        forged = data
        if password is not None:
            # The length must already count the attribute that follows.
            forged = data[:2] + (len(data) - 20 + 24 & 0xFFFF).to_bytes(2, "big") + data[4:]
            forged += integrity_attribute(forged, password.encode(), IntegrityAlgorithm.SHA1)
        controller.receive_stun(forged, _PEER, 0, 1.1 + number / 10)
        controller.transmits(1.1 + number / 10)
    while controller.next_event() is not None:
        pass
    assert len(controller.agent.check_list) <= defaults.ICE_MAX_PAIRS


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
