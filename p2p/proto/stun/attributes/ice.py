"""Attributes of connectivity checks. Source: RFC 8445 section 16.1."""

from __future__ import annotations

from typing import Final

from p2p.proto.stun.attributes.codecs import FLAG, Attribute, number

PRIORITY: Final[Attribute[int]] = Attribute(0x0024, "PRIORITY", number(4))
USE_CANDIDATE: Final[Attribute[bool]] = Attribute(0x0025, "USE-CANDIDATE", FLAG)
ICE_CONTROLLED: Final[Attribute[int]] = Attribute(0x8029, "ICE-CONTROLLED", number(8))
ICE_CONTROLLING: Final[Attribute[int]] = Attribute(0x802A, "ICE-CONTROLLING", number(8))

ATTRIBUTES: Final[tuple[Attribute[object], ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Attribute)
)
