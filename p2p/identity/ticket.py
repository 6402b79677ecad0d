r"""Tickets: one line of text that a person passes on, and that is all the other side needs to reach a service.

The text is ``p2p1`` and lower-case base32 (RFC 4648 section 6, no padding) of::

    version (1 byte, 1) | peer id (32) | secret (16) | expiry, Unix seconds, 0 for never (5)
    | number of URLs (1) | each: scheme (1; 0 ws, 1 wss) length (1) the rest of the URL
    | length (1) service name
    | number of direct addresses (1) | each: family (1; 4, 6) address (4, 16) port (2)
    | checksum: the first 4 bytes of SHA-256 over "p2p ticket\0" and all of the above

Numbers are big-endian. One ticket has one spelling. The checksum finds typing errors; it is no protection, and
needs none: who holds a ticket holds its secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import struct
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from p2p.address import TransportAddress
from p2p.errors import ErrorCode, IdentityError
from p2p.identity.errors import (
    CODE_TICKET_CHECKSUM,
    CODE_TICKET_EXPIRED,
    CODE_TICKET_MALFORMED,
    CODE_TICKET_VERSION,
)
from p2p.identity.peer_id import PUBLIC_KEY_BYTES, PeerId
from p2p.proto.signalling.names import is_service_name

TICKET_PREFIX: Final = "p2p1"
TICKET_MAX_CHARACTERS: Final = 4096
SECRET_BYTES: Final = 16
MAX_URLS: Final = 8
MAX_DIRECT_ADDRESSES: Final = 16

_VERSION: Final = 1
_CHECKSUM_BYTES: Final = 4
_CHECKSUM_CONTEXT: Final = b"p2p ticket\0"
_EXPIRY_BYTES: Final = 5
_PORT: Final = struct.Struct("!H")
_SCHEMES: Final = ("ws://", "wss://")
_URL_MAX_BYTES: Final = 255
_ADDRESS_BYTES: Final = {4: 4, 6: 16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A capability for one service of one peer.

    The text form holds the secret, so it has its own method and ``str`` does not give it away.

    Raises:
        IdentityError: A field has a value that no ticket can carry.
    """

    peer_id: PeerId
    """Who offers the service."""
    service: str
    """Which of its services."""
    secret: bytes = field(repr=False)
    """16 random bytes, proven inside the connection and never shown to a server."""
    rendezvous_urls: tuple[str, ...] = ()
    """Where the peer is found: ``wss://`` or ``ws://`` URLs, the first one tried first."""
    expires_wall: int | None = None
    """Unix seconds after which the exposer refuses it; None for never."""
    direct_addresses: tuple[TransportAddress, ...] = ()
    """Where the peer's socket was when the ticket was made; works without any rendezvous."""

    def __post_init__(self) -> None:
        if len(self.secret) != SECRET_BYTES:
            raise _malformed(f"the secret has {SECRET_BYTES} bytes, not {len(self.secret)}")
        if not is_service_name(self.service):
            raise _malformed(f"not a service name: {self.service!r}")
        if self.expires_wall is not None and not 0 < self.expires_wall < 1 << (8 * _EXPIRY_BYTES):
            raise _malformed(f"expiry out of range: {self.expires_wall}")
        if len(self.rendezvous_urls) > MAX_URLS:
            raise _malformed(f"at most {MAX_URLS} rendezvous URLs")
        if len(self.direct_addresses) > MAX_DIRECT_ADDRESSES:
            raise _malformed(f"at most {MAX_DIRECT_ADDRESSES} direct addresses")
        for url in self.rendezvous_urls:
            _check_url(url)
        for address in self.direct_addresses:
            _check_address(address)

    def check_expiry(self, *, now_wall: float) -> None:
        """Refuse the ticket after its time.

        Args:
            now_wall: The present, in Unix seconds.

        Raises:
            IdentityError: The ticket has expired.
        """
        if self.expires_wall is not None and now_wall >= self.expires_wall:
            raise IdentityError(
                f"the ticket expired {now_wall - self.expires_wall:.0f} s ago", code=CODE_TICKET_EXPIRED
            )

    def encode(self) -> str:
        """Write the ticket as text. The text holds the secret: whoever reads it can use the service."""
        parts = [
            bytes([_VERSION]),
            self.peer_id.public_key,
            self.secret,
            (self.expires_wall or 0).to_bytes(_EXPIRY_BYTES, "big"),
            bytes([len(self.rendezvous_urls)]),
        ]
        for url in self.rendezvous_urls:
            scheme, rest = _split_url(url)
            encoded = rest.encode()
            parts.append(bytes([scheme, len(encoded)]) + encoded)
        service = self.service.encode()
        parts.append(bytes([len(service)]) + service)
        parts.append(bytes([len(self.direct_addresses)]))
        for address in self.direct_addresses:
            parts.append(bytes([address.ip.version]) + address.ip.packed + _PORT.pack(address.port))
        content = b"".join(parts)
        return TICKET_PREFIX + base64.b32encode(content + _checksum(content)).decode("ascii").rstrip("=").lower()

    @classmethod
    def parse(cls, text: str) -> Ticket:
        """Read a ticket as a person gives it: blanks and line breaks are dropped, upper case is forgiven.

        Args:
            text: Up to 4,096 characters.

        Raises:
            IdentityError: It is no ticket, has a typing error, or needs a newer program.
        """
        if len(text) > TICKET_MAX_CHARACTERS:
            raise _malformed(f"longer than {TICKET_MAX_CHARACTERS} characters")
        cleaned = "".join(text.split()).lower()
        if cleaned[:3] == TICKET_PREFIX[:3] and cleaned[3:4].isdigit() and cleaned[3] != TICKET_PREFIX[3]:
            raise _malformed(f"it is of kind {cleaned[:4]!r}", code=CODE_TICKET_VERSION)
        if not cleaned.startswith(TICKET_PREFIX):
            raise _malformed(f"it does not start with {TICKET_PREFIX!r}")
        encoded = cleaned.removeprefix(TICKET_PREFIX)
        try:
            raw = base64.b32decode(encoded.upper() + "=" * (-len(encoded) % 8))
        except (binascii.Error, ValueError) as error:
            raise _malformed(
                "it has a character or a length that base32 does not have", code=CODE_TICKET_CHECKSUM
            ) from error
        content, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
        if checksum != _checksum(content):
            raise _malformed("its checksum does not match: there is a typing error", code=CODE_TICKET_CHECKSUM)
        ticket = _decode(content)
        # Spare bits of the last character are outside the checksum; a second spelling must not pass.
        if ticket.encode() != cleaned:
            raise _malformed("it is not in its one valid spelling", code=CODE_TICKET_CHECKSUM)
        return ticket


