"""STUN Binding requests on the relay's own ports, for whoever answers more than the relay would."""

from __future__ import annotations

from typing import Final, Protocol

from p2p.address import TransportAddress

_BINDING_REQUEST: Final = b"\x00\x01"


class BindingService(Protocol):
    """Answers STUN Binding requests that reach the relay's UDP sockets."""

    def handle(self, data: bytes, source: TransportAddress, local: TransportAddress) -> bool:
        """Take a request; answer by ``RelayService.send_from``.

        Args:
            data: The datagram.
            source: Where it came from.
            local: The relay's address that it was sent to.

        Returns:
            Whether it was taken. If not, the relay answers it plainly.
        """
        ...


def is_binding_request(data: bytes) -> bool:
    """Tell cheaply whether a datagram is a Binding request of RFC 8489 or RFC 3489."""
    return data.startswith(_BINDING_REQUEST)
