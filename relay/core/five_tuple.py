"""What tells one client from another: the five-tuple."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from p2p.address import TransportAddress


class ClientTransport(Enum):
    """What runs between a client and the relay. Source: RFC 8656 section 3.1."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class FiveTuple(NamedTuple):
    """The addresses and the transport of the traffic between one client and the relay. Source: RFC 8656 section 2.2.

    Attributes:
        transport: What carries the traffic.
        client: The client's address as the relay sees it.
        server: The relay's own address that the client talks to.
    """

    transport: ClientTransport
    client: TransportAddress
    server: TransportAddress

    def __str__(self) -> str:
        return f"{self.transport.value} {self.client} -> {self.server}"
