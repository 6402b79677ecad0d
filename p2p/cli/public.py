"""The flags with which ``p2p expose`` puts a service before the public."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from p2p.session.options import PublicOptions

IsPublic: TypeAlias = Annotated[
    bool, typer.Option("--public", help="Also give it a public URL, for people without this program; see --gateway.")
]
Gateway: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--gateway", envvar="P2P_GATEWAY", metavar="TICKET", help="What p2p gateway printed.", show_envvar=True
    ),
]
Host: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--host", metavar="NAME", help="Public: a host name of your own instead of --name. Repeat."),
]
Tcp: TypeAlias = Annotated[
    int | None, typer.Option("--tcp", metavar="PORT", help="Public: a TCP port instead of HTTP; 0 takes a free one.")
]
Udp: TypeAlias = Annotated[
    int | None, typer.Option("--udp", metavar="PORT", help="Public: a UDP port, for a udp: target; 0 takes a free one.")
]
Tls: TypeAlias = Annotated[
    bool, typer.Option("--tls", help="Public: pass TLS through; the service has the certificate.")
]
Visitors: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--visitors", metavar="NETWORK", help="Public: only visitors from this network. Repeat."),
]
NoVisitors: TypeAlias = Annotated[
    list[str] | None, typer.Option("--no-visitors", metavar="NETWORK", help="Public: nobody from this one. Repeat.")
]
Login: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--login", metavar="USER:PASSWORD", help="Public: ask visitors for a password. Repeat."),
]
Bearer: TypeAlias = Annotated[
    list[str] | None, typer.Option("--bearer", metavar="TOKEN", help="Public: or for this bearer token. Repeat.")
]
Jwt: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--jwt",
        metavar="ISSUER[,aud=NAME]",
        help="Public: or for a token signed by this issuer: its URL, or a key set's (URL or file). Repeat.",
    ),
]
Webhook: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--webhook",
        metavar="KIND:SECRET",
        help="Public: or for a signed body: github:SECRET, stripe:SECRET or hmac:HEADER:SECRET. Repeat.",
    ),
]
SetHeader: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set-header", metavar="NAME:VALUE", help="Public: give requests to the service this. Repeat."),
]
RemoveHeader: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--remove-header", metavar="NAME", help="Public: take this out of requests. Repeat."),
]
Health: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--health", metavar="/PATH[,EVERY]", help="Public: no visitors while this fails; asked every 10 s, or so often."
    ),
]
Rate: TypeAlias = Annotated[
    float | None, typer.Option("--rate", metavar="N", help="Public: requests a second of one visitor's address.")
]
Group: TypeAlias = Annotated[
    str | None,
    typer.Option("--group", metavar="SECRET", help="Public: others with the same name and secret share the visitors."),
]
Weight: TypeAlias = Annotated[
    int | None, typer.Option("--weight", metavar="N", help="Public: this one's share among them. Default: 1.")
]


def public_options(
    *,
    is_public: bool,
    gateway: str | None,
    name: str | None,
    host: list[str] | None,
    tcp: int | None,
    udp: int | None,
    tls: bool,
    visitors: list[str] | None,
    no_visitors: list[str] | None,
    login: list[str] | None,
    bearer: list[str] | None,
    jwt: list[str] | None,
    webhook: list[str] | None,
    set_header: list[str] | None,
    remove_header: list[str] | None,
    health: str | None,
    rate: float | None,
    group: str | None,
    weight: int | None,
) -> PublicOptions | None:
    """Turn the flags into options; None without --public.

    Raises:
        ConfigError: A flag is given without --public, there is no gateway, or two flags contradict each other.
    """
    from p2p.config import CODE_CONTRADICTION
    from p2p.errors import ConfigError
    from p2p.session.options import Access, Kind, PublicOptions
    from p2p.session.public_access import parse_header_rules, parse_health, parse_issuer, parse_webhook

    if not is_public:
        ways = (host, tcp is not None, udp is not None, tls, rate, group, weight)
        if any((*ways, visitors, no_visitors, login, bearer, jwt, webhook, set_header, remove_header, health)):
            raise ConfigError("a flag for public services is given without --public", code=CODE_CONTRADICTION)
        return None
    if not gateway:
        raise ConfigError(
            "--public needs --gateway, or P2P_GATEWAY, with the ticket that p2p gateway printed",
            code=CODE_CONTRADICTION,
        )
    ports: dict[Kind, int | None] = {"tls": 0 if tls else None, "tcp": tcp, "udp": udp}
    chosen = [(kind, port) for kind, port in ports.items() if port is not None] or [("http", 0)]
    if len(chosen) > 1:
        raise ConfigError("--tls, --tcp and --udp are different ways to one service", code=CODE_CONTRADICTION)
    kind, port = chosen[0]
    return PublicOptions(
        gateway=gateway,
        kind=kind,
        name=name or "",
        hosts=tuple(host or ()),
        port=port,
        group=group or "",
        weight=weight or 1,
        access=Access(
            allow=tuple(visitors or ()),
            deny=tuple(no_visitors or ()),
            basic=tuple(login or ()),
            bearer=tuple(bearer or ()),
            webhooks=tuple(parse_webhook(text) for text in webhook or ()),
            requests_per_s=rate or 0.0,
        ),
        headers=parse_header_rules(set_header or (), remove_header or ()),
        health=None if health is None else parse_health(health),
        issuers=tuple(parse_issuer(text) for text in jwt or ()),
    )
