"""The programs at both ends of what is measured over UDP: a sink on the exposing host, a sender on the dialing one.

    python -m benchmarks.harness.datagrams serve                  prints the sink's port
    python -m benchmarks.harness.datagrams send PORT --seconds 3 --per-s 100000 --size 200

Each datagram holds its number and when it was sent, by the clock that all namespaces of a host share, so the sink knows
how long it took. Datagrams are sent one by one, a thousandth of a second's worth at a time, as programs do that know
nothing of batches. The sender prints one JSON object. They use the standard library only.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import struct
import sys
import time

_HEAD = struct.Struct("!Qq")
_REPORT = b"report"
_BUFFER_BYTES = 32 << 20
# Source: asm-generic/socket.h. Root may pass the system's limit; what is lost shall be lost by what is measured.
_SO_RCVBUFFORCE = 33
_TICK_S = 0.001
_WARM_UP = 200
_SETTLE_S = 0.5
_ASKS = 20


def serve(host: str) -> None:
    """Note what arrives; who asks for a report gets it, and everything begins anew."""
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sink.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    except OSError:
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    sink.bind((host, 0))
    print(json.dumps({"datagrams": sink.getsockname()[1]}), flush=True)
    took: dict[int, int] = {}
    while True:
        data, source = sink.recvfrom(2048)
        if data == _REPORT:
            sink.sendto(json.dumps(_report(took)).encode(), source)
            continue
        number, sent_ns = _HEAD.unpack_from(data)
        took[number] = time.monotonic_ns() - sent_ns


def _report(took: dict[int, int]) -> dict[str, float]:
    counted = sorted(took[number] / 1e6 for number in took if number >= _WARM_UP)
    if not counted:
        return {"arrived": 0}
    return {
        "arrived": len(counted),
        "median_ms": statistics.median(counted),
        "p99_ms": counted[len(counted) * 99 // 100],
    }


def send(host: str, port: int, *, seconds: float, per_s: float, size: int) -> dict[str, float]:
    """Send at a rate, after a few that do not count, and ask what has arrived."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect((host, port))
    padding = bytes(size - _HEAD.size)
    for number in range(_WARM_UP):
        sender.send(_HEAD.pack(number, time.monotonic_ns()) + padding)
        time.sleep(_TICK_S)
    sent, total, began = 0, int(seconds * per_s), time.perf_counter()
    pause_s = max(_TICK_S, 1 / per_s)
    while sent < total:
        due = min(total, int((time.perf_counter() - began) * per_s) + 1)
        while sent < due:
            sender.send(_HEAD.pack(_WARM_UP + sent, time.monotonic_ns()) + padding)
            sent += 1
        time.sleep(pause_s)
    took_s = time.perf_counter() - began
    time.sleep(_SETTLE_S)
    return {"sent": sent, "per_s": sent / took_s, **_ask(sender)}


def _ask(sender: socket.socket) -> dict[str, float]:
    sender.settimeout(0.5)
    for _ in range(_ASKS):
        try:
            sender.send(_REPORT)
            found: dict[str, float] = json.loads(sender.recv(2048))
        except TimeoutError:
            continue
        return found
    sys.exit("the sink does not answer")


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("serve", "send"))
    parser.add_argument("port", type=int, nargs="?", default=0)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--per-s", type=float, default=100_000.0)
    parser.add_argument("--size", type=int, default=200)
    given = parser.parse_args()
    if given.what == "serve":
        serve(given.host)
    found = send(given.host, given.port, seconds=given.seconds, per_s=given.per_s, size=given.size)
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
