"""Sockets that one session opens for itself."""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

from p2p.address import TransportAddress
from p2p.errors import ConnectivityError
from p2p.path.base import SocketBase
from p2p.path.endpoint import Endpoint
from p2p.proto.stun.message import Message


class StunTaker(Protocol):
    """Who may want a STUN message."""

    def stun_received(self, message: Message, base_id: int, source: TransportAddress, now: float) -> bool:
        """Take it, or return False."""
        ...


class SpareSockets:
    """IPv4 sockets beside those that all sessions share; candidates are not made of them.

    Their ports are even, but for those whose even neighbour is taken: a NAT that keeps parity counts even and odd ports
    apart, and whoever predicts the next port means the next one of the same parity (RFC 4787 section 4.2.2).

    Args:
        endpoint: What they are opened on.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._takers: dict[int, StunTaker] = {}

    def open(self, taker: StunTaker) -> SocketBase:
        """Open one.

        Args:
            taker: Gets all STUN that arrives on it; packets of connections go to these as always.

        Raises:
            ConnectivityError: The system has no more sockets.
        """
        base = self._bind(0)
        if base.local_address.port % 2:
            with suppress(ConnectivityError):
                even = self._bind(base.local_address.port - 1)
                self._endpoint.remove(base.base_id)
                base = even
        self._takers[base.base_id] = taker
        return base

    def _bind(self, port: int) -> SocketBase:
        return self._endpoint.open_socket(TransportAddress("0.0.0.0", port), is_spare=True)  # noqa: S104 -- any network

    def taker(self, base_id: int) -> StunTaker | None:
        """Tell whose a socket is; None for those that all share."""
        return self._takers.get(base_id)

    def close(self, base_id: int) -> None:
        """Close one; an unknown one is ignored."""
        if self._takers.pop(base_id, None) is not None:
            self._endpoint.remove(base_id)
