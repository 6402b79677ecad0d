"""``p2p bench``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from p2p import defaults
from p2p.cli import flags

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from p2p.session.bench_result import BenchResult, Latency, Throughput

EPILOG: Final = flags.examples(
    "p2p expose 22 --allow-bench        on the other side: it must permit it",
    "p2p bench TICKET                   latency, UDP, download and upload, 5 s each",
    "p2p bench TICKET --streams 1       what one connection gets",
    "p2p bench TICKET --relay-only      what the relay gives",
    "p2p bench TICKET --json            one object at the end, for programs",
)


@flags.with_peer_flags
def bench(
    ticket: Annotated[str, typer.Argument(metavar="TICKET", help="What p2p expose printed on the other side.")],
    seconds: Annotated[
        int, typer.Option("--seconds", "-s", min=1, max=defaults.BENCH_SECONDS_MAX, help="How long each part takes.")
    ] = defaults.BENCH_SECONDS,
    streams: Annotated[
        int,
        typer.Option(
            "--streams", "-n", min=1, max=defaults.BENCH_STREAMS_MAX // 2, help="Connections that carry bytes at once."
        ),
    ] = defaults.BENCH_STREAMS,
    *,
    shared: flags.PeerFlags,
) -> None:
    """Measure what the way to an exposer carries.

    It waits for a direct path first, or until it is known that there will be none. Then four parts follow: requests
    of a few bytes alone, datagrams at the pace of a call, a download with requests beside it, an upload with requests
    beside it. Bytes are counted where they arrive.
    The exposing side must permit it with --allow-bench, since it takes all the bandwidth there is.
    """
    from p2p.cli.problems import reporting

    with reporting(as_json=shared.as_json, verbose=shared.verbose):
        import asyncio

        from p2p.observe import log

        peer = shared.options()
        log.set_up(verbose=peer.verbose, log_file=shared.log_file)
        # Wrong input is answered before the heavy part is imported.
        from p2p.session.bench import bench as measure

        asyncio.run(_show(measure(ticket, peer, seconds=seconds, streams=streams), as_json=shared.as_json))


async def _show(results: AsyncIterator[BenchResult], *, as_json: bool) -> None:
    """Print what each part found when it is over, or one object at the end."""
    from p2p.cli.output import print_json

    result: BenchResult | None = None
    printed = 0
    async for result in results:
        if not as_json:
            lines = describe(result)
            for line in lines[printed:]:
                typer.echo(line)
            printed = len(lines)
    if as_json and result is not None:
        print_json(result.to_json())


def describe(result: BenchResult) -> list[str]:
    """Put what is known into words; with more known, lines are added behind the others.

    Args:
        result: Of any stage of a run.
    """
    from p2p.cli import text

    where = f" to {result.address}" if result.address else ""
    why = f" ({result.reason})" if result.reason else ""
    lines = [f"path      {text.path_words(result.path, result.transport)}{where}{why}"]
    if result.idle is not None:
        lines.append(f"latency   {_latency(result.idle)}, {text.plural(result.idle.count, 'request')}")
    if result.udp is not None:
        jitter = f", jitter {text.round_trip(result.udp.jitter_s)}" if result.udp.jitter_s is not None else ""
        lines.append(f"UDP       {100 * result.udp.loss:.1f} % of {result.udp.sent} datagrams lost{jitter}")
        if result.udp.latency is not None:
            lines.append(f"          {_latency(result.udp.latency)}")
    for name, part in (("download", result.download), ("upload", result.upload)):
        if part is not None:
            lines.append(f"{name:9} {_throughput(part)}, {text.plural(result.streams, 'stream')}")
            if part.latency is not None:
                lines.append(f"          latency meanwhile {_latency(part.latency)}")
    if result.path_changes:
        lines.append(f"The path changed {text.plural(result.path_changes, 'time')} meanwhile: run it again.")
    return lines


def _throughput(part: Throughput) -> str:
    from p2p.cli import text

    mbit_s = part.bytes_per_s * 8 / 1e6
    digits = 0 if mbit_s >= 100 else 1 if mbit_s >= 1 else 3
    return f"{mbit_s:.{digits}f} Mbit/s, {text.size(part.size_bytes)} in {part.took_s:.1f} s"


def _latency(latency: Latency) -> str:
    from p2p.cli import text

    times = (("p50", latency.p50_s), ("p90", latency.p90_s), ("p99", latency.p99_s))
    return ", ".join(f"{name} {text.round_trip(time_s)}" for name, time_s in times)
