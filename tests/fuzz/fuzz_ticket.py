"""Fuzz tickets and sealed bodies: ``python tests/fuzz/fuzz_ticket.py [corpus] [-max_total_time=60]``."""

import base64
import hashlib
import sys

import atheris

with atheris.instrument_imports():
    from p2p.errors import IdentityError, IntegrityError
    from p2p.identity import Identity, Ticket

_IDENTITY = Identity.from_seed(bytes(32))


def test_one_input(data: bytes) -> None:
    """Parse as text, as content behind a right checksum, and as a sealed body."""
    content = b"\x01" + data
    checksum = hashlib.sha256(b"p2p ticket\0" + content).digest()[:4]
    wrapped = "p2p1" + base64.b32encode(content + checksum).decode().rstrip("=").lower()
    for text in (data.decode("utf-8", "replace"), wrapped):
        try:
            ticket = Ticket.parse(text)
        except IdentityError:
            continue
        assert Ticket.parse(ticket.encode()) == ticket
    try:
        _IDENTITY.open_untrusted(b"\x01" + data)
    except IntegrityError:
        return
    raise AssertionError("a forged body was accepted")


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
