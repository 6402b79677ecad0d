"""Both ends of a long transfer whose every byte is known: numbered blocks, which the reader compares as they come.

``python -m tests.support.numbered_blocks serve BYTES`` prints its port and sends so much to whoever connects;
``python -m tests.support.numbered_blocks read PORT`` reads to the end, prints the bytes so far each second, and at last
``whole``.
"""

from __future__ import annotations

import os
import socket
import sys
import time

BLOCK_BYTES = 1 << 20
_NUMBER_BYTES = 8


def block(noise: bytes, number: int) -> bytes:
    """Make a block: its number, and the same noise behind each."""
    return number.to_bytes(_NUMBER_BYTES, "big") + noise


def serve(total: int) -> None:
    """Serve one reader: first the noise, then blocks until it is enough."""
    noise = os.urandom(BLOCK_BYTES - _NUMBER_BYTES)
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        connection, _ = server.accept()
        with connection:
            connection.sendall(noise)
            for number in range(total // BLOCK_BYTES):
                connection.sendall(block(noise, number))


def read(port: int) -> None:
    """Read and compare; a wrong byte ends it."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        incoming = bytearray(BLOCK_BYTES)

        def fill(length: int) -> int:
            view, filled = memoryview(incoming)[:length], 0
            while filled < length and (count := connection.recv_into(view[filled:])):
                filled += count
            return filled

        if fill(BLOCK_BYTES - _NUMBER_BYTES) < BLOCK_BYTES - _NUMBER_BYTES:
            sys.exit("ended before it had begun")
        noise = bytes(incoming[: BLOCK_BYTES - _NUMBER_BYTES])
        number, told_at = 0, time.monotonic()
        while length := fill(BLOCK_BYTES):
            if length < BLOCK_BYTES or incoming != block(noise, number):
                sys.exit(f"block {number} is wrong, or cut short")
            number += 1
            if time.monotonic() >= told_at + 1:
                told_at += 1
                print(number * BLOCK_BYTES, flush=True)
        print(number * BLOCK_BYTES, "whole", flush=True)


if __name__ == "__main__":
    serve(int(sys.argv[2])) if sys.argv[1] == "serve" else read(int(sys.argv[2]))
