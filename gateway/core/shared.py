"""What several gateways behind one name have in common."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def shared_secrets(secret: str) -> Callable[[str, int], bytes] | None:
    """Derive secrets from one that the gateways share.

    Args:
        secret: Empty when they share none.

    Returns:
        Takes a purpose and a length in bytes; None without a shared secret.
    """
    if not secret:
        return None

    def derive(purpose: str, length: int) -> bytes:
        info = b"p2p gateways behind one name v1\0" + purpose.encode()
        return HKDF(SHA256(), length, salt=None, info=info).derive(secret.encode())

    return derive
