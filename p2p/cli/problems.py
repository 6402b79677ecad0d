"""The one place where an error becomes words and an exit code."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import typer

from p2p.cli.describe import error_lines
from p2p.cli.output import print_json, silence_stdout
from p2p.cli.stopping import EXIT_INTERRUPTED
from p2p.errors import P2PError, error_in
from p2p.session.events import Problem

EXIT_INTERNAL: Final = 70
"""EX_SOFTWARE of sysexits.h: a bug of ours."""


class InternalError(P2PError):
    """An exception that nobody expected."""

    exit_code = EXIT_INTERNAL


def find_error(exception: BaseException) -> P2PError:
    """Find the error a user should hear of, in whatever left the command.

    Args:
        exception: An error, a group that holds one, or anything else.

    Returns:
        The first error of ours, else an ``InternalError`` that tells what it was.
    """
    if (error := error_in(exception)) is not None:
        return error
    if isinstance(exception, BaseExceptionGroup):
        exception = exception.exceptions[0]
    return InternalError(f"{type(exception).__name__}: {exception}")


@contextmanager
def reporting(*, as_json: bool = False, verbose: bool = False, stdio: bool = False) -> Iterator[None]:
    """Turn whatever leaves the block into words on stderr, or an object on stdout, and an exit code.

    Args:
        as_json: Whether a program reads standard output.
        verbose: Whether to add a traceback.
        stdio: Whether standard output is the payload's; then objects go to stderr.

    Raises:
        typer.Exit: With the error's exit code.
    """
    started_at = time.monotonic()
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except BrokenPipeError:
        # Whoever read our output is gone, as with `p2p status | head`.
        silence_stdout()
        raise typer.Exit(0) from None
    except (Exception, BaseExceptionGroup) as exception:
        if isinstance(exception, typer.Exit | typer.Abort | typer.BadParameter):
            raise
        error = find_error(exception)
        if as_json:
            problem = Problem(t_s=time.monotonic() - started_at, error=error)
            try:
                print_json(problem.to_json(), sys.stderr if stdio else sys.stdout)
            except OSError:
                # Whoever reads the objects is gone, or the disk is full; a person may still see why.
                if not stdio:
                    silence_stdout()
                with suppress(OSError):
                    print_error(error)
        else:
            print_error(error)
        if verbose:
            traceback.print_exception(exception)
        raise typer.Exit(error.exit_code) from None


def print_error(error: P2PError) -> None:
    """Print an error to stderr, its first line in red on a terminal."""
    first, *rest = error_lines(error)
    typer.secho(first, fg="red", bold=True, err=True)
    for line in rest:
        typer.echo(line, err=True)
