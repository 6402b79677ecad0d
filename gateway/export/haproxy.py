"""Configuration of HAProxy for what a gateway publishes: pure text."""

from __future__ import annotations

from typing import Final

from gateway.export.nginx import HEAD
from gateway.export.published import Published
from p2p.address import TransportAddress

HTTP_BACKEND: Final = "p2p_gateway_http"
TLS_BACKEND: Final = "p2p_gateway_tls"


def sections(published: Published, listen: str) -> str:
    """Write a configuration file that HAProxy reads beside its own: a backend for HTTP, one for TLS, and the ports.

    Args:
        published: What there is.
        listen: The IP address on which visitors of ports come; empty leaves the ports out.
    """
    parts = [HEAD]
    if published.http:
        parts += [f"backend {HTTP_BACKEND}\n    mode http\n"]
        if published.domain:
            parts += [
                "    option httpchk\n",
                f"    http-check send meth GET uri /healthz ver HTTP/1.1 hdr Host {published.domain}\n",
            ]
        if not published.has_proxy_header:
            # Replaces what the visitor sent: its own claims must not look like ours.
            parts += [
                "    http-request set-header X-Forwarded-For %[src]\n",
                "    http-request set-header X-Forwarded-Proto https if { ssl_fc }\n",
                "    http-request set-header X-Forwarded-Proto http if !{ ssl_fc }\n",
            ]
        parts += _servers(published, published.http, "check inter 2s")
    if published.https:
        parts += [f"backend {TLS_BACKEND}\n    mode tcp\n", *_servers(published, published.https, "check inter 2s")]
    for kind, address in published.ports if listen else ():
        if kind == "tcp":  # HAProxy forwards no UDP
            name = f"p2p_gateway_tcp_{address.port}"
            parts += [
                f"frontend {name}\n    mode tcp\n    bind {TransportAddress(listen, address.port)}\n"
                f"    default_backend {name}\n",
                f"backend {name}\n    mode tcp\n",
                *_servers(published, (address,), ""),
            ]
    return "".join(parts)


def servers(published: Published) -> dict[str, TransportAddress]:
    """The servers of the backends for names, as the runtime API calls them, and where they are."""
    both = ((HTTP_BACKEND, published.http), (TLS_BACKEND, published.https))
    return {
        f"{backend}/gateway{number}": address
        for backend, addresses in both
        for number, address in enumerate(addresses, 1)
    }


def http_map(published: Published) -> dict[str, str]:
    """Which backend has a host name."""
    return dict.fromkeys(published.http_hosts, HTTP_BACKEND) if published.http else {}


def tls_map(published: Published) -> dict[str, str]:
    """Which backend has a server name whose TLS is passed through."""
    return dict.fromkeys(published.tls_hosts, TLS_BACKEND) if published.https else {}


def as_map_file(entries: dict[str, str]) -> str:
    """Write a map as HAProxy reads it."""
    return HEAD + "".join(f"{key} {value}\n" for key, value in entries.items())


def _servers(published: Published, addresses: tuple[TransportAddress, ...], check: str) -> list[str]:
    header = " send-proxy-v2" + (" check-send-proxy" if check else "") if published.has_proxy_header else ""
    tail = f" {check}" if check else ""
    return [f"    server gateway{number} {address}{header}{tail}\n" for number, address in enumerate(addresses, 1)]
