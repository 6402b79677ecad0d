"""The description of a UPnP router: which services it has, and where they are asked.

Source: UPnP Device Architecture 1.1 section 2.3; UPnP InternetGatewayDevice:1 and :2.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

from p2p.errors import DecodeError
from p2p.proto.portmap.xml import read_xml_untrusted

WAN_SERVICES: Final = (
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
)
"""Those that forward ports, the preferred one first."""

_MAX_URL_CHARACTERS: Final = 512
_MAX_SERVICES: Final = 6
"""A router with several lines describes each; asking more of them than this is not worth the time."""


@dataclass(frozen=True, slots=True)
class WanService:
    """A service that forwards ports.

    Attributes:
        type: Its full name, one of ``WAN_SERVICES``.
        control_url: Where it is asked; on the router itself.
    """

    type: str
    control_url: str

    @property
    def picks_ports(self) -> bool:
        """Whether it can choose a free outside port itself (``AddAnyPortMapping``)."""
        return self.type == WAN_SERVICES[0]

    @property
    def igd_version(self) -> int:
        """The version of InternetGatewayDevice that has it: the second service of its kind came with the second."""
        return 2 if self.type == WAN_SERVICES[0] else 1


def url_on_host_untrusted(url: str, host: str) -> str:
    """Make sure that a URL leads to the router that named it, and nowhere else.

    Whoever answers a search could else have us send requests to any host that we reach, and it does not.

    Args:
        url: What the router says.
        host: The router's IP address, from which it said so.

    Returns:
        The URL, put together anew from its parts, so that no two readers take it for different ones.

    Raises:
        DecodeError: It leads elsewhere, by name, or is no ``http`` URL.
    """
    if len(url) > _MAX_URL_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url:
        raise DecodeError("no URL of a router")
    try:
        parts = urlsplit(url)
        port = parts.port or 80
        is_here = ipaddress.ip_address(parts.hostname or "") == ipaddress.ip_address(host)
    except ValueError as error:
        raise DecodeError(f"no URL of a router: {error}") from error
    if parts.scheme != "http" or not is_here or "@" in parts.netloc or "\\" in url:
        raise DecodeError(f"a URL that does not lead to the router {host}")
    literal = f"[{host}]" if ":" in host else host
    path = parts.path if parts.path.startswith("/") else f"/{parts.path}"
    return f"http://{literal}:{port}{path}" + (f"?{parts.query}" if parts.query else "")


def decode_description_untrusted(data: bytes, *, location: str, host: str) -> tuple[WanService, ...]:
    """Read which services forward ports.

    Args:
        data: The description.
        location: The URL it was fetched from.
        host: The router's IP address; services elsewhere are left out.

    Returns:
        The services, the preferred ones first; at most six.

    Raises:
        DecodeError: It is no XML, or none of its services forwards ports on this host.
    """
    root = read_xml_untrusted(data)
    base_element = root.first("URLBase")
    base = location if base_element is None or not base_element.text else base_element.text
    found = []
    for element in root.walk():
        service_type = element.child_text("serviceType") if element.name == "service" else ""
        if service_type not in WAN_SERVICES:
            continue
        try:
            control_url = url_on_host_untrusted(urljoin(base, element.child_text("controlURL")), host)
        except (DecodeError, ValueError):
            continue
        found.append(WanService(service_type, control_url))
    if not found:
        raise DecodeError("a description without a service on the router that forwards ports")
    return tuple(sorted(found, key=lambda service: WAN_SERVICES.index(service.type))[:_MAX_SERVICES])
