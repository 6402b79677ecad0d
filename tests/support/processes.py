"""What the kernel tells of a running process: its memory and its ports."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

_TCP_LISTEN = "0A"
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(pid: int) -> int:
    """Memory in use."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def ports(pid: int, protocol: str) -> list[int]:
    """IPv4 and IPv6 ports that a process has bound (``udp``) or listens on (``tcp``)."""
    inodes = set()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(entry.path)
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = set()
    for table in (protocol, f"{protocol}6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[9] in inodes and (protocol == "udp" or words[3] == _TCP_LISTEN):
                found.add(int(words[1].rpartition(":")[2], 16))
    return sorted(found)


def free_ports() -> tuple[int, int]:
    """A port for HTTP, and one for STUN whose neighbour is free as well; over TCP and UDP, for a moment at least."""
    while True:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            http, stun = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
            number = int(stun.getsockname()[1])
            stack.enter_context(socket.create_server(("127.0.0.1", number + 1)))
            for port in (number, number + 1):
                udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                udp.bind(("127.0.0.1", port))
            return int(http.getsockname()[1]), number
