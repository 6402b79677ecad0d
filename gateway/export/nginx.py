"""Configuration of nginx for what a gateway publishes: pure text."""

from __future__ import annotations

from typing import Final

from gateway.export.published import Published
from p2p.address import TransportAddress
from p2p.errors import ConfigError, ErrorCode

CODE_EXPORT: Final = ErrorCode("P2P-1523", "Change the gateway's flags, or what is exported.")
HEAD: Final = "# Written by `p2p gateway export`: what is changed here is lost.\n"


def http_part(published: Published) -> str:
    """Write what goes into the block ``http``: an upstream, and a map from host names to it.

    ``$p2p_gateway`` is empty for hosts that are not published.

    Raises:
        ConfigError: nginx cannot speak to this gateway.
    """
    if not published.http:
        raise ConfigError("the gateway takes no HTTP without TLS, which nginx would speak to it", code=CODE_EXPORT)
    if published.has_proxy_header:
        raise ConfigError("nginx sends no PROXY header over HTTP, and this gateway expects one", code=CODE_EXPORT)
    servers = "".join(f"    server {address};\n" for address in published.http)
    return (
        f"{HEAD}upstream p2p_gateway_http {{\n{servers}    keepalive 64;\n}}\n"
        f'map $host $p2p_gateway {{\n    default "";\n{_entries(published.http_hosts, "p2p_gateway_http")}}}\n'
    )


def stream_part(published: Published, listen: str) -> str:
    """Write what goes into the block ``stream``: a server for each published port, and a map for TLS by server name.

    ``$p2p_gateway_tls`` is empty for server names that are not published.

    Args:
        published: What there is.
        listen: The IP address on which visitors come; the gateway has its ports on another one.
    """
    parts = [HEAD]
    if published.tls_hosts and published.https:
        names = _entries(published.tls_hosts, str(published.https[0]))
        parts.append(f'map $ssl_preread_server_name $p2p_gateway_tls {{\n    default "";\n{names}}}\n')
    for kind, address in published.ports:
        here = TransportAddress(listen, address.port)
        lines = [f"listen {here}{' udp' if kind == 'udp' else ''};", f"proxy_pass {address};"]
        if kind == "tcp":
            # Quiet and half-open connections live on, as they do without a proxy; the latter needs nginx 1.21.4.
            lines += ["proxy_timeout 1h;", "proxy_half_close on;"]
            if published.has_proxy_header:
                lines.append("proxy_protocol on;")
        parts.append("server {\n" + "".join(f"    {line}\n" for line in lines) + "}\n")
    return "".join(parts)


def _entries(hosts: tuple[str, ...], value: str) -> str:
    return "".join(f"    {host} {value};\n" for host in hosts)
