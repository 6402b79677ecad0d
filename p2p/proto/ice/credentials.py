"""The short-term credentials of one side's connectivity checks."""

from __future__ import annotations

import base64
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from p2p.errors import DecodeError

_ALPHABET: Final = frozenset(string.ascii_letters + string.digits + "+/")
_UFRAG_CHARACTERS: Final = range(4, 257)
_PASSWORD_CHARACTERS: Final = range(22, 257)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name fragment and a password, the same for a whole session.

    Attributes:
        ufrag: 4 to 256 characters out of letters, digits, ``+`` and ``/``.
        password: 22 to 256 such characters.

    Source: RFC 8445 section 5.3, RFC 8839 section 5.4.
    """

    ufrag: str
    password: str = field(repr=False)

    @classmethod
    def generate(cls, random_bytes: Callable[[int], bytes]) -> Credentials:
        """Make new credentials: 48 random bits to tell sessions apart, 144 to keep others out."""
        return cls(base64.b64encode(random_bytes(6)).decode(), base64.b64encode(random_bytes(18)).decode())

    def to_wire(self) -> dict[str, str]:
        """The credentials as JSON values, to be sent to the peer sealed."""
        return {"ufrag": self.ufrag, "password": self.password}

    @classmethod
    def from_wire_untrusted(cls, value: object) -> Credentials:
        """Read the peer's credentials.

        Args:
            value: What ``to_wire`` gave at the other side, after JSON; unknown keys are ignored.

        Raises:
            DecodeError: A part is missing, too short, too long, or has other characters.
        """
        if not isinstance(value, Mapping):
            raise DecodeError("ICE credentials are an object")
        ufrag, password = value.get("ufrag"), value.get("password")
        if not isinstance(ufrag, str) or len(ufrag) not in _UFRAG_CHARACTERS or not _ALPHABET.issuperset(ufrag):
            raise DecodeError("not an ICE user name fragment")
        if (
            not isinstance(password, str)
            or len(password) not in _PASSWORD_CHARACTERS
            or not _ALPHABET.issuperset(password)
        ):
            raise DecodeError("not an ICE password")
        return cls(ufrag, password)
