"""Puts TLS around what the generator sends over a plain stream.

``python -m benchmarks.relay.tls_bridge PLAIN TCP CORE``: the first two are numbers of inherited descriptors, one end of
a pair of Unix sockets and a TCP connection to a relay. It works in large pieces, on the generator's core.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import sys
from typing import Final

_CHUNK_BYTES: Final = 256 << 10


def bridge(plain: socket.socket, tcp: socket.socket) -> None:
    """Carry bytes both ways until either end closes.

    Args:
        plain: The generator's side.
        tcp: Connected to the relay; TLS begins here, and nobody's name is checked.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    secure = context.wrap_socket(tcp)
    for sock in (plain, secure):
        sock.setblocking(False)
    outward = memoryview(bytearray(_CHUNK_BYTES))
    inward = memoryview(bytearray(_CHUNK_BYTES))
    to_relay = to_generator = outward[:0]
    while True:
        wants_write = [sock for sock, data in ((secure, to_relay), (plain, to_generator)) if data]
        wants_read = [sock for sock, data in ((plain, to_relay), (secure, to_generator)) if not data]
        # What OpenSSL has decrypted already, select does not see.
        select.select(wants_read, wants_write, [], 0 if secure.pending() else None)
        if not to_relay and (size := _receive(plain, outward)) is not None:
            if not size:
                return
            to_relay = outward[:size]
        if to_relay:
            to_relay = to_relay[_send(secure, to_relay) :]
        if not to_generator and (size := _receive(secure, inward)) is not None:
            if not size:
                return
            to_generator = inward[:size]
        if to_generator:
            to_generator = to_generator[_send(plain, to_generator) :]


def _receive(sock: socket.socket, buffer: memoryview) -> int | None:
    """Receive what is there; None when there is nothing, 0 at the end."""
    total = 0
    while total < len(buffer):
        try:
            size = sock.recv_into(buffer[total:])
        except (BlockingIOError, ssl.SSLWantReadError):
            return total or None
        if not size:
            return total
        total += size
        if not isinstance(sock, ssl.SSLSocket):
            break  # a record at a time is what needs the loop
    return total


def _send(sock: socket.socket, data: memoryview) -> int:
    total = 0
    while total < len(data):
        try:
            total += sock.send(data[total:])
        except (BlockingIOError, ssl.SSLWantWriteError):
            break
    return total


def main() -> None:
    """Run one."""
    plain, tcp, core = map(int, sys.argv[1:])
    os.sched_setaffinity(0, {core})
    try:
        bridge(socket.socket(fileno=plain), socket.socket(fileno=tcp))
    except (ConnectionError, ssl.SSLError):
        return  # the measurement is over


if __name__ == "__main__":
    main()
