"""Fuzz what built-in services read from a peer.

Run: ``python tests/fuzz/fuzz_services.py -max_total_time=60``
"""

from __future__ import annotations

import contextlib
import sys

import atheris

with atheris.instrument_imports():
    from p2p.errors import DecodeError
    from p2p.proto.bench import decode_reports_untrusted, decode_request_untrusted, encode_request


def test_one_input(data: bytes) -> None:
    """Feed one input to every decoder; anything but a value or ``DecodeError`` is a finding."""
    with contextlib.suppress(DecodeError):
        assert encode_request(decode_request_untrusted(data)) == data
    _, rest = decode_reports_untrusted(data)
    assert data.endswith(rest)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
