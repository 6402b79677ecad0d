"""How fast one QUIC stream moves bytes between two processes over loopback, with each engine.

    python -m benchmarks.quic_bulk [--engine qh3|aioquic] [--seconds 4] [--runs 3] [--packet-bytes 1350] [--quick]
                                   [--json FILE]

The engines' rate and CPU time per GiB are below ``engines``; ``ours`` is the default engine.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import hashlib
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from p2p.address import TransportAddress
from p2p.aio.udp import UdpSocket
from p2p.errors import P2PError
from p2p.identity import Identity
from p2p.quic import ENGINE_NAMES, CidRouter, EngineConfig, QuicConnection, ServerCredentials, load_engine

CHUNK = bytes(range(256)) * 512
LOOPBACK = TransportAddress("127.0.0.1", 0)
SEED = bytes(32)


def cpu_time_s() -> float:
    """CPU time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class UdpLink:
    """A socket and a destination, as a ``DatagramLink``."""

    def __init__(self, udp: UdpSocket, destination: TransportAddress) -> None:
        self.udp = udp
        self.destination = destination

    def send(self, datagrams: Sequence[bytes]) -> int:
        """See ``DatagramLink``."""
        return self.udp.send(datagrams, self.destination)

    def call_when_writable(self, callback: Callable[[], object]) -> None:
        """See ``DatagramLink``."""
        self.udp.call_when_writable(callback)

    def packets_lost(self) -> None:
        """See ``DatagramLink``; there is only one path."""


class Traffic:
    """Sends one stream for a time, or receives it; ``done`` is set at its end."""

    def __init__(self, connection: QuicConnection, seconds: float = 0.0, digest: bool = False) -> None:
        self.connection = connection
        self.done = asyncio.Event()
        self.byte_count = 0
        self.started_at = self.ended_at = self.cpu_s = 0.0
        self.hash = hashlib.sha256() if digest else None
        self._seconds = seconds
        self._stream: int | None = None
        connection.handler = self

    def handshake_completed(self) -> None:
        """Begin to send, on the side that sends."""
        self.cpu_s = -cpu_time_s()
        if self._seconds:
            self.started_at = time.perf_counter()
            self._stream = self.connection.open_stream()
            self.connection.kick()

    def writable(self) -> bool:
        """Feed a chunk when the engine has little left."""
        if self._stream is None or self.connection.unsent_bytes(self._stream) > len(CHUNK):
            return False
        end = time.perf_counter() - self.started_at > self._seconds
        self.connection.send(self._stream, CHUNK, end=end)
        self.byte_count += len(CHUNK)
        if self.hash:
            self.hash.update(CHUNK)
        if end:
            self._stream = None
        return True

    def stream_data_received(self, stream_id: int, data: bytes, end: bool) -> None:
        """Count, and close at the end: that tells the sender too."""
        if not self.byte_count:
            self.started_at = time.perf_counter()
        self.byte_count += len(data)
        if self.hash:
            self.hash.update(data)
        if end:
            self.ended_at = time.perf_counter()
            self.connection.close(0, "received")

    def connection_lost(self, error: P2PError) -> None:
        """Let the process end."""
        self.cpu_s += cpu_time_s()
        self.done.set()

    def stream_reset(self, stream_id: int, code: int) -> None:
        """Nobody resets here."""

    def sending_stopped(self, stream_id: int, code: int) -> None:
        """Nobody stops here."""

    def datagram_received(self, data: bytes) -> None:
        """Nobody sends datagrams here."""


