"""``p2p nat``."""

from __future__ import annotations

from typing import Final

import typer

from p2p.cli import flags

EPILOG: Final = flags.examples(
    "p2p nat                                  with the rendezvous of the configuration",
    "p2p nat -r wss://rendezvous.example      with this one",
    "p2p nat --json                           for programs; null means unknown, not no",
    "",
    "Exit codes: 0 direct paths are possible, 1 only a relay works, 5 neither.",
)
EXIT_RELAY_ONLY: Final = 1
"""UDP does not pass, but a relay answers over TCP or TLS."""
EXIT_NOTHING: Final = 5
"""Nothing passes; the same code as a ConnectivityError has."""


def nat(
    rendezvous: flags.Rendezvous = None,
    token: flags.Token = None,
    ca_file: flags.CaFile = None,
    identity: flags.Identity = None,
    timeout: flags.Timeout = None,
    as_json: flags.Json = False,
    verbose: flags.Verbose = False,
    log_file: flags.LogFile = None,
) -> None:
    """Examine this network and its NAT.

    Finds out what the NAT does, what passes, and whether a relay can be reached.
    Run it on both sides when a session stays on the relay: it tells which side makes a direct path hard, and why.
    """
    from p2p.cli.problems import reporting

    with reporting(as_json=as_json, verbose=verbose):
        import asyncio

        from p2p.cli.output import print_json
        from p2p.observe import log

        peer = flags.peer_options(
            rendezvous=rendezvous, token=token, ca_file=ca_file, identity=identity, timeout=timeout, verbose=verbose
        )
        log.set_up(verbose=peer.verbose, log_file=log_file)
        # Wrong input is answered before the heavy part is imported.
        from p2p.session.nat import examine_network

        report = asyncio.run(examine_network(peer))
        if as_json:
            print_json(report.to_json())
        else:
            from rich.console import Console

            from p2p.cli.nat_view import nat_view

            Console(highlight=False).print(nat_view(report))
        if report.facts.udp_blocked:
            raise typer.Exit(EXIT_RELAY_ONLY if any(relay.reachable for relay in report.relays) else EXIT_NOTHING)
