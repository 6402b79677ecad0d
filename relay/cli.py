"""The command ``python -m relay``."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from p2p.errors import P2PError
from relay import config_file, workers
from relay.service import RelayService

_HELP = """Run a relay: a TURN server (RFC 8656) over UDP, TCP and TLS.

It serves users with static passwords, and users with the time-limited credentials that a rendezvous (or anything else
that knows the shared secret) hands out. It relays to public addresses only, unless the file says otherwise.

SIGTERM lets allocations run out, for drain_s seconds at most, and refuses new ones; a second one ends at once. SIGHUP
reads the file again: users, secrets, peers, limits and certificate change without a restart. Exit status: 2 for a
wrong file, 5 for an address that cannot be used.

The smallest useful file:

\b
    udp = ["203.0.113.10:3478"]
    tcp = ["203.0.113.10:3478"]
    shared_secret = "what --secret prints"
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command(help=_HELP)
def relay(
    config: Annotated[
        Path,
        typer.Option(
            "--config",
            "-c",
            envvar="P2P_RELAY_CONFIG",
            help="The configuration file (TOML); docs/protocol/relay.md explains each setting.",
            show_default=False,
        ),
    ] = Path("/etc/p2p/relay.toml"),
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the file and its certificate, say what it means, and do not serve.")
    ] = False,
    secret: Annotated[
        bool, typer.Option("--secret", help="Print a new random shared secret, and do nothing else.")
    ] = False,
    example: Annotated[
        bool, typer.Option("--example", help="Print a configuration file with every setting, and do nothing else.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log refused requests and other details.")] = False,
) -> None:
    """Run a relay, print a secret or an example, or check a file."""
    if secret:
        typer.echo(secrets.token_urlsafe(24))
    elif example:
        typer.echo(config_file.example(), nl=False)
    elif verify:
        verify_file(config)
    else:
        sys.exit(workers.run(config, verbose=verbose))


def run() -> None:
    """Run the command; an error of ours becomes one line, a hint and an exit status."""
    try:
        app()
    except P2PError as error:
        typer.echo(f"error: {error}\n{error.hint}", err=True)
        sys.exit(error.exit_code)


def verify_file(path: Path) -> None:
    """Say what a configuration means, and warn of what is probably not meant.

    Args:
        path: The file.

    Raises:
        ConfigError: The file, or the certificate that it names, cannot be used.
    """
    settings = config_file.load(path)
    RelayService(settings)  # reads the certificate and the peers' networks
    for line in config_file.describe(settings):
        typer.echo(line)
    for warning in config_file.warnings(settings, path):
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"{path} is valid")
