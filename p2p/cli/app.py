"""The program ``p2p``: its commands and their order. Each command imports what it needs when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from p2p.cli import bench, connect, cp, demo, expose, flags, gateway, identity, nat, ping, relay, serve, status

# Plain help: typer's rich help imports rich, which doubles the time until `p2p --help` answers.
app = typer.Typer(
    name="p2p",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=flags.examples(
        "p2p expose 8080                   put the web server on port 8080 on offer; prints a ticket",
        "p2p connect TICKET --listen 9000  reach it from elsewhere at http://127.0.0.1:9000",
        "p2p nat                           see what this network lets through",
        "",
        "p2p COMMAND --help explains a command and shows examples.",
        "Exit codes and the pages of all errors: docs/cli.md and docs/errors/.",
    ),
)


def _print_version(wanted: bool) -> None:
    if not wanted:
        return
    import platform
    from importlib.metadata import PackageNotFoundError, version

    def installed(distribution: str) -> str:
        try:
            return f"{distribution} {version(distribution)}"
        except PackageNotFoundError:
            return f"no {distribution}"

    engines = ", ".join(installed(name) for name in ("qh3", "aioquic"))
    typer.echo(f"p2p {version('p2p-toolkit')} (Python {platform.python_version()}, {engines})")
    raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Reach a service behind a NAT, straight if the networks allow it, over a relay if not.

    One side exposes, the other connects with the ticket it was given. What travels between them is encrypted end to
    end; no server in between can read or change it.
    """


app.command(epilog=expose.EPILOG)(expose.expose)
app.command(epilog=connect.EPILOG)(connect.connect)
app.command(epilog=cp.EPILOG)(cp.cp)
app.command(epilog=ping.EPILOG)(ping.ping)
app.command(epilog=bench.EPILOG)(bench.bench)
app.command(epilog=nat.EPILOG)(nat.nat)
app.command(epilog=status.EPILOG)(status.status)
app.command(epilog=serve.EPILOG)(serve.serve)
app.add_typer(gateway.app, name="gateway")
app.add_typer(relay.app, name="relay")
app.command(epilog=demo.EPILOG)(demo.demo)
app.add_typer(identity.app, name="identity")
