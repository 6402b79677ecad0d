"""The NAT type in the words of RFC 3489, as a second opinion. The only module that knows ``pystun3``."""

from __future__ import annotations

import asyncio
import socket

import stun

from p2p.address import TransportAddress
from p2p.defaults import CLASSIC_TEST_TIMEOUT_S

_NAMES = {
    stun.Blocked: "UDP blocked",
    stun.OpenInternet: "open internet",
    stun.FullCone: "full cone",
    stun.SymmetricUDPFirewall: "symmetric UDP firewall",
    stun.RestricNAT: "restricted cone",
    stun.RestricPortNAT: "port-restricted cone",
    stun.SymmetricNAT: "symmetric NAT",
}


async def classic_name(server: TransportAddress, *, wait_s: float = CLASSIC_TEST_TIMEOUT_S) -> str | None:
    """Ask an IPv4 STUN server as the clients of 2003 did.

    Args:
        server: Must have two addresses for an answer other than "blocked", "open" or none.
        wait_s: How long to wait for each of up to four tries of a test, in seconds.

    Returns:
        The name, or None when the tests contradict each other. Takes some seconds where something is filtered.
    """
    return await asyncio.to_thread(_ask, server, wait_s)


def _ask(server: TransportAddress, wait_s: float) -> str | None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        # Nothing is sent: connecting tells which of our addresses leads there, and the library compares with it.
        route.connect(server)
        source_host = route.getsockname()[0]
        sock.settimeout(wait_s)
        sock.bind((source_host, 0))
        try:
            verdict, _ = stun.get_nat_type(sock, *sock.getsockname(), stun_host=server.host, stun_port=server.port)
        except (KeyError, TypeError, ValueError, OSError):
            # The library trusts what servers send, and takes a missing answer for text.
            return None
    return _NAMES.get(verdict)
