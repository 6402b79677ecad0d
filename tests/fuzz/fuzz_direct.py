"""Fuzz direct signalling: ``python tests/fuzz/fuzz_direct.py [corpus] [-max_total_time=60]``."""

import sys
from contextlib import suppress

import atheris

with atheris.instrument_imports():
    from p2p.address import TransportAddress
    from p2p.errors import DecodeError
    from p2p.proto.direct import DirectExchange, Envelope
    from p2p.proto.direct import datagram as wire

_KEY = b"k" * 32
_SOURCE = TransportAddress("192.0.2.1", 1)
_HEADER_WITHOUT_TAG = wire.HEADER_BYTES - wire.TAG_BYTES


def _tagged(data: bytes) -> bytes:
    """Give the input a valid tag: without, nothing behind it would ever be reached."""
    header, payload = data[:_HEADER_WITHOUT_TAG], data[_HEADER_WITHOUT_TAG:]
    return header + wire._tag(_KEY, header, payload) + payload


def test_one_input(data: bytes) -> None:
    """Read the input bare and with a valid tag, and give both to a machine in the middle of a conversation."""
    with suppress(DecodeError):
        envelope = Envelope.decode_untrusted(data)
        assert Envelope.decode_untrusted(envelope.encode()) == envelope
    machine = DirectExchange(_KEY, bytes, is_dialer=True)
    machine.call(_SOURCE, 0.0)
    machine.handle_timer(0.0)
    here = wire.DirectDatagram(wire.Kind.HERE, machine._cookie(_SOURCE), b"cookie!!")
    machine.receive_datagram(wire.encode(here, _KEY), _SOURCE, 0.0)
    machine.send(_SOURCE, bytes(3000), 0.0)
    for candidate in (data, _tagged(data)):
        with suppress(DecodeError):
            datagram = wire.decode_untrusted(candidate, _KEY)
            assert wire.decode_untrusted(wire.encode(datagram, _KEY), _KEY) == datagram
        machine.receive_datagram(candidate, _SOURCE, 0.1)
        machine.handle_timer(0.2)
        machine.datagrams_to_send(0.2)
        while machine.next_event() is not None:
            pass


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
