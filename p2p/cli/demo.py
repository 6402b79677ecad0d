"""``p2p demo``."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from p2p.cli import flags

EPILOG: Final = flags.examples(
    "p2p demo            everything on this machine: servers, both peers, a web page between them",
    "p2p demo --json     what both peers report, for programs",
)


def demo(
    size_mb: Annotated[int, typer.Option("--size", metavar="MB", min=1, max=10_000, help="How much to send.")] = 16,
    engine: flags.Engine = None,
    as_json: flags.Json = False,
    verbose: flags.Verbose = False,
) -> None:
    """See it work on this machine.

    Starts the servers, exposes a small web server, connects to it, fetches a file and checks every byte of it. Uses
    keys and ports of its own and leaves nothing behind.
    """
    from p2p.cli.problems import reporting

    with reporting(as_json=as_json, verbose=verbose):
        import asyncio

        from p2p.observe import log

        log.set_up(verbose=verbose)
        # Wrong input is answered before the heavy part is imported.
        from p2p.cli.demonstration import demonstrate

        asyncio.run(demonstrate(size_bytes=size_mb * 1_000_000, engine=engine, as_json=as_json))
