"""Ports for programs that are started later, and so cannot be given a bound socket."""

from __future__ import annotations

import contextlib
import random
import socket

# Below what Linux gives to outgoing connections: a socket of another test does not take one of these in the meantime.
_FIRST, _LAST = 10_000, 32_000

# Of its own, so that two test processes with the same seed do not choose the same ports.
_random = random.SystemRandom()


def free_port() -> int:
    """Find a port that nobody uses, over UDP and TCP, on any address."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Find neighbouring ports that nobody uses, over UDP and TCP, on any address.

    Args:
        count: How many.

    Returns:
        The ports in rising order.
    """
    while True:
        first = _random.randrange(_FIRST, _LAST - count)
        ports = list(range(first, first + count))
        if all(_is_free(port) for port in ports):
            return ports


def _is_free(port: int) -> bool:
    with contextlib.ExitStack() as stack:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            probe = stack.enter_context(socket.socket(socket.AF_INET, kind))
            try:
                probe.bind(("", port))
            except OSError:
                return False
    return True
