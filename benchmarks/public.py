"""What visitors who have no program of ours get: a public URL or port for a service that is elsewhere."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from functools import partial
from typing import Final

from benchmarks.bulk import cpu_s_per_gib, rate_mbit_s
from benchmarks.harness import wrk
from benchmarks.harness.figure import Bench, Figure
from benchmarks.harness.place import DIALER
from benchmarks.harness.program import BenchmarkError
from benchmarks.harness.runner import main
from benchmarks.peers.public import HOST, website

_CONNECTIONS: Final = 64
_BODY_BYTES: Final = 1024
_WARM_UP_S: Final = 1.0
_IDLE: Final = 4000
"""Each is one more open file for every program on the way; 20,000 are common as a limit."""


def _load(bench: Bench) -> wrk.Load:
    if reason := wrk.missing():
        raise BenchmarkError(reason)
    with (
        website(bench.place, bench.folder, _BODY_BYTES) as port,
        bench.peer.tunnel(bench.place, port, bench.folder) as tunnel,
    ):
        url = f"http://{tunnel.host}:{tunnel.port}/"
        for seconds in (_WARM_UP_S, bench.seconds):
            line = wrk.command(url, HOST, connections=_CONNECTIONS, seconds=seconds)
            found = wrk.run(bench.place.command(DIALER, line), seconds=seconds)
    return found


def rate_per_s(bench: Bench) -> float:
    """Requests over HTTP/1.1 on connections that stay."""
    return _load(bench).per_s


def p99_ms(bench: Bench) -> float:
    """How long the slowest of a hundred of these takes, with all connections always waiting for an answer."""
    return _load(bench).p99_ms


def idle_kib(bench: Bench, *, is_http: bool) -> float:
    """Memory of the program that visitors come to, for one idle connection, beyond what it has for a few of them."""
    with ExitStack() as stack:
        if is_http:
            port = stack.enter_context(website(bench.place, bench.folder, _BODY_BYTES))
            tunnel = stack.enter_context(bench.peer.tunnel(bench.place, port, bench.folder))
        else:
            tunnel = stack.enter_context(bench.tunnel("echo"))
        if tunnel.public is None:
            raise BenchmarkError("no program takes visitors")
        says = {"asks": HOST} if is_http else {}
        stack.enter_context(bench.client("hold", tunnel, count=_CONNECTIONS, **says)).wait_for("held", 60)
        before = tunnel.public.memory_bytes
        stack.enter_context(bench.client("hold", tunnel, count=_IDLE, **says)).wait_for("held", 60)
        return (tunnel.public.memory_bytes - before) / _IDLE / 1024


FIGURES = (
    Figure(
        name="public_rate",
        title="Requests a second to a public URL, 64 connections that stay, 1 KiB each",
        unit="1/s",
        better="higher",
        peers=("ours_public_http", "frp_http", "nginx", "tcp"),
        measure=rate_per_s,
        seconds=5.0,
    ),
    Figure(
        name="public_p99",
        title="The slowest hundredth of these requests takes longer than",
        unit="ms",
        better="lower",
        peers=("ours_public_http", "frp_http", "nginx", "tcp"),
        measure=p99_ms,
        seconds=5.0,
    ),
    Figure(
        name="public_bulk",
        title="One TCP connection through a public port",
        unit="Mbit/s",
        better="higher",
        peers=("ours_public_tcp", "frp_tcp", "socat", "tcp"),
        measure=rate_mbit_s,
    ),
    Figure(
        name="public_cpu",
        title="Processor time of both ends for a GiB through a public port",
        unit="s",
        better="lower",
        peers=("ours_public_tcp", "frp_tcp"),
        measure=cpu_s_per_gib,
    ),
    Figure(
        name="public_idle_tcp",
        title="Memory of the public server for an idle connection to a port",
        unit="KiB",
        better="lower",
        peers=("ours_public_tcp", "frp_tcp"),
        measure=partial(idle_kib, is_http=False),
    ),
    Figure(
        name="public_idle_http",
        title="Memory of the public server for an idle connection of HTTP",
        unit="KiB",
        better="lower",
        peers=("ours_public_http", "frp_http", "nginx"),
        measure=partial(idle_kib, is_http=True),
    ),
)

if __name__ == "__main__":
    sys.exit(main(FIGURES))
