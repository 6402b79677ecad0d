"""``p2p gateway export``: configuration of the proxies in front of a gateway."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from p2p.cli import flags
from p2p.cli.gateway_control import Socket, query

if TYPE_CHECKING:
    from gateway.export.keep import Export

Listen = Annotated[
    str,
    typer.Option(
        "--listen",
        metavar="IP",
        help="Where the proxy takes visitors of ports; the gateway's --port-listen is another.",
    ),
]
Watch = Annotated[bool, typer.Option("--watch", help="Go on, and write again whenever names or ports have changed.")]
Every = Annotated[str, typer.Option("--every", metavar="TIME", help="How often to look.")]
Then = Annotated[
    str, typer.Option("--then", metavar="COMMAND", help="Run this when the proxy has to read its files again.")
]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Write what a gateway on this machine publishes as configuration of the proxy in front of it.

    Files are replaced as a whole, and only when something has changed. Run it as the gateway's user, or as root with
    --socket.
    """,
    epilog=flags.examples(
        "p2p gateway export nginx --http /etc/nginx/conf.d/p2p.conf --watch --then 'nginx -s reload'",
        "p2p gateway export haproxy --config /etc/haproxy/p2p.cfg --map /etc/haproxy/p2p-hosts.map \\",
        "    --runtime /run/haproxy.sock --watch --then 'systemctl reload haproxy'",
        "",
        "deploy/nginx-export.conf and deploy/haproxy-export.cfg use these files.",
    ),
)


@app.command()
def nginx(
    http: Annotated[
        Path | None,
        typer.Option("--http", metavar="FILE", help="For the block http: an upstream, and $p2p_gateway by host name."),
    ] = None,
    stream: Annotated[
        Path | None,
        typer.Option("--stream", metavar="FILE", help="For the block stream: ports, and $p2p_gateway_tls by SNI."),
    ] = None,
    listen: Listen = "",
    watch: Watch = False,
    every: Every = "1s",
    then: Then = "",
    socket: Socket = None,
) -> None:
    """Files for nginx to include."""
    from p2p.cli.problems import reporting

    with reporting(as_json=False, verbose=False):
        from gateway.export.keep import NginxFiles
        from gateway.export.nginx import CODE_EXPORT
        from p2p.errors import ConfigError

        if http is None and stream is None:
            raise ConfigError("neither --http nor --stream names a file", code=CODE_EXPORT)
        if stream is not None and not listen:
            raise ConfigError("--stream needs --listen, the address on which visitors come", code=CODE_EXPORT)
        _keep(NginxFiles(http=http, stream=stream, listen=listen), socket, watch=watch, every=every, then=then)


@app.command()
def haproxy(
    config: Annotated[
        Path, typer.Option("--config", metavar="FILE", help="Backends, and ports with --listen; for haproxy -f.")
    ],
    hosts: Annotated[
        Path | None, typer.Option("--map", metavar="FILE", help="A map from host names to their backend.")
    ] = None,
    tls_hosts: Annotated[
        Path | None, typer.Option("--tls-map", metavar="FILE", help="The same by SNI, for TLS that is passed through.")
    ] = None,
    runtime: Annotated[
        Path | None,
        typer.Option("--runtime", metavar="SOCKET", help="Tell HAProxy here (stats socket, level admin) of new names."),
    ] = None,
    listen: Listen = "",
    watch: Watch = False,
    every: Every = "1s",
    then: Then = "",
    socket: Socket = None,
) -> None:
    """Files for HAProxy, which hears of new names without a reload."""
    from p2p.cli.problems import reporting

    with reporting(as_json=False, verbose=False):
        from gateway.export.keep import HaproxyFiles
        from gateway.export.runtime import HaproxyRuntime

        api = None if runtime is None else HaproxyRuntime(runtime)
        files = HaproxyFiles(config=config, hosts=hosts, tls_hosts=tls_hosts, listen=listen, runtime=api)
        _keep(files, socket, watch=watch, every=every, then=then)


def _keep(export: Export, socket: Path | None, *, watch: bool, every: str, then: str) -> None:
    from gateway.export.keep import Keeper
    from gateway.export.published import Published
    from p2p.parse import parse_duration

    keeper = Keeper(
        export,
        lambda: Published.of_status(query(socket, "status")),
        then=then,
        tell=lambda text: typer.echo(text, err=True),
    )
    if watch:
        keeper.watch(parse_duration(every))
    keeper.look()
