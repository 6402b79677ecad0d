"""The flags with which ``p2p expose`` puts a service before the public."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias

import typer

if TYPE_CHECKING:
    from p2p.session.options import Kind, PublicOptions

IsPublic: TypeAlias = Annotated[
    bool, typer.Option("--public", help="Also give it a public URL, for people without this program; see --gateway.")
]
Gateway: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--gateway",
        envvar="P2P_GATEWAY",
        metavar="TICKET",
        help="What p2p gateway printed. Repeat for several behind one name.",
        show_envvar=True,
    ),
]
Host: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--host", metavar="NAME", help="Public: a host name of your own instead of --name. Repeat."),
]
Path_: TypeAlias = Annotated[
    str | None,
    typer.Option("--path", metavar="/PATH", help="Public: only what is below this path; the longest one counts."),
]
StripPath: TypeAlias = Annotated[
    bool, typer.Option("--strip-path", help="Public: ask the service without that path in front.")
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
Tcpmux: TypeAlias = Annotated[
    bool, typer.Option("--tcpmux", help="Public: TCP by its name; clients say HTTP CONNECT to the gateway's HTTP port.")
]
Http2: TypeAlias = Annotated[
    bool, typer.Option("--h2", help="Public: the service speaks HTTP/2 without TLS, as gRPC servers do.")
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
Oidc: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--oidc",
        metavar="ISSUER,client=ID",
        help="Public: or for a login with the browser at this issuer (OpenID Connect). Add ,secret-file=FILE, and "
        "allow=ann@example.org or allow=@example.org for each that may come; without, everybody with an account there.",
    ),
]
ClientCa: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--client-ca",
        metavar="FILE",
        help="Public: visitors must show a certificate that one of these authorities (PEM) signed.",
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
Connections: TypeAlias = Annotated[
    int | None,
    typer.Option("--connections", metavar="N", min=1, help="Public: requests at a time of one visitor's address."),
]
MaxBody: TypeAlias = Annotated[
    str | None, typer.Option("--max-body", metavar="SIZE", help="Public: the largest body of a request, such as 10m.")
]
MaxHeaders: TypeAlias = Annotated[
    str | None, typer.Option("--max-headers", metavar="SIZE", help="Public: the largest headers of a request.")
]
Group: TypeAlias = Annotated[
    str | None,
    typer.Option("--group", metavar="SECRET", help="Public: others with the same name and secret share the visitors."),
]
Weight: TypeAlias = Annotated[
    int | None, typer.Option("--weight", metavar="N", help="Public: this one's share among them. Default: 1.")
]


class PublicFlags(NamedTuple):
    """What was given of the flags for public services; None or False: it was not given."""

    is_public: IsPublic = False
    gateway: Gateway = None
    host: Host = None
    path: Path_ = None
    strip_path: StripPath = False
    tcp: Tcp = None
    udp: Udp = None
    tls: Tls = False
    tcpmux: Tcpmux = False
    h2: Http2 = False
    visitors: Visitors = None
    no_visitors: NoVisitors = None
    login: Login = None
    bearer: Bearer = None
    jwt: Jwt = None
    webhook: Webhook = None
    oidc: Oidc = None
    client_ca: ClientCa = None
    set_header: SetHeader = None
    remove_header: RemoveHeader = None
    health: Health = None
    rate: Rate = None
    connections: Connections = None
    max_body: MaxBody = None
    max_headers: MaxHeaders = None
    group: Group = None
    weight: Weight = None

    def options(self, name: str | None) -> PublicOptions | None:
        """Turn the flags into options; None without --public.

        Raises:
            ConfigError: A flag is given without --public, there is no gateway, or two flags contradict each other.
        """
        from p2p.config import CODE_CONTRADICTION
        from p2p.errors import ConfigError
        from p2p.session.options import Access, PublicOptions
        from p2p.session.public_access import (
            parse_header_rules,
            parse_health,
            parse_issuer,
            parse_oidc,
            parse_path,
            parse_size,
            parse_webhook,
            read_authorities,
        )

        if not self.is_public:
            # P2P_GATEWAY may be there for other commands.
            given = [value for value in self._replace(gateway=None) if value not in (None, False, [])]
            if given or self.tcp == 0 or self.udp == 0:
                raise ConfigError("a flag for public services is given without --public", code=CODE_CONTRADICTION)
            return None
        if not self.gateway:
            raise ConfigError(
                "--public needs --gateway, or P2P_GATEWAY, with the ticket that p2p gateway printed",
                code=CODE_CONTRADICTION,
            )
        kind, port = self._way()
        gateways = tuple(dict.fromkeys(self.gateway))
        if len(gateways) > 1 and not (name or self.host or port):
            raise ConfigError(
                "several gateways would each choose another name or port: give --name, --host or the port",
                code=CODE_CONTRADICTION,
            )
        return PublicOptions(
            gateways=gateways,
            kind=kind,
            name=name or "",
            hosts=tuple(self.host or ()),
            path="" if self.path is None else parse_path(self.path),
            strips_path=self.strip_path,
            port=port,
            speaks_h2=self.h2,
            group=self.group or "",
            weight=self.weight or 1,
            access=Access(
                allow=tuple(self.visitors or ()),
                deny=tuple(self.no_visitors or ()),
                basic=tuple(self.login or ()),
                bearer=tuple(self.bearer or ()),
                webhooks=tuple(parse_webhook(text) for text in self.webhook or ()),
                client_ca="" if self.client_ca is None else read_authorities(self.client_ca),
                requests_per_s=self.rate or 0.0,
                connections=self.connections or 0,
                body_max_bytes=0 if self.max_body is None else parse_size(self.max_body),
                header_max_bytes=0 if self.max_headers is None else parse_size(self.max_headers),
            ),
            headers=parse_header_rules(self.set_header or (), self.remove_header or ()),
            health=None if self.health is None else parse_health(self.health),
            oidc=None if self.oidc is None else parse_oidc(self.oidc),
            issuers=tuple(parse_issuer(text) for text in self.jwt or ()),
        )

    def _way(self) -> tuple[Kind, int]:
        """How visitors come, and to which port.

        Raises:
            ConfigError: Two ways at once, or a flag that is for another one.
        """
        from p2p.config import CODE_CONTRADICTION
        from p2p.errors import ConfigError

        ports: dict[Kind, int | None] = {
            "tls": 0 if self.tls else None,
            "tcpmux": 0 if self.tcpmux else None,
            "tcp": self.tcp,
            "udp": self.udp,
        }
        chosen = [(kind, port) for kind, port in ports.items() if port is not None] or [("http", 0)]
        if len(chosen) > 1:
            raise ConfigError(
                "--tls, --tcpmux, --tcp and --udp are different ways to one service", code=CODE_CONTRADICTION
            )
        if self.h2 and chosen[0][0] != "http":
            raise ConfigError("--h2 is for HTTP; of other traffic the gateway sees nothing", code=CODE_CONTRADICTION)
        return chosen[0]
