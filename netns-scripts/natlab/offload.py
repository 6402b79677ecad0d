"""Switch off what makes an interface carry packets larger than the wire does (linux/ethtool.h)."""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
from typing import Final

from .namespaces import entered

_SIOCETHTOOL: Final = 0x8946
_SET_TSO: Final = 0x1F
_SET_GSO: Final = 0x24
_SET_GRO: Final = 0x2C


def switch_off_offload(namespace: str, device: str) -> None:
    """Make an interface send and receive one packet at a time, so that each can be lost alone.

    Args:
        namespace: Where the interface is.
        device: The interface.

    Raises:
        OSError: There is no such interface.
    """
    with entered(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        for command in (_SET_TSO, _SET_GSO, _SET_GRO):
            value = ctypes.create_string_buffer(struct.pack("=II", command, 0))
            request = struct.pack("16sP16x", device.encode(), ctypes.addressof(value))
            fcntl.ioctl(handle, _SIOCETHTOOL, request)
