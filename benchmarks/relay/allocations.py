"""What many allocations cost: how many a second, and how much memory each.

    python -m benchmarks.relay.allocations [--count 20000] [--json FILE]

Each client holds a nonce in advance, as the rendezvous hands it out, so an allocation is one request. Needs root.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.relay.network import CLIENT_HOST, RELAY_CLIENT_SIDE, Network
from benchmarks.relay.priority import allow_descriptors, go_first
from benchmarks.relay.relays import PORT, SECRET, ours
from benchmarks.relay.turn import PASSWORD, USER
from p2p.proto.stun.attributes import LIFETIME, NONCE, REALM, REQUESTED_TRANSPORT, USERNAME
from p2p.proto.stun.integrity import long_term_key
from p2p.proto.stun.message import Message, MessageClass, Method, decode_untrusted, encode
from relay.config import DEFAULT_REALM
from relay.core.nonces import FEATURE_PASSWORD_ALGORITHMS, SALT_BYTES, NonceSource, nonce_key

_AT_ONCE: Final = 50
_SPARE: Final = 100
"""Open files beside those of allocations."""
_FIRST_PORT: Final = 2000


def measure(count: int) -> dict[str, float]:
    """Make allocations in a relay of its own; return what they cost."""
    with Network() as network, ours(network, cores="1") as relay:
        pid = relay.pids[-1]
        before_kib, before_s = _resident_kib(pid), _cpu_s(pid)
        requests = _requests(count)
        began = time.perf_counter()
        made = 0
        waiting: list[socket.socket] = []
        for start in range(0, count, _AT_ONCE):
            sockets = _send(network, requests[start : start + _AT_ONCE], _FIRST_PORT + start)
            made += _collect(waiting)
            waiting = sockets
        made += _collect(waiting)
        elapsed = time.perf_counter() - began
        cpu_s, grown_kib = _cpu_s(pid) - before_s, _resident_kib(pid) - before_kib
        return {
            "made": made,
            "per_s": made / elapsed,
            "per_cpu_s": made / cpu_s if cpu_s else 0.0,
            "resident_mib": _resident_kib(pid) / 1024,
            "kib_each": grown_kib / made if made else 0.0,
        }


def _requests(count: int) -> list[bytes]:
    """Encode beforehand: the client is not what is measured."""
    source = NonceSource(nonce_key(SECRET), features=FEATURE_PASSWORD_ALGORITHMS)
    nonce = source.issue_in_advance(os.urandom(SALT_BYTES), time.time())
    own = (USERNAME(USER), REALM(DEFAULT_REALM), NONCE(nonce))
    key = long_term_key(USER, DEFAULT_REALM, PASSWORD)
    attributes = (REQUESTED_TRANSPORT(17), LIFETIME(3600), *own)
    return [
        encode(Message(MessageClass.REQUEST, Method.ALLOCATE, os.urandom(12), attributes), integrity_key=key)
        for _ in range(count)
    ]


def _send(network: Network, requests: Sequence[bytes], first_port: int) -> list[socket.socket]:
    sockets = []
    with network.inside("client"):
        for offset, request in enumerate(requests):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((CLIENT_HOST, first_port + offset))
            sock.connect((RELAY_CLIENT_SIDE, PORT))
            sock.send(request)
            sockets.append(sock)
    return sockets


def _collect(sockets: Sequence[socket.socket]) -> int:
    """Read the answers; return how many were a success."""
    made = 0
    for sock in sockets:
        if select.select([sock], [], [], 2.0)[0]:
            answer = decode_untrusted(sock.recv(2048))
            made += answer.message_class is MessageClass.SUCCESS
        sock.close()
    return made


def _resident_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def _cpu_s(pid: int) -> float:
    return (
        sum(
            int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text(encoding="ascii").split()[0])
            for task in os.listdir(f"/proc/{pid}/task")
        )
        / 1e9
    )


def main() -> int:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay.allocations", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="how many allocations")
    parser.add_argument("--json", type=Path, help="write the result here")
    options = parser.parse_args()
    go_first()
    count = allow_descriptors(options.count + _SPARE) - _SPARE
    if count < options.count:
        print(f"no more than {count} allocations: this system allows no more open files", file=sys.stderr)
    result = measure(count)
    print(json.dumps(result, indent=1))
    if options.json is not None:
        options.json.write_text(json.dumps(result) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
