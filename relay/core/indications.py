"""Messages that a client gets unasked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from p2p.address import TransportAddress
from p2p.proto.stun.attributes import DATA, ICMP, XOR_PEER_ADDRESS, IcmpValue
from p2p.proto.stun.message import AttributeValue, Message, MessageClass, Method, encode
from relay.core.allocation import Payload

_FRAGMENTATION_NEEDED: Final = (3, 4)
"""Type and code. Source: RFC 792."""
_PACKET_TOO_BIG: Final = (2, 0)
"""Type and code. Source: RFC 4443 section 3.2."""


class Indications:
    """Encodes Data indications.

    Args:
        random_bytes: Source of transaction ids.
    """

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes

    def data(self, peer: TransportAddress, payload: Payload) -> bytes:
        """Encode what carries a peer's data to a client without a channel.

        Args:
            peer: Whose data.
            payload: The data.

        Source: RFC 8656 section 11.3.
        """
        return self._encode(XOR_PEER_ADDRESS(peer), DATA(bytes(payload)))

    def too_big(self, peer: TransportAddress, mtu: int) -> bytes:
        """Encode what tells a client that its data would have to be fragmented on the way to a peer.

        Args:
            peer: Where the data was meant to go.
            mtu: What the path carries, in bytes with headers; 0 if unknown.

        Source: RFC 8656 sections 11.5 and 18.13.
        """
        kind, code = _PACKET_TOO_BIG if peer.is_ipv6 else _FRAGMENTATION_NEEDED
        return self._encode(XOR_PEER_ADDRESS(peer), ICMP(IcmpValue(kind, code, mtu.to_bytes(4, "big"))))

    def _encode(self, *attributes: AttributeValue) -> bytes:
        return encode(Message(MessageClass.INDICATION, Method.DATA, self._random_bytes(12), attributes))
