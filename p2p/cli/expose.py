"""``p2p expose``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, TypeVar

import typer

from p2p.cli import flags
from p2p.cli.public import PublicFlags

ChoiceT = TypeVar("ChoiceT", bound=StrEnum)
EPILOG: Final = flags.examples(
    "p2p expose 8080                          the web server on this machine's port 8080",
    "p2p expose nas.lan:22 --name nas-ssh     a service on another machine of this network",
    "p2p expose udp:27015                     a game, or whatever else speaks UDP",
    "p2p expose web=8080 ssh=22 9000-9010     several services with one ticket",
    "p2p expose 5432 --allow PEER --once      one session, and only for the peer with this id",
    "p2p expose 8080 --expires 2h --json      for programs; the ticket works for two hours",
    "p2p expose ./public                      a folder, to read with a browser or p2p cp",
    "p2p expose --inbox ~/incoming            take files that others send with p2p cp",
    "p2p expose --proxy-to 10.0.0.0/8:80,443  web servers of this network, for p2p connect --socks",
    "p2p expose 22 --allow-bench              and permit the other side to measure the way with p2p bench",
    "p2p expose 8080 --public --name blog     and a public URL at the gateway of P2P_GATEWAY",
    "p2p expose 8080 --lan                    for machines of this network; no rendezvous is needed",
    "",
    "Ctrl-C waits for open connections; a second Ctrl-C ends at once.",
)


@flags.with_peer_flags
@flags.with_flags("public", PublicFlags)
def expose(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=]TARGET...",
            show_default=False,
            help="Port, host:port, udp:PORT, unix:PATH, a range of ports, a folder such as ./public, or a name in the "
            "file's table [services]; without any, all of that table.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="What to call the service. Default: the target.")] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow", metavar="PEER", help="Admit only this peer: its id (p2p identity show) or alias. Repeat."
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End after the first session.")] = False,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help="How long the ticket works: 90s, 15m, 2h, 7d.")
    ] = None,
    inbox: Annotated[
        str | None,
        typer.Option("--inbox", metavar="FOLDER", help="Let whoever may connect put files into this folder (p2p cp)."),
    ] = None,
    hidden: Annotated[
        bool, typer.Option("--hidden", help="Show, serve and take names that begin with a dot too.")
    ] = False,
    proxy_to: Annotated[
        list[str] | None,
        typer.Option(
            "--proxy-to",
            metavar="DEST[:PORTS]",
            help="Let whoever may connect go there by a proxy on this side (p2p connect --socks): 10.0.0.0/8:80,443, "
            "nas.lan, *.intranet.example. Repeat.",
        ),
    ] = None,
    allow_bench: Annotated[
        bool,
        typer.Option(
            "--allow-bench", help="Permit p2p bench to whoever may connect; it takes all the bandwidth there is."
        ),
    ] = False,
    inspect: Annotated[
        str | None,
        typer.Option("--inspect", metavar="PORT", help="Show HTTP that passes on a page at this port, such as 4040."),
    ] = None,
    proxy_protocol: Annotated[
        str | None,
        typer.Option(
            "--proxy-protocol", metavar="v1|v2", help="Tell services who connects, in a PROXY header; not over UDP."
        ),
    ] = None,
    proxy_source: Annotated[
        str,
        typer.Option(
            "--proxy-source",
            metavar="peer|client",
            help="Whose address that is: the connecting machine's as seen from here, or its client's by its own word.",
        ),
    ] = "peer",
    accept_reverse: Annotated[
        list[str] | None,
        typer.Option(
            "--accept-reverse",
            metavar="[NAME=]PLACE",
            help="Let whoever may connect put a service of theirs here (p2p connect --reverse). Repeat.",
        ),
    ] = None,
    lan: Annotated[
        bool,
        typer.Option("--lan", help="Announce it on this network by multicast DNS; then no rendezvous is needed."),
    ] = False,
    limit: flags.Limit = None,
    metrics: flags.Metrics = None,
    *,
    public: PublicFlags,
    shared: flags.PeerFlags,
) -> None:
    """Put services and folders on offer and print a ticket for them.

    Whoever has the ticket reaches them with `p2p connect`, as long as this command runs, and nobody else does.
    A ticket goes on working when the command is started again, unless --once or --expires limit it; only its list of
    addresses, which works without a rendezvous, is then an old one.
    """
    from p2p.cli.problems import reporting

    with reporting(as_json=shared.as_json, verbose=shared.verbose):
        import asyncio
        from pathlib import Path

        from p2p.cli.output import choose_output
        from p2p.cli.preflight import look_for_targets
        from p2p.cli.runner import run_peer
        from p2p.config import CODE_CONTRADICTION, load_services
        from p2p.errors import ConfigError
        from p2p.observe import log
        from p2p.parse import parse_duration, parse_folder, parse_listen
        from p2p.parse_limits import parse_limits
        from p2p.parse_services import parse_targets, parse_wanted
        from p2p.proxy_rules import parse_rule
        from p2p.session.options import ExposeOptions, ProxySource, ProxyVersion
        from p2p.target import FolderTarget

        known = load_services()
        wanted = parse_wanted(accept_reverse) if accept_reverse else {}
        # An inbox and a proxy are offers by themselves, and so is a place for services of others.
        is_enough = inbox is not None or bool(proxy_to) or bool(wanted)
        places = parse_targets(targets or [], known) if targets or known or not is_enough else {}
        if public.is_public and not places:
            raise ConfigError("neither an inbox nor a proxy is for the public", code=CODE_CONTRADICTION)
        services = [place for place in places.values() if not isinstance(place, FolderTarget)]
        metrics_address = None if metrics is None else parse_listen(metrics)
        options = ExposeOptions(
            targets=places,
            name=name or "",
            allow=resolve_peers(allow or []),
            once=once,
            lan=lan,
            expires_s=None if expires is None else parse_duration(expires),
            inbox=None if inbox is None else Path(parse_folder(inbox).path),
            hidden=hidden,
            proxy_to=tuple(parse_rule(text) for text in proxy_to or ()),
            allow_bench=allow_bench,
            limits=parse_limits(limit or [], {*places, *wanted}),
            reverse=wanted,
            inspect=None if inspect is None else parse_listen(inspect),
            public=public.options(name),
            proxy_protocol=None if proxy_protocol is None else choose("--proxy-protocol", ProxyVersion, proxy_protocol),
            proxy_source=choose("--proxy-source", ProxySource, proxy_source),
        )
        peer = shared.options()
        flags.check_lan(peer, lan=lan)
        log.set_up(verbose=peer.verbose, log_file=shared.log_file)
        # Wrong input is answered before the heavy part is imported.
        from p2p.session.exposer import Exposer

        asyncio.run(
            run_peer(
                lambda on_event: Exposer(options, peer, on_event=on_event),
                choose_output(as_json=shared.as_json),
                preflight=lambda: look_for_targets(services),
                metrics_address=metrics_address,
            )
        )


def choose(flag: str, choices: type[ChoiceT], text: str) -> ChoiceT:
    """Turn the text of a flag into one of its values.

    Args:
        flag: The flag, for the message.
        choices: What there is.
        text: As the user gave it.

    Raises:
        ConfigError: It is none of them.
    """
    from p2p.config import CODE_BAD_VALUE
    from p2p.errors import ConfigError

    try:
        return choices(text.strip().lower())
    except ValueError:
        raise ConfigError(f"{flag}: {text!r} is not one of {', '.join(choices)}", code=CODE_BAD_VALUE) from None


def resolve_peers(names: list[str]) -> tuple[str, ...]:
    """Turn peer ids and aliases of the known-peers file into peer ids.

    Args:
        names: As the user gave them.

    Raises:
        IdentityError: One is neither, or the file is not usable.
    """
    if not names:
        return ()
    from p2p.identity.known_peers import KnownPeers

    known = KnownPeers.load()
    return tuple(str(known.resolve(name)) for name in names)
