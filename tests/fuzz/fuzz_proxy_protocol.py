"""Fuzz the PROXY protocol: ``python tests/fuzz/fuzz_proxy_protocol.py [corpus] [-max_total_time=60]``."""

import sys

import atheris

with atheris.instrument_imports():
    from p2p.errors import DecodeError
    from p2p.proto.proxy_protocol import decode_untrusted, encode_v1, encode_v2, header_length_untrusted


def test_one_input(data: bytes) -> None:
    """What is read can be written again and means the same."""
    try:
        length = header_length_untrusted(data)
        if length is None or length > len(data):
            return
        header = decode_untrusted(data[:length])
    except DecodeError:
        return
    assert decode_untrusted(encode_v2(header)) == header
    assert decode_untrusted(encode_v1(header)).source in (header.source, None)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
