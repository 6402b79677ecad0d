"""Where the program ``p2p`` begins."""

from __future__ import annotations

import signal


def run() -> None:
    """Run the program with the process's arguments.

    Ctrl-C while everything is still being imported ends the process as it ends a program of C: without a traceback.
    Afterwards it is the commands' own business.
    """
    handler = signal.getsignal(signal.SIGINT)
    # Where it is ignored, as for a shell's background jobs, it stays so.
    is_usual = handler is signal.default_int_handler
    if is_usual:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from p2p.cli.app import app

    if is_usual:
        signal.signal(signal.SIGINT, handler)
    app()
