"""The command ``python -m rendezvous``."""

from __future__ import annotations

import logging
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from p2p.errors import P2PError
from rendezvous import config_file, runner
from rendezvous.listener import server_context

_LOG_FORMAT = "%(levelname)s %(name)s: %(message)s"

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        envvar="P2P_RENDEZVOUS_CONFIG",
        help="The configuration file (TOML); deploy/rendezvous.toml explains each setting.",
        show_default=False,
    ),
]


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    config: ConfigOption = Path("/etc/p2p/rendezvous.toml"),
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log details.")] = False,
) -> None:
    """Run a rendezvous: names, presence and signalling between peers, STUN, and relay credentials.

    SIGTERM sends clients away gently and ends; a second one ends at once. SIGHUP reads the configuration file and the
    certificate again: tokens that are gone log their holders out.
    """
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, format=_LOG_FORMAT)
    if context.invoked_subcommand is None:
        runner.run(runner.serve(config))


@app.command()
def verify(config: ConfigOption = Path("/etc/p2p/rendezvous.toml")) -> None:
    """Check a configuration file and its certificate without serving; exit status 2 when it is wrong."""
    settings = config_file.load(config)
    if settings.tls_certificate is not None and settings.tls_key is not None:
        server_context(settings.tls_certificate, settings.tls_key)
    for line in runner.describe(settings):
        typer.echo(line)
    for warning in config_file.warnings(settings, config):
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"{config} is valid")


@app.command()
def token() -> None:
    """Print a new random admission token or shared secret."""
    typer.echo(secrets.token_urlsafe(24))


def run() -> None:
    """Run the command; an error of ours becomes one line, a hint and an exit status."""
    try:
        app()
    except P2PError as error:
        typer.echo(f"error: {error}\n{error.hint}", err=True)
        sys.exit(error.exit_code)
