"""Attributes of knocks, which nobody else has to understand; see ``p2p.proto.signalling.knock``."""

from __future__ import annotations

from typing import Final

from p2p.proto.stun.attributes.codecs import Attribute, opaque

KNOCK: Final[Attribute[bytes]] = Attribute(0xD2B0, "KNOCK", opaque(0, 0xFFFF))
"""In a Binding request: a piece of a knock."""
KNOCK_TAKEN: Final[Attribute[bytes]] = Attribute(0xD2B1, "KNOCK-TAKEN", opaque(0, 0))
"""In the response: with this piece the knock is whole, and has been passed on."""

ATTRIBUTES: Final[tuple[Attribute[object], ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Attribute)
)
