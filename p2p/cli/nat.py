"""``p2p nat``."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from p2p.cli import flags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from p2p.session.nat import Watch
    from p2p.session.nat_report import NatReport

EPILOG: Final = flags.examples(
    "p2p nat                                  with the rendezvous of the configuration",
    "p2p nat -r wss://rendezvous.example      with this one",
    "p2p nat --stun stun.example              with this STUN server, and no rendezvous",
    "p2p nat --lifetime                       and how long the NAT remembers us: takes minutes",
    "p2p nat --json                           for programs; null means unknown, not no",
    "",
    "Exit codes: 0 UDP passes, so direct paths are possible; 1 only a relay works, or nothing can be said of UDP;",
    "5 nothing passes; 4 the rendezvous does not answer.",
)
EXIT_RELAY_ONLY: Final = 1
"""UDP does not pass, or no server could tell, but a relay answers over TCP or TLS."""
EXIT_NOTHING: Final = 5
"""Nothing passes; the same code as a ConnectivityError has."""


def nat(
    rendezvous: flags.Rendezvous = None,
    stun: Annotated[
        list[str] | None,
        typer.Option(
            "--stun", metavar="HOST[:PORT]", help="STUN server to ask instead of the rendezvous'; repeat for more."
        ),
    ] = None,
    repeat: Annotated[
        int, typer.Option("--repeat", metavar="N", min=1, help="Examine N times, one after the other.")
    ] = 1,
    no_classic: Annotated[
        bool, typer.Option("--no-classic", help="Leave out the second opinion, which takes some seconds.")
    ] = False,
    lifetime: Annotated[
        bool, typer.Option("--lifetime", help="Find out how long an unused mapping lives, too: takes minutes.")
    ] = False,
    lifetime_limit: Annotated[
        str | None,
        typer.Option("--lifetime-limit", metavar="TIME", help="The longest lifetime to look for. Default: 5m."),
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Neither look up nor keep what is known of this network.")
    ] = False,
    no_port_mapping: flags.NoPortMapping = False,
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

        from p2p.observe import log

        peer = flags.PeerFlags(
            rendezvous=rendezvous,
            token=token,
            ca_file=ca_file,
            identity=identity,
            no_port_mapping=no_port_mapping,
            timeout=timeout,
            verbose=verbose,
        ).options()
        log.set_up(verbose=peer.verbose, log_file=log_file)
        # Wrong input is answered before the heavy part is imported.
        from p2p.gather.nat_cache import NatCache
        from p2p.session.nat import Questions, examine_network

        limit_s = _limit_s(lifetime_limit) if lifetime or lifetime_limit is not None else None
        questions = Questions(
            stun=tuple(stun or ()),
            classic=not no_classic,
            lifetime_limit_s=limit_s,
            cache=None if no_cache else NatCache(),
        )

        async def examine() -> NatReport:
            for _ in range(repeat - 1):
                _show(await examine_network(peer, questions), as_json=as_json)
            with _watching(quiet=as_json) as watch:
                report = await examine_network(peer, questions, watch=watch)
            _show(report, as_json=as_json)
            return report

        code = exit_code(asyncio.run(examine()))
        if code:
            raise typer.Exit(code)


def _limit_s(text: str | None) -> float:
    from p2p import defaults
    from p2p.errors import ConfigError
    from p2p.parse import parse_duration

    limit_s = defaults.NAT_LIFETIME_LIMIT_S if text is None else parse_duration(text)
    if limit_s > defaults.NAT_LIFETIME_LIMIT_MAX_S:
        raise ConfigError(f"a lifetime of {text} is not looked for: an hour is the most")
    return limit_s


@contextmanager
def _watching(*, quiet: bool) -> Iterator[Watch]:
    """Show on standard error how the search goes, and let the first Ctrl-C end it with what is known."""
    import asyncio
    import signal

    from p2p.cli.nat_view import lifetime_words
    from p2p.session.nat import Watch

    loop = asyncio.get_running_loop()
    said = ""

    def show(report: NatReport) -> None:
        nonlocal said
        words = "Waiting for mappings to be forgotten; Ctrl-C shows what is known by then."
        if said and report.lifetime is not None:
            words = f"An unused mapping lives {lifetime_words(report.lifetime)}."
        elif not said:
            loop.add_signal_handler(signal.SIGINT, stop)
        if not quiet and words != said:
            typer.echo(words, err=True)
        said = words

    def stop() -> None:
        watch.stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    watch = Watch(on_report=show)
    try:
        yield watch
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def exit_code(report: NatReport) -> int:
    """Tell the result of an examination as an exit code.

    Args:
        report: What was found out.
    """
    if report.facts.udp_blocked is False:
        return 0
    return EXIT_RELAY_ONLY if any(relay.reachable for relay in report.relays) else EXIT_NOTHING


def _show(report: NatReport, *, as_json: bool) -> None:
    if as_json:
        from p2p.cli.output import print_json

        print_json(report.to_json())
        return
    from rich.console import Console

    from p2p.cli.nat_view import nat_view

    Console(highlight=False).print(nat_view(report))