async def end_point(arguments: argparse.Namespace, *, sends: bool) -> None:
    """One process: the sender is the client, the receiver the server; they meet over standard input and output."""
    loop = asyncio.get_running_loop()
    identity = Identity.from_seed(SEED)
    engine = load_engine(arguments.engine)
    config = EngineConfig(packet_bytes=arguments.packet_bytes)
    router = CidRouter()
    udp = UdpSocket(
        loop,
        LOOPBACK,
        on_batch=lambda buffer, segment_size, _source, now: router.receive(buffer, segment_size, now),
        on_drained=router.after_receive,
    )
    read_line = functools.partial(loop.run_in_executor, None, sys.stdin.readline)
    link = UdpLink(udp, LOOPBACK)
    if sends:
        client = engine.client(config)
        connection = QuicConnection(loop, client, link, peer_public_key=identity.peer_id.public_key)
        print(udp.local_address.port, client.initial_destination_cid.hex(), flush=True)
    else:
        print(udp.local_address.port, flush=True)
    peer_port, *rest = (await read_line()).split()
    link.destination = TransportAddress("127.0.0.1", int(peer_port))
    if not sends:
        credentials = ServerCredentials(identity.certificate_pem, identity.private_key_pem)
        server = engine.server(config, credentials, bytes.fromhex(rest[0]))
        connection = QuicConnection(loop, server, link, peer_public_key=None)
    traffic = Traffic(connection, arguments.seconds if sends else 0.0, arguments.digest)
    router.attach(connection)
    connection.start()
    await traffic.done.wait()
    report = {
        "bytes": traffic.byte_count,
        "seconds": traffic.ended_at - traffic.started_at,
        "cpu_s": traffic.cpu_s,
        "sha256": traffic.hash.hexdigest() if traffic.hash else None,
    }
    print(json.dumps(report), flush=True)
    await connection.wait_closed()
    udp.close()


async def run_once(engine: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Run both processes and join what they report."""
    command = [sys.executable, "-m", "benchmarks.quic_bulk", "--engine", engine, "--seconds", str(arguments.seconds)]
    command += ["--packet-bytes", str(arguments.packet_bytes), *(["--digest"] if arguments.digest else [])]
    pipe = asyncio.subprocess.PIPE
    receiver, sender = [
        await asyncio.create_subprocess_exec(*command, "--role", role, stdin=pipe, stdout=pipe)
        for role in ("receive", "send")
    ]
    lines = []
    for process in (receiver, sender):
        assert process.stdout is not None
        lines.append(await process.stdout.readline())
    for process, line in ((sender, lines[0]), (receiver, lines[1])):
        assert process.stdin is not None
        process.stdin.write(line)
        await process.stdin.drain()
    async with asyncio.timeout(arguments.seconds + 30):
        received, sent = [json.loads((await process.communicate())[0]) for process in (receiver, sender)]
    if (received["bytes"], received["sha256"]) != (sent["bytes"], sent["sha256"]):
        raise SystemExit(f"{engine}: received {received} of {sent}")
    gib = received["bytes"] / 2**30
    return {
        "mbit_s": received["bytes"] * 8 / received["seconds"] / 1e6,
        "sender_cpu_s_per_gib": sent["cpu_s"] / gib,
        "receiver_cpu_s_per_gib": received["cpu_s"] / gib,
    }


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run every engine as often as asked, in turn, so that a busy moment of the machine hits all."""
    names = (arguments.engine,) if arguments.engine else ENGINE_NAMES
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(arguments.runs):
        for name in names:
            runs[name].append(await run_once(name, arguments))
    engines = {
        name: {
            "version": load_engine(name).version,
            "median": round(statistics.median(run["mbit_s"] for run in results)),
            "runs": [round(run["mbit_s"]) for run in results],
            **{
                key: round(statistics.median(run[key] for run in results), 2)
                for key in ("sender_cpu_s_per_gib", "receiver_cpu_s_per_gib")
            },
        }
        for name, results in runs.items()
    }
    ours = engines[names[0]]
    return {
        "figure": "quic_bulk",
        "unit": "Mbit/s",
        "better": "higher",
        "ours": {"median": ours["median"], "runs": ours["runs"]},
        "peers": {},
        "skipped": {},
        "engines": engines,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=ENGINE_NAMES)
    parser.add_argument("--seconds", type=float, default=4.0, help="how long the sender feeds the stream")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--packet-bytes", type=int, default=1350)
    parser.add_argument("--digest", action="store_true", help="compare SHA-256 of both ends; costs speed")
    parser.add_argument("--quick", action="store_true", help="one short run of each engine")
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--role", choices=("receive", "send"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role:
        asyncio.run(end_point(arguments, sends=arguments.role == "send"))
        return
    if arguments.quick:
        arguments.seconds, arguments.runs = 2.0, 1
    result = json.dumps(asyncio.run(measure(arguments)), indent=2)
    print(result)
    if arguments.json:
        arguments.json.write_text(result + "\n")


if __name__ == "__main__":
    main()
