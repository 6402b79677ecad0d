"""Fuzz what built-in services read from a peer.

Run: ``python tests/fuzz/fuzz_services.py -max_total_time=60``
"""

from __future__ import annotations

import contextlib
import sys

import atheris

with atheris.instrument_imports():
    from p2p.errors import DecodeError
    from p2p.proto.bench import (
        decode_datagram_untrusted,
        decode_reports_untrusted,
        decode_request_untrusted,
        encode_request,
    )
    from p2p.proto.proxy import Outcome, ProxyHandshake
    from p2p.services.digest import format_digest, parse_digest_untrusted
    from p2p.services.file_client import read_listing_untrusted
    from p2p.services.tree import PART_PREFIX, names_untrusted


def test_one_input(data: bytes) -> None:
    """Feed one input to every decoder; anything but a value or ``DecodeError`` is a finding."""
    with contextlib.suppress(DecodeError):
        assert encode_request(decode_request_untrusted(data)) == data
    with contextlib.suppress(DecodeError):
        decode_datagram_untrusted(data)
    _, rest = decode_reports_untrusted(data)
    assert data.endswith(rest)
    text = data.decode("latin-1")
    digest = parse_digest_untrusted(text)
    assert digest is None or parse_digest_untrusted(format_digest(digest)) == digest
    with contextlib.suppress(DecodeError):
        for name in names_untrusted(text):
            _check_name(name)
    with contextlib.suppress(DecodeError):
        entries, _ = read_listing_untrusted(data)
        for entry in entries:
            _check_name(entry.name)
            assert not entry.name.startswith(PART_PREFIX)

    _handshake(data)


def _handshake(data: bytes) -> None:
    step = 1 + (data[0] % 32 if data else 0)
    handshake = ProxyHandshake()
    for start in range(0, len(data), step):
        try:
            destination = handshake.receive(data[start : start + step])
        except DecodeError:
            return
        if destination is not None:
            assert 0 < destination.port < 1 << 16
            assert not set(destination.host) & set("/@ \r\n\0"), destination
            handshake.answer(Outcome.CONNECTED)
            return


def _check_name(name: str) -> None:
    assert name not in {"", ".", ".."}, name
    assert "/" not in name, name
    assert "\0" not in name, name


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
