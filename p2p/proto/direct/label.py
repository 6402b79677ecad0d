"""The name under which a service is found on a network."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

_LABEL: Final = b"p2p name on a network v1\0"
_DIGEST_BYTES: Final = 20


def lan_label(secret: bytes, exposer: bytes, service: str) -> str:
    """Name a service so that who has its ticket knows the name, and nobody else learns anything from it.

    Args:
        secret: The ticket's secret.
        exposer: The exposer's public key.
        service: The service that the ticket names.

    Returns:
        32 lower-case letters and digits, the same for as long as the ticket is.
    """
    digest = hmac.digest(secret, _LABEL + exposer + service.encode(), hashlib.sha256)[:_DIGEST_BYTES]
    return base64.b32encode(digest).decode("ascii").lower()
