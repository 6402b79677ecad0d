"""Look at and change network interfaces by ioctl: no process, some microseconds each.

Source: linux/sockios.h, linux/ethtool.h
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
import time
from collections.abc import Iterable
from typing import Final

from .errors import LabError
from .namespaces import entered

_SIOCGIFFLAGS: Final = 0x8913
_SIOCETHTOOL: Final = 0x8946
_IFF_UP: Final = 0x1
_IFF_RUNNING: Final = 0x40
_GET_LINK: Final = 0x0A
_SET_TSO: Final = 0x1F
_SET_GSO: Final = 0x24
_SET_GRO: Final = 0x2C
_REQUEST: Final = struct.Struct("16s16x")
_REQUEST_POINTER: Final = struct.Struct("16sP16x")
_READY_TIMEOUT_S: Final = 5.0
_READY_POLL_S: Final = 0.001
_CALM_PASSES: Final = 2


def _ethtool(handle: socket.socket, device: str, command: int, value: int = 0) -> int:
    """Make one ethtool request that has one number as its argument or answer."""
    argument = ctypes.create_string_buffer(struct.pack("=II", command, value), 8)
    request = _REQUEST_POINTER.pack(device.encode(), ctypes.addressof(argument))
    fcntl.ioctl(handle, _SIOCETHTOOL, request)
    (answer,) = struct.unpack_from("=I", argument, 4)
    return int(answer)


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
            _ethtool(handle, device, command)


def _not_running(namespace: str) -> list[str]:
    """Find interfaces that are up and have a carrier, but that the kernel does not yet use."""
    found = []
    with entered(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        for _, device in socket.if_nameindex():
            # To ask for the carrier also makes newer kernels deal with the news of it at once.
            has_carrier = bool(_ethtool(handle, device, _GET_LINK))
            answer = fcntl.ioctl(handle, _SIOCGIFFLAGS, _REQUEST.pack(device.encode()))
            (flags,) = struct.unpack_from("16xH", answer)
            if flags & _IFF_UP and has_carrier and not flags & _IFF_RUNNING:
                found.append(f"{namespace}/{device}")
    return found


def wait_until_running(namespaces: Iterable[str]) -> None:
    """Wait until packets can pass all interfaces.

    The kernel tells itself of a carrier in the background, and at most once a second when there is much of such news:
    an interface that is up may stay silent for that long, and a bridge may drop what comes from it.

    Args:
        namespaces: The namespaces to look at.

    Raises:
        LabError: Some interface does not come to life.
    """
    watched, until, calm_passes = list(namespaces), time.monotonic() + _READY_TIMEOUT_S, 0
    # A bridge comes to life after its ports, so one that was looked at before them is looked at again.
    while calm_passes < _CALM_PASSES:
        missing = [device for namespace in watched for device in _not_running(namespace)]
        calm_passes = 0 if missing else calm_passes + 1
        if missing:
            if time.monotonic() > until:
                raise LabError(f"interfaces do not come to life: {', '.join(missing)}", "Is the machine very busy?")
            time.sleep(_READY_POLL_S)
