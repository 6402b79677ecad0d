"""``p2p serve``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from p2p.cli import flags

if TYPE_CHECKING:
    from p2p.cli.servers import Facts
    from p2p.config import ServeOptions

EPILOG: Final = flags.examples(
    "p2p serve --open                                    try it: plain HTTP, anybody may use it",
    "p2p serve --domain meet.example --tls-cert fullchain.pem --tls-key privkey.pem",
    "p2p serve --listen 10.0.0.5 --public-address 203.0.113.5      behind a one-to-one NAT",
    "p2p serve --listen 198.51.100.10 --listen 203.0.113.10        two addresses: full NAT tests",
    "",
    "Ctrl-C sends clients away gently; a second Ctrl-C ends at once. SIGHUP reads tokens and certificate again.",
)


def serve(
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Read the table [serve] of this TOML file.")
    ] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option("--listen", metavar="IP", help="Bind this address; repeat for more. Default: all."),
    ] = None,
    public_address: Annotated[
        list[str] | None,
        typer.Option(
            "--public-address", metavar="IP", help="What the world sees instead of --listen, in the same order."
        ),
    ] = None,
    domain: Annotated[
        str | None, typer.Option("--domain", metavar="NAME", help="Host name that clients use, as in the certificate.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate chain (PEM); read with --tls-key.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Its private key (PEM).")] = None,
    http_port: Annotated[
        int | None, typer.Option("--http-port", metavar="PORT", help="Signalling. Default: 443 with TLS, else 8470.")
    ] = None,
    stun_port: Annotated[
        int | None, typer.Option("--stun-port", metavar="PORT", help="STUN and TURN, UDP and TCP. Default: 3478.")
    ] = None,
    relay_ports: Annotated[
        str | None, typer.Option("--relay-ports", metavar="A-B", help="UDP ports for relayed addresses.")
    ] = None,
    is_open: Annotated[bool, typer.Option("--open", help="Admit everybody, without a token.")] = False,
    token: Annotated[
        list[str] | None,
        typer.Option("--token", metavar="TEXT", help="Admit who has this token; repeat for more. Default: a new one."),
    ] = None,
    relay_mbit: Annotated[
        float | None, typer.Option("--relay-mbit", metavar="N", help="Mbit/s of the relay in all. Default: no limit.")
    ] = None,
    relay_user_mbit: Annotated[
        float | None, typer.Option("--relay-user-mbit", metavar="N", help="Mbit/s of one peer. Default: no limit.")
    ] = None,
    relay_peers: Annotated[
        str | None,
        typer.Option(
            "--relay-peers",
            metavar="known|public",
            help="Relay to hosts that use this server (the default), or to every public address.",
        ),
    ] = None,
    danger_allow_private_peers: Annotated[
        bool,
        typer.Option("--danger-allow-private-peers", help="Relay to private addresses too: only in labs."),
    ] = False,
    as_json: flags.Json = False,
    verbose: flags.Verbose = False,
    log_file: flags.LogFile = None,
) -> None:
    """Run the servers that peers meet at.

    Signalling, STUN and a relay, on one machine, in one process. The relay carries sealed bytes only; nobody who runs
    this can read or change what peers send each other.
    """
    from p2p.cli.problems import reporting

    with reporting(as_json=as_json, verbose=verbose):
        import asyncio

        from p2p.config import load_serve_options
        from p2p.observe import log

        given = {
            "listen": listen or None,
            "public_address": public_address or None,
            "domain": domain,
            "tls_cert": tls_cert,
            "tls_key": tls_key,
            "http_port": http_port,
            "stun_port": stun_port,
            "relay_ports": relay_ports,
            "open": is_open or None,
            "token": token or None,
            "relay_mbit": relay_mbit,
            "relay_user_mbit": relay_user_mbit,
            "relay_peers": relay_peers,
            "danger_allow_private_peers": danger_allow_private_peers or None,
        }
        log.set_up(verbose=verbose, log_file=log_file)
        asyncio.run(_serve(lambda: load_serve_options(given, file=config), as_json=as_json))


async def _serve(load: Callable[[], ServeOptions], *, as_json: bool) -> None:
    """Serve until a signal comes; SIGHUP reads the configuration and the certificate again.

    Raises:
        ConfigError: The configuration is wrong at the start; later ones are only reported.
    """
    import asyncio
    import signal

    from p2p.aio.tasks import TaskScope
    from p2p.cli.output import print_json
    from p2p.cli.problems import print_error
    from p2p.cli.servers import Servers
    from p2p.cli.stopping import Stopper, interruptible
    from p2p.errors import P2PError

    options = load()
    note: Callable[[str], None] = (lambda words: None) if as_json else typer.echo
    scope = TaskScope()
    stopper = Stopper(scope, note)
    async with interruptible(stopper), scope, Servers(options) as servers:
        stopper.ready(lambda: servers.still_open, servers.drain)

        def reload() -> None:
            try:
                servers.reload(load())
            except P2PError as error:
                print_error(error)
            else:
                note("configuration and certificate read again")

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
        if as_json:
            print_json(facts_json(servers.facts))
        else:
            for line in banner(servers.facts, options):
                typer.echo(line)
        await stopper.stop.wait()


def facts_json(facts: Facts) -> dict[str, object]:
    """What runs, as one JSON object.

    Args:
        facts: What clients must know.
    """
    return {
        "event": "serving",
        "rendezvous": facts.rendezvous_url,
        "stun": [str(address) for address in facts.stun],
        "relays": list(facts.relay_urls),
        "token": facts.token,
    }


def banner(facts: Facts, options: ServeOptions) -> list[str]:
    """What runs, and what to type next.

    Args:
        facts: What clients must know.
        options: What the user asked for.
    """
    lines = [
        f"Signalling  {facts.rendezvous_url}",
        f"STUN        {', '.join(str(address) for address in facts.stun)}",
        *(f"Relay       {url}" for url in facts.relay_urls),
    ]
    if facts.token:
        lines.append(f"Token       {facts.token} (made for this run; keep one with --token or P2P_SERVE_TOKEN)")
    elif options.open:
        lines.append("Admission   open: whoever reaches this server may use it")
    if options.tls_cert is None:
        lines.append("No TLS: use it on this machine, in a lab, or behind a proxy that adds TLS.")
    token = facts.token or ("" if options.open else "YOUR-TOKEN")
    before = f"P2P_TOKEN={token} " if token else ""
    return [
        *lines,
        "",
        "On the machine with the service:",
        f"  {before}p2p expose 8080 --rendezvous {facts.rendezvous_url}",
        "On the other machine, with the ticket that it prints:",
        f"  {before}p2p connect TICKET",
        "",
    ]
