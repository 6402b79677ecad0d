"""``p2p cp``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from p2p.cli import flags

if TYPE_CHECKING:
    from p2p.errors import P2PError
    from p2p.services.copying import Progress
    from p2p.session.copy import CopyRun

EPILOG: Final = flags.examples(
    "p2p expose --inbox ~/incoming          on the other side: takes files, shows none",
    "p2p cp video.mp4 TICKET:               send a file; Ctrl-C and the same again goes on",
    "p2p cp photos notes.txt TICKET:2026/   send a folder and a file",
    "",
    "p2p expose ./public                    on the other side: a folder to read",
    "p2p cp TICKET:report.pdf .             fetch a file",
    "p2p cp TICKET: mirror                  fetch everything into a folder",
)


@flags.with_peer_flags
def cp(
    paths: Annotated[
        list[str], typer.Argument(metavar="SOURCE... DESTINATION", help="One side is TICKET: or TICKET:path.")
    ],
    hidden: Annotated[bool, typer.Option("--hidden", help="Copy names that begin with a dot too, in folders.")] = False,
    *,
    shared: flags.PeerFlags,
) -> None:
    """Copy files and folders to or from an exposer.

    Every file is checked with SHA-256 and appears at its place all at once. What is there already is skipped; what has
    the name but another content is not replaced. Run the same command again after Ctrl-C, or a lost connection: it goes
    on where it ended.
    """
    from p2p.cli.problems import reporting

    with reporting(as_json=shared.as_json, verbose=shared.verbose):
        import asyncio

        from p2p.observe import log
        from p2p.session.copy_plan import plan_copy

        plan = plan_copy(paths, hidden=hidden)
        peer = shared.options()
        log.set_up(verbose=peer.verbose, log_file=shared.log_file)
        # Wrong input is answered before the heavy part is imported.
        from p2p.session.copy import CopyRun

        try:
            asyncio.run(_copy(CopyRun(plan, peer), as_json=shared.as_json))
        except KeyboardInterrupt:
            typer.echo("not done: the same command goes on from here", err=True)
            raise


async def _copy(run: CopyRun, *, as_json: bool) -> None:
    """Copy, and show how far it is."""
    import time

    from p2p import defaults
    from p2p.aio.tasks import TaskScope
    from p2p.cli.output import print_json
    from p2p.cli.problems import print_error

    started_at = time.monotonic()
    is_terminal = sys.stderr.isatty() and not as_json

    async def show() -> None:
        import asyncio

        while True:
            await asyncio.sleep(defaults.COPY_PROGRESS_S)
            typer.echo(f"\r\x1b[K{progress_line(run.progress, time.monotonic() - started_at)}", nl=False, err=True)

    told_before = ""

    def told(error: P2PError) -> None:
        nonlocal told_before
        if not as_json and str(error) != told_before:
            told_before = str(error)
            typer.echo(f"trying again: {error}", err=True)

    try:
        async with TaskScope() as scope:
            if is_terminal:
                scope.start(show(), name="progress")
            error = await _error_of(run, told)
    finally:
        if is_terminal:
            typer.echo("\r\x1b[K", nl=False, err=True)
    if error is not None and not run.failures:
        raise error
    if as_json:
        print_json(report(run, time.monotonic() - started_at))
    else:
        typer.echo(summary(run.progress, time.monotonic() - started_at))
    if error is not None:
        for failure in run.failures[:-1]:
            if not as_json:
                print_error(failure)
        raise run.failures[-1]


async def _error_of(run: CopyRun, told: Any) -> BaseException | None:
    """What ended the run, as a value: a scope would wrap it."""
    try:
        await run.run(told)
    except Exception as error:
        return error
    return None


def progress_line(progress: Progress, elapsed_s: float) -> str:
    """Tell how far a copy is, in one line.

    Args:
        progress: How far it is.
        elapsed_s: Since its beginning.
    """
    from p2p.cli import text

    share = f"{100 * progress.bytes_done // progress.bytes_total} %, " if progress.bytes_total else ""
    files = f"{progress.files_done} of {text.plural(progress.files_total, 'file')}"
    rate = text.rate(progress.bytes_copied / elapsed_s) if elapsed_s else "-"
    return f"{share}{text.size(progress.bytes_done)} of {text.size(progress.bytes_total)}, {files}, {rate}"


def summary(progress: Progress, took_s: float) -> str:
    """Tell what a copy has done, in one line.

    Args:
        progress: How far it came.
        took_s: How long it took.
    """
    from p2p.cli import text

    copied = progress.files_done - progress.files_same
    line = f"copied {text.plural(copied, 'file')}, {text.size(progress.bytes_copied)} in {took_s:.1f} s"
    if progress.bytes_copied and took_s > 0:
        line += f" ({text.rate(progress.bytes_copied / took_s)})"
    if progress.files_same:
        line += f"; {text.plural(progress.files_same, 'file')} there already"
    if progress.left_out:
        line += f"; {progress.left_out} left out (hidden names, links)"
    return line


def report(run: CopyRun, took_s: float) -> dict[str, Any]:
    """The same for programs.

    Args:
        run: What was done.
        took_s: How long it took.
    """
    progress = run.progress
    return {
        "event": "copied",
        "files": progress.files_done - progress.files_same,
        "files_same": progress.files_same,
        "files_failed": len(run.failures),
        "left_out": progress.left_out,
        "bytes": progress.bytes_copied,
        "took_s": round(took_s, 3),
    }
