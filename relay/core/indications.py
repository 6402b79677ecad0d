"""Messages that a client gets unasked."""

from __future__ import annotations

from collections.abc import Callable

from p2p.address import TransportAddress
from p2p.proto.stun.attributes import DATA, ICMP, XOR_PEER_ADDRESS, IcmpValue
from p2p.proto.stun.message import AttributeValue, Message, MessageClass, Method, encode
from relay.core.allocation import Payload


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

    def icmp(self, peer: TransportAddress, icmp_type: int, code: int, mtu: int) -> bytes:
        """Encode what tells a client that its data has not reached a peer.

        Args:
            peer: Where the data was meant to go.
            icmp_type: Of the ICMP or ICMPv6 message.
            code: The same.
            mtu: What the path carries, in bytes with headers; 0 if unknown, or about something else.

        Source: RFC 8656 sections 11.5 and 18.13.
        """
        return self._encode(XOR_PEER_ADDRESS(peer), ICMP(IcmpValue(icmp_type, code, mtu.to_bytes(4, "big"))))

    def _encode(self, *attributes: AttributeValue) -> bytes:
        return encode(Message(MessageClass.INDICATION, Method.DATA, self._random_bytes(12), attributes))
