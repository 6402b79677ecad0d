"""``p2p identity``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from p2p.cli import flags

EPILOG: Final = flags.examples(
    "p2p identity show                the id that others give to p2p expose --allow",
    "p2p identity path                where the key file is",
    "p2p identity new                 make a new key; the old file is kept beside it",
)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Show or renew the key that is this machine's identity.",
    epilog=EPILOG,
)


@app.command()
def show(identity: flags.Identity = None, as_json: flags.Json = False, verbose: flags.Verbose = False) -> None:
    """Print this machine's peer id; the key is made on first use."""
    from p2p.cli.problems import reporting

    with reporting(as_json=as_json, verbose=verbose):
        from p2p.cli.output import print_json
        from p2p.identity.keys import Identity

        path = _key_path(identity)
        peer_id = str(Identity.load_or_create(path).peer_id)
        if as_json:
            print_json({"peer_id": peer_id, "path": str(path)})
        else:
            typer.echo(peer_id)


@app.command()
def path(identity: flags.Identity = None, verbose: flags.Verbose = False) -> None:
    """Print where the key file is, whether it exists or not."""
    from p2p.cli.problems import reporting

    with reporting(verbose=verbose):
        typer.echo(str(_key_path(identity)))


@app.command()
def new(
    identity: flags.Identity = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    verbose: flags.Verbose = False,
) -> None:
    """Make a new key. Tickets and --allow lists with the old id stop working."""
    from p2p.cli.problems import reporting

    with reporting(verbose=verbose):
        import time

        from p2p.identity.keys import Identity

        path = _key_path(identity)
        if path.exists():
            if not yes:
                typer.confirm("Tickets and --allow lists with the present id stop working. Go on?", abort=True)
            kept = path.with_name(f"{path.name}.{time.strftime('%Y%m%d-%H%M%S')}")
            path.rename(kept)
            typer.echo(f"The old key is now {kept}", err=True)
        typer.echo(str(Identity.load_or_create(path).peer_id))


def _key_path(flag: Path | None) -> Path:
    """The key file in use: flag, environment, configuration file, or the usual place."""
    from p2p.identity.key_file import default_key_path

    return flags.PeerFlags(identity=flag).options().identity_path or default_key_path()
