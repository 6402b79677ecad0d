"""Certificates for tests, made once."""

from __future__ import annotations

import functools

from p2p.identity import Identity
from p2p.quic import ServerCredentials


@functools.cache
def identity(number: int = 0) -> Identity:
    """An identity of one's own for every number."""
    return Identity.generate()


def credentials(number: int = 0) -> ServerCredentials:
    """What a server with that identity shows."""
    who = identity(number)
    return ServerCredentials(who.certificate_pem, who.private_key_pem)


def public_key(number: int = 0) -> bytes:
    """The raw key of that identity."""
    return identity(number).peer_id.public_key
