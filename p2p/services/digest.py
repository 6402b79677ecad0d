"""The header field that tells the digest of a file.

Source: RFC 9530 section 3; the value is a dictionary of byte sequences (RFC 8941 sections 3.2 and 3.3.5).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

FIELD: Final = "Repr-Digest"
WANTED_FIELD: Final = "Want-Repr-Digest"
WANTED: Final = "sha-256=1"

_SHA_256: Final = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):\s*(?:,|$)")


def format_digest(digest: bytes) -> str:
    """Write the field's value.

    Args:
        digest: A SHA-256.
    """
    return f"sha-256=:{base64.b64encode(digest).decode()}:"


def parse_digest_untrusted(text: str) -> bytes | None:
    """Read the field's value.

    Args:
        text: As it came.

    Returns:
        The SHA-256, or None when there is none.
    """
    found = _SHA_256.search(text)
    if found is None:
        return None
    try:
        return base64.b64decode(found[1], validate=True)
    except binascii.Error:
        return None
