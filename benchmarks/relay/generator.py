"""The load generator for machines without a C compiler: same arguments, same answer as ``generator.c``, far slower."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from p2p.aio.udp_options import SOL_UDP, UDP_GRO, UDP_SEGMENT

_TAG: Final = b"\xce\xba\xa1\x5c"
_BUFFER_BYTES: Final = 8 << 20


@dataclass(slots=True)
class _Sender:
    sock: socket.socket
    is_tcp: bool
    header: bytes


@dataclass(slots=True)
class _Sink:
    sock: socket.socket
    is_tcp: bool
    header_bytes: int
    received_bytes: int = 0


class _Run:
    """One run; the attributes are the counters of the answer."""

    def __init__(self, settings: dict[str, str]) -> None:
        self.payload = int(settings["payload"])
        self.burst = int(settings["burst"])
        self.window = int(settings["window"])
        self.rate = float(settings["rate"])
        self.has_gso = settings["gso"] == "1"
        self.sent = self.received = self.damaged = self.refused = 0
        self.latencies_us: list[float] = []
        self.senders: list[_Sender] = []
        self.sinks: dict[int, _Sink] = {}
        for line in Path(settings["spec"]).read_text(encoding="ascii").splitlines():
            verb, descriptor, kind, value = line.split()
            sock = socket.socket(fileno=int(descriptor))
            sock.setblocking(False)
            if verb == "send":
                self.senders.append(_Sender(sock, kind == "tcp", b"" if value == "-" else bytes.fromhex(value)))
                continue
            self.sinks[sock.fileno()] = _Sink(sock, kind == "tcp", int(value))
            if kind == "udp":
                sock.setsockopt(SOL_UDP, UDP_GRO, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)

    def send(self, sender: _Sender) -> None:
        """Send one burst, if the socket takes it."""
        stamp = time.monotonic_ns().to_bytes(8, sys.byteorder)
        frame = sender.header + stamp + _TAG + bytes(self.payload - 12)
        if sender.is_tcp:
            frame += bytes(-len(frame) & 3)
        size = len(frame).to_bytes(2, sys.byteorder)
        control = [(SOL_UDP, UDP_SEGMENT, size)] if self.has_gso and self.burst > 1 and not sender.is_tcp else []
        try:
            if sender.is_tcp or control:
                sender.sock.sendmsg([frame] * self.burst, control)
            else:
                for _ in range(self.burst):
                    sender.sock.send(frame)
        except BlockingIOError:
            self.refused += self.burst
        else:
            self.sent += self.burst

    def drain(self, sink: _Sink) -> None:
        """Count what has arrived."""
        if sink.is_tcp:
            sink.received_bytes += len(sink.sock.recv(1 << 20))
            frame = sink.header_bytes + (self.payload + 3) // 4 * 4
            whole, sink.received_bytes = divmod(sink.received_bytes, frame)
            self.received += whole
            return
        data, ancillary, _, _ = sink.sock.recvmsg(65536, 64)
        size = int.from_bytes(ancillary[0][2], sys.byteorder) if ancillary else len(data)
        now = time.monotonic_ns()
        for at in range(0, len(data), size or 1):
            payload = data[at + sink.header_bytes : at + size]
            if payload[8:12] != _TAG or len(payload) != self.payload:
                self.damaged += 1
                continue
            self.received += 1
            self.latencies_us.append((now - int.from_bytes(payload[:8], sys.byteorder)) / 1e3)


def _cpu_s(pids: list[str]) -> float:
    total_ns = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            total_ns += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text(encoding="ascii").split()[0])
    return total_ns / 1e9


def _serve(run: _Run, seconds: float, pids: list[str]) -> dict[str, Any]:
    poll = select.epoll()
    for descriptor in run.sinks:
        poll.register(descriptor, select.EPOLLIN)
    began, next_send, turn, cpu_s, own_s = time.monotonic(), 0.0, 0, _cpu_s(pids), time.process_time()
    progress_at = began
    while (now := time.monotonic()) - began < seconds:
        if now - progress_at > 0.02:
            run.sent, progress_at = run.received, now  # what is out is not coming
        is_open = run.sent - run.received < run.window if run.window else now >= next_send
        if is_open:
            next_send = max(next_send, now - 0.02) + (run.burst / run.rate if run.rate else 0)
            run.send(run.senders[turn])
            turn = (turn + 1) % len(run.senders)
        for descriptor, _ in poll.poll(0):
            with contextlib.suppress(BlockingIOError):
                run.drain(run.sinks[descriptor])
                progress_at = now
    elapsed, latencies = time.monotonic() - began, sorted(run.latencies_us) or [0.0]
    return {
        "elapsed_s": elapsed,
        "sent": run.sent,
        "received": run.received,
        "damaged": run.damaged,
        "refused": run.refused,
        "packets_per_s": run.received / elapsed,
        "mbit_per_s": run.received * run.payload * 8 / elapsed / 1e6,
        "cpu_s": _cpu_s(pids) - cpu_s,
        "generator_cpu_s": time.process_time() - own_s,
        "latency_p50_us": statistics.median(latencies),
        "latency_p99_us": latencies[len(latencies) * 99 // 100],
    }


def main() -> None:
    """Send what the arguments say; print one JSON object."""
    settings = dict(word.split("=", 1) for word in sys.argv[1:])
    os.sched_setaffinity(0, {int(settings["cpu"])})
    if settings["realtime"] == "1":
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    pids = [pid for pid in settings["pids"].split(",") if pid]
    print(json.dumps(_serve(_Run(settings), float(settings["duration_s"]), pids)))


if __name__ == "__main__":
    main()
