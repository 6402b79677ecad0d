"""Fuzz answers by multicast DNS: ``python tests/fuzz/fuzz_multicast.py [corpus] [-max_total_time=60]``."""

import logging
import sys
from types import SimpleNamespace

import atheris

with atheris.instrument_imports():
    from zeroconf import DNSCache, DNSIncoming, DNSOutgoing, RecordUpdate, current_time_millis

    from p2p.address import TransportAddress
    from p2p.gather.multicast import LanAnnouncement, question, read_untrusted

_LABEL = "label"
_FLAGS_ANSWER = 0x8400


def _true_answer() -> bytes:
    """What an exposer says: few inputs of a fuzzer would be about the name that is asked for."""
    addresses = [TransportAddress("192.0.2.1", 4), TransportAddress("2001:db8::1", 6)]
    info = LanAnnouncement(_LABEL, addresses)._info
    message = DNSOutgoing(_FLAGS_ANSWER)
    for record in (info.dns_service(), info.dns_text(), *info.dns_addresses()):
        message.add_answer_at_time(record, 0)
    return bytes(message.packets()[0])


_TRUE = _true_answer()


def _read(data: bytes) -> tuple[TransportAddress, ...]:
    info = question(_LABEL)
    answers = DNSIncoming(data).answers()
    cache = DNSCache()
    cache.async_add_records(answers)
    network = SimpleNamespace(cache=cache)
    info.async_update_records(network, current_time_millis(), [RecordUpdate(record, None) for record in answers])
    return read_untrusted(info)


def test_one_input(data: bytes) -> None:
    """Read the input as an answer, and written over the beginning and the end of a true answer."""
    mixed = bytes(old ^ new for old, new in zip(_TRUE, data.ljust(len(_TRUE), b"\0"), strict=False))
    for answer in (data, mixed, _TRUE[: -len(data) or None] + data):
        found = _read(answer)
        assert len(found) <= 8
        assert all(address.port for address in found)


if __name__ == "__main__":
    logging.disable()
    assert len(_read(_TRUE)) == 2
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
