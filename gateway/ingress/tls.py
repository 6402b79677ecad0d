"""TLS: certificates by host name, taken anew without a restart, and the name a visitor asks for."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509

from gateway.ingress.opening import ALPN
from p2p.aio.first_bytes import peek
from p2p.errors import ConfigError, DecodeError, ErrorCode

CODE_CERTIFICATE: Final = ErrorCode("P2P-1502", "Give a certificate chain and its private key, both in PEM files.")

_HELLO_MAX_BYTES: Final = 16_384 + 5
"""One TLS record; no client hello is larger."""
_CONTEXTS_MAX: Final = 1024
"""Services whose visitors show certificates, before all contexts are made anew."""

_UNRECOGNIZED_NAME: Final = bytes([21, 3, 3, 0, 2, 2, 112])
"""A fatal alert (RFC 8446 section 6, RFC 6066 section 3)."""


class CertificateFiles(NamedTuple):
    """A certificate chain and its private key, both PEM."""

    chain: Path
    key: Path


class _Entry(NamedTuple):
    """A certificate that is in use."""

    files: CertificateFiles
    names: frozenset[str]
    ends: float
    context: ssl.SSLContext


class Certificates:
    """The certificates of a gateway: those of its operator, and those that it has asked for itself.

    Args:
        files: The operator's; the first one serves the names that no certificate has.
        default: Whose issued certificate does so when there are no files.

    Raises:
        ConfigError: A file cannot be read or does not fit the other.
    """

    def __init__(self, files: Sequence[CertificateFiles], default: str = "") -> None:
        self._files = tuple(files)
        self._default = default
        self._written = _written(self._files)
        self._given = [_entry(pair) for pair in self._files]
        self._issued: dict[str, _Entry] = {}
        self._for_clients: dict[tuple[CertificateFiles, str], ssl.SSLContext] = {}

    def of(self, name: str | None) -> ssl.SSLContext | None:
        """What a new connection uses.

        Args:
            name: The host name that it asks for, in lower case.

        Returns:
            The context, with the default certificate for a name that none has; None when there is no certificate.
        """
        entry = self._find(name)
        return None if entry is None else entry.context

    def covers(self, name: str) -> bool:
        """Whether a certificate of the operator's has the name."""
        return self._given_for(name) is not None

    def take(self, name: str, files: CertificateFiles) -> None:
        """Use a certificate that was issued for a name from now on.

        Raises:
            ConfigError: The files cannot be read.
        """
        self._issued[name] = _entry(files)
        self._for_clients.clear()

    def ends(self) -> dict[str, float]:
        """When the operator's certificates end, in seconds since 1970, by their names."""
        return {", ".join(sorted(entry.names)) or str(entry.files.chain): entry.ends for entry in self._given}

    def for_clients(self, name: str, authorities: str) -> ssl.SSLContext | None:
        """What a new connection uses whose visitor must show a certificate.

        Args:
            name: The host name that it asks for, in lower case.
            authorities: Certificates (PEM) of those who sign the visitors'.

        Returns:
            As ``of``.

        Raises:
            ConfigError: A file cannot be read.
        """
        entry = self._find(name)
        if entry is None:
            return None
        context = self._for_clients.get((entry.files, authorities))
        if context is None:
            # One of its own: a context asks all of its visitors, or none.
            context = _context(entry.files)
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=authorities)
            if len(self._for_clients) >= _CONTEXTS_MAX:
                self._for_clients.clear()
            self._for_clients[entry.files, authorities] = context
        return context

    def reload_if_changed(self) -> None:
        """Read the operator's files again if they were written; connections that are open keep what they have.

        Raises:
            ConfigError: A file is wrong; nothing has changed then.
        """
        written = _written(self._files)
        if written != self._written:
            self._written = written
            self._given = [_entry(pair) for pair in self._files]
            self._for_clients.clear()

    def _find(self, name: str | None) -> _Entry | None:
        if name is not None and (entry := self._given_for(name) or self._issued.get(name)) is not None:
            return entry
        return self._given[0] if self._given else self._issued.get(self._default)

    def _given_for(self, name: str) -> _Entry | None:
        for wanted in (name, "*." + name.partition(".")[2]):
            for entry in self._given:
                if wanted in entry.names:
                    return entry
        return None


def _entry(files: CertificateFiles) -> _Entry:
    context = _context(files)
    try:
        certificate = x509.load_pem_x509_certificate(files.chain.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{files.chain}: {error}", code=CODE_CERTIFICATE) from error
    return _Entry(files, _names_of(certificate), certificate.not_valid_after_utc.timestamp(), context)


def _context(files: CertificateFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(ALPN)
    try:
        context.load_cert_chain(files.chain, files.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{files.chain} and {files.key}: {error}", code=CODE_CERTIFICATE) from error
    return context


def _names_of(certificate: x509.Certificate) -> frozenset[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(name.lower() for name in names.get_values_for_type(x509.DNSName))


def _written(files: Sequence[CertificateFiles]) -> list[int]:
    """When the files were written; 0 for what is not there, as in the middle of a renewal."""
    return [path.stat().st_mtime_ns if path.exists() else 0 for pair in files for path in pair]


async def server_name(sock: socket.socket) -> str | None:
    """Find out which host name a visitor's TLS hello asks for, without taking a byte.

    Args:
        sock: Non-blocking.

    Returns:
        The name in lower case, or None without one.

    Raises:
        DecodeError: It is no TLS, or ended before its hello was whole.
        OSError: The connection was reset.
    """
    data = b""
    while True:
        data = await peek(sock, _HELLO_MAX_BYTES, len(data))
        hello = _Hello()
        if hello.read(data):
            return hello.name
        if len(data) >= _HELLO_MAX_BYTES:
            raise DecodeError("a TLS hello without an end")


def refuse(sock: socket.socket) -> None:
    """Tell a visitor whose hello was read in advance that there is no certificate for that name; closes the socket."""
    with contextlib.suppress(OSError):
        # What was not taken would turn the end of the connection into a reset, which can overtake the alert.
        sock.recv(_HELLO_MAX_BYTES)
        sock.send(_UNRECOGNIZED_NAME)
    sock.close()


class _Hello:
    """Lets the TLS library read a client hello: it tells the name before it wants a certificate."""

    def __init__(self) -> None:
        self.name: str | None = None
        self._was_asked = False

    def read(self, data: bytes) -> bool:
        """Read the first bytes of a connection.

        Returns:
            Whether the hello was whole.

        Raises:
            DecodeError: It is none.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sni_callback = self._take
        incoming = ssl.MemoryBIO()
        incoming.write(data)
        connection = context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True)
        try:
            with contextlib.suppress(ssl.SSLWantReadError):
                connection.do_handshake()
        except ssl.SSLError as error:
            if not self._was_asked:
                raise DecodeError(f"not a TLS hello: {error.reason}") from error
        return self._was_asked

    def _take(self, connection: object, name: str | None, context: ssl.SSLContext) -> int:
        self._was_asked = True
        self.name = name.lower().rstrip(".") if name else None
        return ssl.AlertDescription.ALERT_DESCRIPTION_INTERNAL_ERROR
