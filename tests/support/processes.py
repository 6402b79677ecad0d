"""What the kernel tells of a running process: its memory and its ports."""

from __future__ import annotations

import contextlib
import os
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
