"""A base: something of ours that datagrams can be sent from.

RFC 8445 calls "base" the local transport address that a candidate is sent from. Here it is the object that does
the sending: a UDP socket, or an allocation on a relay. A path is a base and a remote address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from p2p.address import TransportAddress
from p2p.aio.udp import UdpSocket


class Base(Protocol):
    """What the path layer needs of a base."""

    base_id: int

    @property
    def local_address(self) -> TransportAddress:
        """The address datagrams leave from: the socket's own, or the relayed address."""
        ...

    def send(self, datagrams: Sequence[bytes], destination: TransportAddress) -> int:
        """Send datagrams, in order.

        Returns:
            How many were taken. The rest is the caller's, to be sent after ``call_when_writable`` calls back.
        """
        ...

    def call_when_writable(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` once, as soon as the base takes datagrams again."""
        ...

    def close(self) -> None:
        """Release the base. Idempotent."""
        ...


class SocketBase:
    """A base that is a UDP socket of this host.

    Args:
        base_id: Its id.
        udp: The socket.
        is_spare: Whether it is one that a session opened for itself.
    """

    def __init__(self, base_id: int, udp: UdpSocket, *, is_spare: bool = False) -> None:
        self.base_id = base_id
        self.is_spare = is_spare
        self._udp = udp

    @property
    def local_address(self) -> TransportAddress:
        """The address the socket is bound to; the host may be the unspecified address."""
        return self._udp.local_address

    @property
    def udp(self) -> UdpSocket:
        """The socket."""
        return self._udp

    def send(self, datagrams: Sequence[bytes], destination: TransportAddress) -> int:
        """Send datagrams; see ``Base.send``."""
        return self._udp.send(datagrams, destination)

    def call_when_writable(self, callback: Callable[[], object]) -> None:
        """Call back once, as soon as the kernel takes datagrams again."""
        self._udp.call_when_writable(callback)

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self._udp.close()
