"""``p2p gateway``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from p2p.cli import flags, gateway_control, gateway_export

if TYPE_CHECKING:
    from gateway.config import AcmeOptions, GatewayConfig

EPILOG: Final = flags.examples(
    "p2p gateway --domain tunnels.example --tls-cert fullchain.pem --tls-key privkey.pem",
    "p2p gateway --domain tunnels.example --acme you@example.com     certificates from Let's Encrypt",
    "p2p gateway --domain tunnels.example --http 127.0.0.1:8080 --front 127.0.0.1 --https-port 443",
    "                                          behind nginx or HAProxy on the same machine, which end TLS",
    "p2p gateway --domain tunnels.example --tcp-ports 20000-20999     TCP ports as well",
    "",
    "Names need a wildcard in DNS (*.tunnels.example) and in a given certificate. It prints a ticket for publishers.",
)
_NEW_OBJECTS_MAX: Final = 10_000
"""After how many new objects garbage is looked for. At Python's own 700 that is with every tenth request, among the
objects of all that are under way, and finds half an object for each."""


app = typer.Typer(rich_markup_mode=None, epilog=EPILOG)
app.command()(gateway_control.status)
app.command()(gateway_control.weight)
app.command()(gateway_control.drain)
app.command()(gateway_control.resume)
app.add_typer(gateway_export.app, name="export")


@app.callback(invoke_without_command=True)
@flags.with_peer_flags
def gateway(
    context: typer.Context,
    domain: Annotated[
        str, typer.Option("--domain", metavar="NAME", help="Services appear as NAME.domain, below this one.")
    ] = "",
    http: Annotated[
        list[str] | None,
        typer.Option("--http", metavar="ADDRESS", help="Listen for HTTP: port, or IP:port. Repeat. Default: 80."),
    ] = None,
    https: Annotated[
        list[str] | None,
        typer.Option("--https", metavar="ADDRESS", help="Listen for HTTPS. Repeat. Default: 443 with a certificate."),
    ] = None,
    tls_cert: Annotated[
        list[Path] | None,
        typer.Option("--tls-cert", metavar="FILE", help="Certificate chain (PEM). Repeat, as --tls-key, for more."),
    ] = None,
    tls_key: Annotated[
        list[Path] | None, typer.Option("--tls-key", metavar="FILE", help="Its private key (PEM).")
    ] = None,
    acme: Annotated[
        str,
        typer.Option(
            "--acme",
            metavar="MAIL",
            help="Ask Let's Encrypt for a certificate of each published host, as this mail address; "
            "accepts its terms of service. The HTTP port must be reached as port 80.",
        ),
    ] = "",
    acme_server: Annotated[
        str | None,
        typer.Option("--acme-server", metavar="URL", help="Another ACME directory; accepts its terms."),
    ] = None,
    acme_ca: Annotated[
        Path | None,
        typer.Option("--acme-ca", metavar="FILE", help="Who signed that server's own certificate (PEM), if private."),
    ] = None,
    acme_folder: Annotated[
        Path | None,
        typer.Option("--acme-folder", metavar="FOLDER", help="Where account key and certificates are kept, mode 0600."),
    ] = None,
    acme_weekly: Annotated[
        int | None,
        typer.Option("--acme-weekly", metavar="N", min=1, help="New certificates in a week at most. Default: 45."),
    ] = None,
    tcp_ports: Annotated[
        str | None, typer.Option("--tcp-ports", metavar="A-B", help="TCP ports that may be published.")
    ] = None,
    udp_ports: Annotated[
        str | None, typer.Option("--udp-ports", metavar="A-B", help="UDP ports that may be published.")
    ] = None,
    port_listen: Annotated[
        list[str] | None,
        typer.Option("--port-listen", metavar="IP", help="Where to open these ports. Default: all."),
    ] = None,
    front: Annotated[
        list[str] | None,
        typer.Option("--front", metavar="NETWORK", help="Believe the proxies in this network about visitors. Repeat."),
    ] = None,
    proxy_protocol: Annotated[
        bool,
        typer.Option("--proxy-protocol", help="They begin each connection with a PROXY header, v1 or v2."),
    ] = False,
    https_port: Annotated[
        int | None, typer.Option("--https-port", metavar="PORT", help="Where proxies in front take HTTPS, for URLs.")
    ] = None,
    custom_hosts: Annotated[
        bool, typer.Option("--custom-hosts", help="Publishers may bring host names outside the domain.")
    ] = False,
    no_redirect: Annotated[
        bool, typer.Option("--no-redirect", help="Serve visitors without TLS instead of sending them to HTTPS.")
    ] = False,
    balance: Annotated[
        str, typer.Option("--balance", metavar="HOW", help="least-connections, round-robin, rtt, cookie or address.")
    ] = "least-connections",
    shared_secret: Annotated[
        str,
        typer.Option(
            "--shared-secret",
            envvar="P2P_GATEWAY_SECRET",
            metavar="TEXT",
            help="The same for all gateways behind one name: each takes cookies and logins of the others.",
            show_envvar=True,
        ),
    ] = "",
    control: Annotated[
        Path | None,
        typer.Option("--control", metavar="PATH", help="Socket for `p2p gateway status`. Default: where it looks."),
    ] = None,
    error_pages: Annotated[
        Path | None,
        typer.Option("--error-pages", metavar="FOLDER", help="Your own pages: offline.html, 503.html, error.html, ..."),
    ] = None,
    audit: Annotated[
        Path | None,
        typer.Option("--audit", metavar="FILE", help="Append a line of JSON for each visit; SIGHUP opens it anew."),
    ] = None,
    allow: Annotated[
        list[str] | None, typer.Option("--allow", metavar="PEER", help="Only this peer may publish. Repeat.")
    ] = None,
    metrics: flags.Metrics = None,
    *,
    shared: flags.PeerFlags,
) -> None:
    """Give services a public URL or port, for people who have no client.

    Publishers (`p2p expose --public`) reach the gateway as a peer, with the ticket it prints, and keep a session open;
    visitors' requests travel through it. The gateway sees HTTP in clear, as any web server in front would; TLS that is
    passed through, and TCP ports, it does not look into.
    """
    if context.invoked_subcommand is not None:
        return
    from p2p.cli.problems import reporting

    with reporting(as_json=shared.as_json, verbose=shared.verbose):
        import asyncio
        from contextlib import AsyncExitStack
        from dataclasses import replace

        from p2p.cli.expose import resolve_peers
        from p2p.cli.output import choose_output
        from p2p.cli.runner import run_peer
        from p2p.observe import log
        from p2p.parse import parse_listen

        metrics_address = None if metrics is None else parse_listen(metrics)
        config = _config(
            domain=domain.lower(),
            http=http,
            https=https,
            certificates=list(zip(tls_cert or [], tls_key or [], strict=False)),
            acme=_acme(acme, acme_server, acme_ca, acme_folder, acme_weekly),
            pairs_match=len(tls_cert or []) == len(tls_key or []),
            ports={"tcp": tcp_ports, "udp": udp_ports},
            port_listen=port_listen,
            fronts=front or [],
            proxy_protocol=proxy_protocol,
            https_port=https_port,
            custom_hosts=custom_hosts,
            redirect=not no_redirect,
            balance=balance,
            shared_secret=shared_secret,
            error_pages=error_pages,
        )
        peer = shared.options()
        log.set_up(verbose=peer.verbose, log_file=shared.log_file)
        config = replace(config, control=gateway_control.control_path(control))
        allowed = resolve_peers(allow or [])
        # Wrong input is answered before the heavy part is imported.
        from prometheus_client import CollectorRegistry

        from gateway.audit import AuditLog
        from gateway.service import Gateway

        registry = CollectorRegistry()

        _collect_garbage_rarely()

        async def serve() -> None:
            async with AsyncExitStack() as stack:
                audit_log = None if audit is None else await stack.enter_async_context(AuditLog(audit))
                await run_peer(
                    lambda on_event: Gateway(
                        config, peer, on_event=on_event, allow=allowed, registry=registry, audit=audit_log
                    ),
                    choose_output(as_json=shared.as_json),
                    metrics_address=metrics_address,
                    registry=registry,
                    hang_up=None if audit_log is None else audit_log.reopen,
                )

        asyncio.run(serve())


def _collect_garbage_rarely() -> None:
    """Look for garbage rarely, and not among what was imported: all visitors wait for the end of each look."""
    import gc

    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS_MAX)


def _config(
    *,
    domain: str,
    http: list[str] | None,
    https: list[str] | None,
    certificates: list[tuple[Path, Path]],
    acme: AcmeOptions | None,
    pairs_match: bool,
    ports: dict[Literal["tcp", "udp"], str | None],
    port_listen: list[str] | None,
    fronts: list[str],
    proxy_protocol: bool,
    https_port: int | None,
    custom_hosts: bool,
    redirect: bool,
    balance: str,
    shared_secret: str,
    error_pages: Path | None,
) -> GatewayConfig:
    """Turn the flags into a configuration.

    Raises:
        ConfigError: A value is wrong, or two do not go together.
    """
    import ipaddress

    from gateway.config import CODE_CONTRADICTION, GatewayConfig
    from gateway.core.balance import Policy
    from gateway.ingress.tls import CertificateFiles
    from p2p.address import TransportAddress
    from p2p.errors import ConfigError
    from p2p.parse import parse_port_range, parse_public_listen

    if not pairs_match:
        raise ConfigError("each --tls-cert needs its --tls-key", code=CODE_CONTRADICTION)
    try:
        networks = tuple(ipaddress.ip_network(text, strict=False) for text in fronts)
        policy = Policy(balance)
    except ValueError as error:
        raise ConfigError(str(error), code=CODE_CONTRADICTION) from error
    everywhere = "0.0.0.0"  # noqa: S104
    wants_https = https or (["443"] if certificates or acme else [])
    wants_http = http if http is not None else ["80"]
    return GatewayConfig(
        domain=domain,
        http=tuple(parse_public_listen(text) for text in wants_http),
        https=tuple(parse_public_listen(text) for text in wants_https),
        certificates=tuple(CertificateFiles(*pair) for pair in certificates),
        acme=acme,
        port_hosts=tuple(TransportAddress.parse(text, default_port=0).host for text in port_listen or [everywhere]),
        ports={kind: parse_port_range(text) for kind, text in ports.items() if text is not None},
        fronts=networks,
        has_proxy_header=proxy_protocol,
        public_https_port=https_port,
        custom_hosts=custom_hosts,
        redirect=redirect,
        balance=policy,
        shared_secret=shared_secret,
        error_pages=error_pages,
    )


def _acme(
    email: str, server: str | None, ca: Path | None, folder: Path | None, per_week: int | None
) -> AcmeOptions | None:
    """Turn the flags of ACME into options.

    Raises:
        ConfigError: A value is wrong, or they miss ``--acme``.
    """
    import platformdirs

    from gateway.config import CODE_CONTRADICTION, AcmeOptions
    from p2p.errors import ConfigError

    chosen: dict[str, Any] = {"server": server, "ca": ca, "per_week": per_week}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    if not email:
        # A folder alone is for units of systemd, which name it for whoever adds the rest.
        if chosen:
            raise ConfigError("--acme-server, --acme-ca and --acme-weekly need --acme", code=CODE_CONTRADICTION)
        return None
    return AcmeOptions(email=email, folder=folder or platformdirs.user_state_path("p2p") / "acme", **chosen)
