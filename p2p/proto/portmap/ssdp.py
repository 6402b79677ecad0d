"""SSDP: finding the description of a UPnP router.

A search is one datagram to a group, or to the router itself; each answer names a URL, the LOCATION.

Source: UPnP Device Architecture 1.1, sections 1.3.2 and 1.3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from p2p.address import TransportAddress
from p2p.errors import DecodeError

SSDP_GROUP: Final = TransportAddress("239.255.255.250", 1900)
SEARCH_TARGETS: Final = (
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
)
"""Every version must answer to the first one, and some routers answer only to their own."""

_MAX_BYTES: Final = 2048
_MAX_SECONDS: Final = 1
"""How long devices may spread their answers over; the least that is allowed."""


@dataclass(frozen=True, slots=True)
class SsdpAnswer:
    """What a device says of itself.

    Attributes:
        location: The URL of its description, by its own word.
        target: What of the search it answers.
    """

    location: str
    target: str

    @property
    def is_gateway(self) -> bool:
        """Whether it says that it is a router."""
        return ":InternetGatewayDevice:" in self.target


def encode_search(target: str, destination: TransportAddress) -> bytes:
    """Write a search.

    Args:
        target: What to look for.
        destination: The group, or one device's address.
    """
    wait = f"MX: {_MAX_SECONDS}\r\n" if destination == SSDP_GROUP else ""
    return (
        f'M-SEARCH * HTTP/1.1\r\nHOST: {destination}\r\nMAN: "ssdp:discover"\r\n{wait}ST: {target}\r\n\r\n'
    ).encode()


def decode_answer_untrusted(data: bytes) -> SsdpAnswer:
    """Read an answer to a search.

    Args:
        data: The datagram.

    Raises:
        DecodeError: It is no answer with a location.
    """
    if len(data) > _MAX_BYTES:
        raise DecodeError("an SSDP answer of more than 2 KiB")
    status, *lines = data.decode("latin-1").split("\r\n")
    words = status.split()
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or words[1] != "200":
        raise DecodeError("no SSDP answer")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip())
    location = headers.get("location", "")
    if not location:
        raise DecodeError("an SSDP answer without a location")
    return SsdpAnswer(location, headers.get("st", ""))
