"""The little of netlink that the lab needs: attributes, messages, acknowledgements (linux/netlink.h)."""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

NETLINK_NETFILTER: Final = 12
FLAG_REQUEST: Final = 0x1
FLAG_ACK: Final = 0x4
FLAG_CREATE: Final = 0x400
FLAG_APPEND: Final = 0x800
_NESTED: Final = 0x8000
_ERROR: Final = 2
_HEADER: Final = struct.Struct("=IHHII")
_ERROR_AT: Final = 16


def attribute(kind: int, value: bytes) -> bytes:
    """Pack one attribute: length, type, value, padding to four bytes."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """Pack attributes into one."""
    return attribute(kind | _NESTED, b"".join(attributes))


def netfilter_message(kind: int, flags: int, sequence: int, family: int, resource: int, body: bytes = b"") -> bytes:
    """Pack one message of a netfilter subsystem.

    Args:
        kind: Subsystem in the upper byte, message type in the lower one.
        flags: The FLAG_ bits.
        sequence: What the acknowledgement is known by.
        family: Protocol family.
        resource: Queue number or subsystem, depending on the message.
        body: The attributes.
    """
    payload = struct.pack("!BBH", family, 0, resource) + body
    return _HEADER.pack(_HEADER.size + len(payload), kind, flags, sequence, 0) + payload


def open_netfilter() -> socket.socket:
    """Open a netlink socket to netfilter in the namespace we are in."""
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
    link.bind((0, 0))
    return link


def expect_acknowledgement(link: socket.socket) -> None:
    """Read the answer to a message that asked for one.

    Raises:
        OSError: The kernel refused it.
    """
    answer = link.recv(8192)
    _, kind, _, _, _ = _HEADER.unpack_from(answer)
    if kind == _ERROR:
        (error,) = struct.unpack_from("=i", answer, _ERROR_AT)
        if error:
            raise OSError(-error, os.strerror(-error))
