"""``p2p status``."""

from __future__ import annotations

from typing import Final

import typer

from p2p.cli import flags

EPILOG: Final = flags.examples(
    "p2p status           what runs, over which paths",
    'p2p status --json    one object: {"processes": [...]}',
)


def status(as_json: flags.Json = False, verbose: flags.Verbose = False) -> None:
    """Show what runs on this machine.

    That is every p2p process of yours, its sessions with their paths, and why the relayed ones are relayed.
    """
    from p2p.cli.problems import reporting

    with reporting(as_json=as_json, verbose=verbose):
        from p2p.cli import local_status
        from p2p.cli.output import print_json
        from p2p.observe import log

        log.set_up(verbose=verbose)
        processes = list(local_status.read_all(local_status.runtime_folder()))
        if as_json:
            print_json({"processes": processes})
        elif not processes:
            typer.echo("No p2p process of yours runs on this machine.")
        else:
            import time

            from rich.console import Console

            from p2p.cli.status_view import status_view

            Console(highlight=False).print(status_view(processes, now_wall=time.time()))
