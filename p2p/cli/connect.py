"""``p2p connect``."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from p2p.cli import flags

EPILOG: Final = flags.examples(
    "p2p connect TICKET                        a free local port, which is printed",
    "p2p connect TICKET --listen 9000          the service appears at 127.0.0.1:9000",
    "p2p connect TICKET --listen 0.0.0.0:9000  and for everyone on this network",
    "p2p connect TICKET --listen udp:27015     a game that speaks UDP",
    "p2p connect TICKET web=8080 ssh=2222      two of several services",
    "p2p connect TICKET --reverse 22           the other way round: the other side reaches ssh here",
    "",
    "A ticket of `p2p expose --lan` needs no flag: it names no rendezvous, so this network is asked.",
    "p2p connect TICKET --socks 1080           a proxy: curl --socks5-hostname 127.0.0.1:1080 URL",
    "",
    "SSH through it, with nothing listening:",
    "  ssh -o ProxyCommand='p2p connect TICKET --stdio' user@nas",
    "  ssh -o ProxyCommand='p2p connect TICKET ssh --stdio' user@nas     the one of several that is called ssh",
)


@flags.with_peer_flags
def connect(
    ticket: Annotated[str, typer.Argument(metavar="TICKET", help="What p2p expose printed on the other side.")],
    services: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=]PLACE...",
            show_default=False,
            help="Where a service appears: port, IP:port, udp:PORT, unix:PATH, a range of ports; without a name, the "
            "service called by that port. Without any, every service at a free port.",
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option("--listen", "-l", metavar="PLACE", help="Where the service appears, when there is only one."),
    ] = None,
    socks: Annotated[
        str | None,
        typer.Option(
            "--socks",
            metavar="PLACE",
            help="Where a proxy appears (SOCKS5, HTTP CONNECT) to what the exposing side allows by --proxy-to.",
        ),
    ] = None,
    stdio: Annotated[
        bool, typer.Option("--stdio", help="Make one connection and join it to standard input and output.")
    ] = False,
    reverse: Annotated[
        list[str] | None,
        typer.Option(
            "--reverse",
            metavar="[NAME=]TARGET",
            help="Offer a service of this side to the other, if that permits it (p2p expose --accept-reverse). Repeat.",
        ),
    ] = None,
    lan: Annotated[
        bool,
        typer.Option(
            "--lan",
            help="Look on this network by multicast DNS too. A ticket that names no rendezvous needs no flag for that.",
        ),
    ] = False,
    compress: Annotated[
        bool,
        typer.Option(
            "--compress",
            help="Compress what connections say, both ways: for text on a slow line. Whoever sees how much is sent "
            "may guess at secrets that are sent beside text of theirs.",
        ),
    ] = False,
    limit: flags.Limit = None,
    metrics: flags.Metrics = None,
    *,
    shared: flags.PeerFlags,
) -> None:
    """Reach a service that another machine exposes.

    Data flows over a relay at once, and moves to a direct path as soon as one works; open connections do not notice.
    With --stdio, standard output carries the service's bytes only; standard error tells of trouble, and with
    --verbose of everything.
    """
    from p2p.cli.problems import reporting

    with reporting(as_json=shared.as_json, verbose=shared.verbose, stdio=stdio):
        import asyncio

        from p2p.cli.output import choose_output
        from p2p.cli.runner import run_peer
        from p2p.config import CODE_CONTRADICTION
        from p2p.errors import ConfigError
        from p2p.observe import log
        from p2p.parse import parse_listen, parse_place
        from p2p.parse_limits import parse_limits
        from p2p.parse_services import parse_places, parse_reverse
        from p2p.session.options import ConnectOptions

        if stdio and listen is not None:
            raise ConfigError("--stdio is one connection, --listen accepts many", code=CODE_CONTRADICTION)
        if services and (listen is not None or (stdio and len(services) > 1)):
            raise ConfigError("--listen and --stdio are for one service", code=CODE_CONTRADICTION)
        places = (
            parse_places(services) if services and not stdio else None if listen is None else {"": parse_place(listen)}
        )
        metrics_address = None if metrics is None else parse_listen(metrics)
        if socks is not None:
            if stdio:
                raise ConfigError("--stdio is one connection, --socks accepts many", code=CODE_CONTRADICTION)
            # Alone it is all that appears.
            places = places or {}
        options = ConnectOptions(
            ticket=ticket,
            listen=places,
            socks=None if socks is None else parse_listen(socks),
            stdio=stdio,
            stdio_service=services[0] if stdio and services else "",
            lan=lan,
            compress=compress,
            limits=parse_limits(limit or [], None),
            reverse=parse_reverse(reverse) if reverse else {},
        )
        peer = shared.options()
        flags.check_lan(peer, lan=lan)
        log.set_up(verbose=peer.verbose, log_file=shared.log_file)
        # Wrong input is answered before the heavy part is imported.
        from p2p.session.connector import Connector

        asyncio.run(
            run_peer(
                lambda on_event: Connector(options, peer, on_event=on_event),
                choose_output(as_json=shared.as_json, stdio=stdio, verbose=peer.verbose),
                metrics_address=metrics_address,
            )
        )
