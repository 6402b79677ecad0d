"""``p2p relay``: a relay on a machine of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from p2p.cli import flags

_DEFAULT_FILE: Final = Path("/etc/p2p/relay.toml")

Config = Annotated[
    Path, typer.Option("--config", "-c", metavar="FILE", envvar="P2P_RELAY_CONFIG", help="The configuration file.")
]
Socket = Annotated[
    Path | None,
    typer.Option("--socket", metavar="PATH", help="The relay's control socket. Default: what the file names."),
]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Run a relay (TURN server) on a machine of its own.

    `p2p serve` has one inside; this is for the time when one machine is not enough, or for a relay alone.
    """,
    epilog=flags.examples(
        "p2p relay secret > relay.secret                  what rendezvous and relay share",
        "p2p relay example > relay.toml                   every setting, explained",
        "p2p relay verify -c relay.toml                   what the file means, and what is wrong with it",
        "p2p relay run -c relay.toml",
        "p2p relay credentials alice -c relay.toml        an entry of iceServers, for WebRTC",
    ),
)


@app.command()
def run(config: Config = _DEFAULT_FILE, verbose: flags.Verbose = False) -> None:
    """Serve until SIGTERM, which drains; a second one ends at once. SIGHUP reads the file again."""
    from p2p.cli.problems import reporting

    with reporting(as_json=False, verbose=verbose):
        from relay import workers

        if status := workers.run(config, verbose=verbose):
            raise typer.Exit(status)


@app.command()
def verify(config: Config = _DEFAULT_FILE) -> None:
    """Say what a configuration file means, and what is wrong."""
    from p2p.cli.problems import reporting

    with reporting(as_json=False, verbose=False):
        from relay.cli import verify_file

        verify_file(config)


@app.command()
def example() -> None:
    """Print a configuration file with every setting, explained."""
    from relay.config_file import example

    typer.echo(example(), nl=False)


@app.command()
def secret() -> None:
    """Print a new random secret for time-limited credentials."""
    import secrets

    typer.echo(secrets.token_urlsafe(24))


@app.command()
def credentials(
    user: Annotated[str, typer.Argument(metavar="NAME", help="Whom quotas count.")] = "user",
    config: Config = _DEFAULT_FILE,
    lifetime: Annotated[str, typer.Option("--lifetime", metavar="TIME", help="Until they end.")] = "12h",
) -> None:
    """Print time-limited credentials for WebRTC."""
    from p2p.cli.problems import reporting

    with reporting(as_json=False, verbose=False):
        import time

        from p2p.cli.output import print_json
        from p2p.errors import ConfigError
        from p2p.parse import parse_duration
        from relay import config_file
        from relay.core.credentials import rest_password

        settings = config_file.load(config)
        if not settings.shared_secrets:
            raise ConfigError(f"{config}: names no shared secret to derive credentials from")
        username = f"{int(time.time() + parse_duration(lifetime))}:{user}"
        urls = list(settings.turn_urls())
        print_json(
            {"urls": urls, "username": username, "credential": rest_password(settings.shared_secrets[0], username)}
        )


@app.command()
def status(config: Config = _DEFAULT_FILE, socket: Socket = None, as_json: flags.Json = False) -> None:
    """Show how the relay on this machine does."""
    answer = _ask("status", config, socket, as_json=as_json)
    if as_json:
        from p2p.cli.output import print_json

        print_json(answer)
        return
    for line in status_lines(answer):
        typer.echo(line)


@app.command()
def reload(config: Config = _DEFAULT_FILE, socket: Socket = None) -> None:
    """Let the relay read its file again."""
    answer = _ask("reload", config, socket, as_json=False)
    typer.echo("configuration read again")
    if answer["needs_restart"]:
        typer.echo(f"changed, and needs a restart: {', '.join(answer['needs_restart'])}")


@app.command()
def drain(config: Config = _DEFAULT_FILE, socket: Socket = None) -> None:
    """Let the relay serve who is here, nobody new, and end."""
    answer = _ask("drain", config, socket, as_json=False, of_all=False)
    typer.echo(f"draining {answer['allocations']} allocations, at most {answer['within_s']:g} s")


def _ask(command: str, config: Path, socket: Path | None, *, as_json: bool, of_all: bool = True) -> dict[str, Any]:
    """Ask all workers, or the first one for what it does in the name of all."""
    from p2p.cli.problems import reporting

    with reporting(as_json=as_json, verbose=False):
        from p2p.aio.control_socket import ask
        from p2p.errors import ConfigError
        from relay import config_file
        from relay.answers import merged
        from relay.control_socket import RELAY

        paths = (socket,) if socket else config_file.load(config).control_sockets()
        if not paths:
            raise ConfigError(f"{config}: names no control socket; set control, or give --socket")
        return merged([ask(path, RELAY, command) for path in (paths if of_all else paths[:1])])


def status_lines(status: dict[str, Any]) -> list[str]:
    """Say in lines what the status says.

    Args:
        status: The answer of a relay.
    """
    listeners = "; ".join(f"{kind} {', '.join(found)}" for kind, found in status["listeners"].items() if found)
    allocations = ", ".join(f"{count} {kind}" for kind, count in status["allocations"].items())
    pids = status["pids"] if "pids" in status else [status["pid"]]
    processes = f"{'process' if len(pids) == 1 else 'processes'} {', '.join(map(str, pids))}"
    lines = [
        f"State        {status['state']}, up {status['up_s']:.0f} s, {processes}",
        f"Clients      {listeners}",
        f"Allocations  {allocations}; {status['allocations_made']} since the start",
        f"Connections  {status['connections']} TCP and TLS",
    ]
    for host, ports in status["ports"].items():
        lines.append(f"Ports        {ports['used']} of {ports['of']} on {host}")
    for words, key in (("To peers", "to_peers"), ("To clients", "to_clients")):
        lines.append(f"{words:<13}{status['packets'][key]} datagrams, {status['bytes'][key]} bytes")
    for words, key in (
        ("Drops", "drops"),
        ("Refused", "authentication_failures"),
        ("Requests", "requests"),
    ):
        counts = sorted(status[key].items(), key=lambda item: -item[1])
        lines.append(f"{words:<13}{', '.join(f'{count} {name}' for name, count in counts) or 'none'}")
    if status["region"]:
        lines.append(f"Region       {status['region']}")
    for url, results in status["reports"].items():
        lines.append(f"Reports      {results['taken']} taken, {results['failed']} failed by {url}")
    for user in status["users"]:
        lines.append(f"User         {user['bytes']} bytes, {user['user']}")
    return lines
