r"""The PROXY protocol, versions 1 and 2: who the client is, in front of a forwarded connection's first byte.

Version 1 is a line of text, ``PROXY TCP4 198.51.100.7 203.0.113.9 52110 443\r\n``. Version 2 is binary::

    0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a | version 2 and command (1 byte) | family and transport (1) | length (2)
    | source address | destination address | source port | destination port | TLVs, which are skipped here

Source: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final, NamedTuple

from p2p.address import TransportAddress
from p2p.errors import DecodeError

V1_MAX_BYTES: Final = 107
"""The longest line of version 1, its end included."""
HEADER_MAX_BYTES: Final = 2048
"""The longest header taken here; addresses need 52 bytes, the rest is TLVs."""

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V1_START: Final = b"PROXY "
_FIXED: Final = struct.Struct("!12sBBH")
_PORTS: Final = struct.Struct("!HH")
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_FAMILIES: Final = {0x1: 4, 0x2: 16}
_STREAM: Final = 0x1
_DATAGRAM: Final = 0x2
_MAX_PORT: Final = 65_535


class ProxyHeader(NamedTuple):
    """What a PROXY header says.

    Attributes:
        source: The client; None when the header does not tell: a health check of the proxy itself, or a family
            that has no IP addresses.
        destination: The address that the client connected to; None together with ``source``.
    """

    source: TransportAddress | None = None
    destination: TransportAddress | None = None


def encode_v1(header: ProxyHeader) -> bytes:
    """Write the line of version 1; addresses of two families, which it cannot tell, become ``UNKNOWN``."""
    source, destination = header
    if source is None or destination is None or source.is_ipv6 != destination.is_ipv6:
        return b"PROXY UNKNOWN\r\n"
    family = "TCP6" if source.is_ipv6 else "TCP4"
    return f"PROXY {family} {source.host} {destination.host} {source.port} {destination.port}\r\n".encode()


def encode_v2(header: ProxyHeader, *, is_datagram: bool = False) -> bytes:
    """Write version 2; of two families the IPv4 address is written as IPv4-mapped IPv6.

    Args:
        header: The addresses.
        is_datagram: Whether the client speaks UDP rather than TCP.
    """
    source, destination = header
    if source is None or destination is None:
        return _FIXED.pack(_SIGNATURE, _LOCAL, 0, 0)
    family, size = (0x2, 16) if source.is_ipv6 or destination.is_ipv6 else (0x1, 4)
    body = b"".join(_packed(address, size) for address in header if address) + _PORTS.pack(
        source.port, destination.port
    )
    transport = _DATAGRAM if is_datagram else _STREAM
    return _FIXED.pack(_SIGNATURE, _PROXY, family << 4 | transport, len(body)) + body


def header_length_untrusted(data: bytes) -> int | None:
    """Tell how long the header is with which a connection begins.

    Args:
        data: The first bytes of the connection, as many as there are.

    Returns:
        The length in bytes, or None when more bytes are needed to tell.

    Raises:
        DecodeError: The connection does not begin with a PROXY header, or with one that is too long.
    """
    if data.startswith(_V1_START[: len(data)]):
        end = data.find(b"\n", 0, V1_MAX_BYTES)
        if end < 0 and len(data) >= V1_MAX_BYTES:
            raise DecodeError("a PROXY line without an end")
        return end + 1 if end >= 0 else None
    if not data.startswith(_SIGNATURE[: len(data)]):
        raise DecodeError("no PROXY header")
    if len(data) < _FIXED.size:
        return None
    length: int = _FIXED.size + _FIXED.unpack_from(data)[3]
    if length > HEADER_MAX_BYTES:
        raise DecodeError(f"a PROXY header of {length} bytes")
    return length


def decode_untrusted(data: bytes) -> ProxyHeader:
    """Read a whole header, of either version.

    Args:
        data: As many bytes as ``header_length_untrusted`` told.

    Raises:
        DecodeError: It is no PROXY header.
    """
    if header_length_untrusted(data) != len(data):
        raise DecodeError("a PROXY header that is cut short, or bytes follow it")
    return _decode_v1(data) if data.startswith(_V1_START) else _decode_v2(data)


def _decode_v1(data: bytes) -> ProxyHeader:
    try:
        words = data.decode("ascii").removesuffix("\r\n").split(" ")
    except UnicodeDecodeError as error:
        raise DecodeError("a PROXY line that is not ASCII") from error
    if not data.endswith(b"\r\n"):
        raise DecodeError("a PROXY line without carriage return")
    if words[1] == "UNKNOWN":
        return ProxyHeader()
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise DecodeError("a PROXY line of another form")
    hosts, ports = words[2:4], words[4:6]
    addresses = [_address_of_text(host, port, words[1]) for host, port in zip(hosts, ports, strict=True)]
    return ProxyHeader(*addresses)


def _address_of_text(host: str, port: str, family: str) -> TransportAddress:
    try:
        address = ipaddress.ip_address(host)
    except ValueError as error:
        raise DecodeError("a PROXY line with something else than an address") from error
    if address.version != (6 if family == "TCP6" else 4) or "%" in host:
        raise DecodeError("a PROXY line with an address of another family")
    if not port.isdigit() or not port.isascii() or len(port) > 5 or int(port) > _MAX_PORT:
        raise DecodeError("a PROXY line with something else than a port")
    return _unmapped(address, int(port))


def _decode_v2(data: bytes) -> ProxyHeader:
    _, command, family_and_transport, length = _FIXED.unpack_from(data)
    if command == _LOCAL:
        return ProxyHeader()
    if command != _PROXY:
        raise DecodeError(f"a PROXY header of version and command {command:#04x}")
    size = _FAMILIES.get(family_and_transport >> 4)
    if size is None:
        # Unix sockets and what is unspecified: a receiver takes the connection and knows no address.
        return ProxyHeader()
    if length < 2 * size + _PORTS.size:
        raise DecodeError("a PROXY header without room for its addresses")
    start = _FIXED.size
    hosts = [ipaddress.ip_address(data[at : at + size]) for at in (start, start + size)]
    ports = _PORTS.unpack_from(data, start + 2 * size)
    return ProxyHeader(*(_unmapped(host, port) for host, port in zip(hosts, ports, strict=True)))


def _unmapped(host: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> TransportAddress:
    mapped = host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None
    return TransportAddress(str(mapped or host), port)


def _packed(address: TransportAddress, size: int) -> bytes:
    packed = address.ip.packed
    return packed if len(packed) == size else b"\0" * 10 + b"\xff\xff" + packed
