"""The programs at both ends of what is measured: two services on the exposing host, and clients on the dialing one.

    python -m benchmarks.harness.traffic serve                         prints the ports of both services
    python -m benchmarks.harness.traffic pull PORT --seconds 3 --streams 1 --mbit 0
    python -m benchmarks.harness.traffic ask PORT --count 300          one byte there and back, on one connection
    python -m benchmarks.harness.traffic open PORT --seconds 3 --parallel 32
    python -m benchmarks.harness.traffic hold PORT --count 500         opens connections, says so, keeps them
    python -m benchmarks.harness.traffic hold PORT --asks HOST         the same, with a request for HOST on each

A client prints one JSON object. They use the standard library only, so that any Python may run them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import selectors
import socket
import statistics
import sys
import threading
import time

CHUNK = memoryview(bytes(range(256)) * 4096)
WARM_UP_S = 0.7
TIMEOUT_S = 10.0


def serve(host: str) -> None:
    """A source, which sends until nobody reads, and an echo; in threads, each of which the kernel keeps busy."""
    servers = [socket.create_server((host, 0), backlog=1024) for _ in range(2)]
    print(json.dumps({"source": servers[0].getsockname()[1], "echo": servers[1].getsockname()[1]}), flush=True)

    def feed(connection: socket.socket) -> None:
        with connection:
            try:
                while True:
                    connection.sendall(CHUNK)
            except OSError:
                return

    def accept() -> None:
        while True:
            threading.Thread(target=feed, args=(servers[0].accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    _echo(servers[1])


def _echo(server: socket.socket) -> None:
    selector = selectors.DefaultSelector()
    server.setblocking(False)
    selector.register(server, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is server:
                connection, _ = server.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(connection, selectors.EVENT_READ)
                continue
            connection = key.fileobj  # type: ignore[assignment]
            try:
                data = connection.recv(4096)
                connection.sendall(data)
            except OSError:
                data = b""
            if not data:
                selector.unregister(connection)
                connection.close()


def pull(host: str, port: int, *, seconds: float, streams: int, mbit: float) -> dict[str, object]:
    """Read from the source on several connections at once, all of the time or at a rate; the start does not count."""
    selector = selectors.DefaultSelector()
    buffer = bytearray(1 << 20)
    counts = [0] * streams
    for index in range(streams):
        connection = socket.create_connection((host, port), TIMEOUT_S)
        # Some forwarders tell the other side of a connection only with its first byte.
        connection.sendall(b"x")
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ, index)
    began = started = time.perf_counter()
    is_warm = False
    while (now := time.perf_counter()) - started < seconds or not is_warm:
        if not is_warm and now - began > WARM_UP_S:
            is_warm, started, counts = True, now, [0] * streams
            print("warm", flush=True)
        ready = selector.select(TIMEOUT_S)
        if not ready:
            sys.exit(f"nothing arrived for {TIMEOUT_S:g} s")
        for key, _ in ready:
            length = key.fileobj.recv_into(buffer)  # type: ignore[union-attr]
            if not length:
                sys.exit("the connection ended")
            counts[key.data] += length
        if mbit and (ahead_s := sum(counts) * 8e-6 / mbit - (time.perf_counter() - started)) > 0:
            time.sleep(ahead_s)
    return {"seconds": time.perf_counter() - started, "bytes": counts}


def ask(host: str, port: int, *, count: int) -> dict[str, object]:
    """Time one byte there and back, many times, after a few that do not count."""
    times = []
    with socket.create_connection((host, port), TIMEOUT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count + 20):
            started = time.perf_counter()
            connection.sendall(b"x")
            connection.recv(1)
            times.append((time.perf_counter() - started) * 1e3)
            time.sleep(0.002)
    return {"median_ms": statistics.median(times[20:]), "p95_ms": sorted(times[20:])[int(count * 0.95)]}


async def open_many(host: str, port: int, *, seconds: float, parallel: int) -> dict[str, object]:
    """Open connections as fast as they go, with one byte there and back on each."""
    loop = asyncio.get_running_loop()
    done = failed = 0
    started = time.perf_counter()

    async def work() -> None:
        nonlocal done, failed
        while time.perf_counter() - started < seconds:
            done += 1
            with socket.socket() as connection:
                connection.setblocking(False)
                try:
                    await loop.sock_connect(connection, (host, port))
                    await loop.sock_sendall(connection, b"x")
                    failed += await loop.sock_recv(connection, 1) != b"x"
                except OSError:
                    failed += 1

    async with asyncio.timeout(seconds + TIMEOUT_S), asyncio.TaskGroup() as tasks:
        for _ in range(parallel):
            tasks.create_task(work())
    return {"per_s": done / (time.perf_counter() - started), "failed": failed}


def hold(host: str, port: int, *, count: int, asks: str) -> None:
    """Open connections, let each say a byte, or ask for a page of a host that is named, and keep them for a minute."""
    says = f"GET / HTTP/1.1\r\nHost: {asks}\r\n\r\n".encode() if asks else b"x"
    connections = []
    for _ in range(count):
        connection = socket.create_connection((host, port), TIMEOUT_S)
        connection.sendall(says)
        if not connection.recv(4096):
            sys.exit("the connection ended")
        connections.append(connection)
    print(json.dumps({"held": len(connections)}), flush=True)
    time.sleep(60)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("serve", "pull", "ask", "open", "hold"))
    parser.add_argument("port", type=int, nargs="?", default=0)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--mbit", type=float, default=0.0)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--asks", metavar="HOST", default="")
    parser.add_argument("--parallel", type=int, default=32)
    given = parser.parse_args()
    result: dict[str, object]
    match given.what:
        case "serve":
            serve(given.host)
            return
        case "hold":
            hold(given.host, given.port, count=given.count, asks=given.asks)
            return
        case "pull":
            result = pull(given.host, given.port, seconds=given.seconds, streams=given.streams, mbit=given.mbit)
        case "ask":
            result = ask(given.host, given.port, count=given.count)
        case _:
            result = asyncio.run(open_many(given.host, given.port, seconds=given.seconds, parallel=given.parallel))
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