class _Reader:
    """Takes pieces off the front of a ticket's content."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._offset = 0

    def take(self, count: int) -> bytes:
        piece = self._content[self._offset : self._offset + count]
        if len(piece) < count:
            raise _malformed("it ends too early")
        self._offset += count
        return piece

    def byte(self) -> int:
        return self.take(1)[0]

    def text(self) -> str:
        try:
            return self.take(self.byte()).decode()
        except UnicodeDecodeError as error:
            raise _malformed("it holds text that is not UTF-8") from error

    def finish(self) -> None:
        if self._offset != len(self._content):
            raise _malformed("it has bytes after its end")


def _decode(content: bytes) -> Ticket:
    reader = _Reader(content)
    version = reader.byte()
    if version != _VERSION:
        raise _malformed(f"version {version} is not known here", code=CODE_TICKET_VERSION)
    peer_id = PeerId(reader.take(PUBLIC_KEY_BYTES))
    secret = reader.take(SECRET_BYTES)
    expiry = int.from_bytes(reader.take(_EXPIRY_BYTES), "big")
    urls = []
    for _ in range(reader.byte()):
        scheme = reader.byte()
        if scheme >= len(_SCHEMES):
            raise _malformed(f"unknown URL scheme {scheme}")
        urls.append(_SCHEMES[scheme] + reader.text())
    service = reader.text()
    addresses = []
    for _ in range(reader.byte()):
        family = reader.byte()
        if family not in _ADDRESS_BYTES:
            raise _malformed(f"unknown address family {family}")
        host = ipaddress.ip_address(reader.take(_ADDRESS_BYTES[family]))
        addresses.append(TransportAddress(str(host), _PORT.unpack(reader.take(_PORT.size))[0]))
    reader.finish()
    return Ticket(
        peer_id=peer_id,
        service=service,
        secret=secret,
        rendezvous_urls=tuple(urls),
        expires_wall=expiry or None,
        direct_addresses=tuple(addresses),
    )


def _split_url(url: str) -> tuple[int, str]:
    for number, scheme in enumerate(_SCHEMES):
        if url.startswith(scheme):
            return number, url.removeprefix(scheme)
    raise _malformed(f"a rendezvous URL starts with ws:// or wss://, not {url!r}")


def _check_url(url: str) -> None:
    _, rest = _split_url(url)
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and parts.port != 0 and parts.username is None
    except ValueError:
        valid = False
    if not valid or not url.isprintable() or any(character.isspace() for character in url):
        raise _malformed(f"not a rendezvous URL: {url!r}")
    try:
        size = len(rest.encode())
    except UnicodeEncodeError as error:
        raise _malformed(f"not a rendezvous URL: {url!r}") from error
    if size > _URL_MAX_BYTES:
        raise _malformed(f"a rendezvous URL is longer than {_URL_MAX_BYTES} bytes")


def _check_address(address: TransportAddress) -> None:
    try:
        canonical = str(address.ip) == address.host and "%" not in address.host
    except ValueError:
        canonical = False
    if not canonical or not 0 < address.port <= 65535:
        raise _malformed(f"not a direct address: {address}")


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(_CHECKSUM_CONTEXT + content).digest()[:_CHECKSUM_BYTES]


def _malformed(detail: str, *, code: ErrorCode = CODE_TICKET_MALFORMED) -> IdentityError:
    return IdentityError(f"not a usable ticket: {detail}", code=code)
