"""The command ``python -m rendezvous``."""

from __future__ import annotations

import logging
import secrets
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from p2p.aio import loop
from p2p.errors import P2PError
from rendezvous import config_file, runner
from rendezvous.listener import server_context

_LOG_FORMAT: Final = "%(levelname)s %(name)s: %(message)s"
_TOKEN_BYTES: Final = 24

_HELP = """Run a rendezvous: names, presence and signalling between peers, STUN, and relay credentials.

SIGTERM sends clients away gently, within drain_s seconds, and ends; a second one ends at once. SIGHUP reads the
configuration file and the certificate again: tokens that are gone log their holders out. Exit status 2: a wrong file,
or an address that cannot be used.

The smallest useful file, behind a proxy that adds TLS:

\b
    listen = ["127.0.0.1:8470"]
    names = ["rendezvous.example.com"]
    trusted_proxies = ["127.0.0.1/32"]
    [[tokens]]
    name = "me"
    secret = "what --token prints"
"""

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command(help=_HELP)
def rendezvous(
    config: Annotated[
        Path,
        typer.Option(
            "--config",
            "-c",
            envvar="P2P_RENDEZVOUS_CONFIG",
            help="The configuration file (TOML); deploy/rendezvous.toml explains each setting.",
        ),
    ] = Path("/etc/p2p/rendezvous.toml"),
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the file and its certificate, say what it means, and do not serve.")
    ] = False,
    token: Annotated[
        bool, typer.Option("--token", help="Print a new random admission token or shared secret, and do nothing else.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log details.")] = False,
) -> None:
    """Run a rendezvous, print a token, or check a file."""
    if token:
        typer.echo(secrets.token_urlsafe(_TOKEN_BYTES))
    elif verify:
        _verify(config)
    else:
        logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, format=_LOG_FORMAT)
        # One line for each listening socket, which we log ourselves.
        logging.getLogger("asyncio").setLevel(logging.WARNING)
        loop.run(runner.serve(config))


def run() -> None:
    """Run the command; an error of ours becomes one line, a hint and an exit status."""
    try:
        app()
    except P2PError as error:
        typer.echo(f"error: {error}\n{error.hint}", err=True)
        sys.exit(error.exit_code)


def _verify(path: Path) -> None:
    settings = config_file.load(path)
    if settings.tls_certificate is not None and settings.tls_key is not None:
        server_context(settings.tls_certificate, settings.tls_key)
    for line in runner.describe(settings):
        typer.echo(line)
    for warning in config_file.warnings(settings, path):
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"{path} is valid")
