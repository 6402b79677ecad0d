"""Fuzz the decoder of news of the network: ``python tests/fuzz/fuzz_rtnetlink.py [corpus] [-max_total_time=60]``."""

import sys

import atheris

with atheris.instrument_imports():
    from p2p.errors import DecodeError
    from p2p.gather.rtnetlink import tells_change_untrusted


def test_one_input(data: bytes) -> None:
    """Any bytes are news, no news, or a DecodeError."""
    try:
        tells_change_untrusted(data)
    except DecodeError:
        return


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
