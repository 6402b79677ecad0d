"""TLS: certificates by host name, read again without a restart, and the name a visitor asks for."""

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


class CertificateFiles(NamedTuple):
    """A certificate chain and its private key, both PEM."""

    chain: Path
    key: Path


class Certificates:
    """The certificates of a gateway.

    Args:
        files: The first one serves the names that none of the others has.

    Raises:
        ConfigError: A file cannot be read or does not fit the other.
    """

    def __init__(self, files: Sequence[CertificateFiles]) -> None:
        self._files = tuple(files)
        self._written = _written(self._files)
        self._contexts = self._load()
        self._for_clients: dict[tuple[CertificateFiles, str], ssl.SSLContext] = {}

    @property
    def context(self) -> ssl.SSLContext:
        """What new connections use."""
        return self._contexts[0][1]

    def for_clients(self, name: str, authorities: str) -> ssl.SSLContext:
        """What a new connection uses whose visitor must show a certificate.

        Args:
            name: The host name that it asks for, in lower case.
            authorities: Certificates (PEM) of those who sign the visitors'.

        Raises:
            ConfigError: A file cannot be read.
        """
        files = self._files[[context for _, context in self._contexts].index(_find(self._contexts, name))]
        context = self._for_clients.get((files, authorities))
        if context is None:
            # The SNI callback could change the certificate of a connection, but not whom it asks for one.
            context = _context(files)
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=authorities)
            if len(self._for_clients) >= _CONTEXTS_MAX:
                self._for_clients.clear()
            self._for_clients[files, authorities] = context
        return context

    def reload_if_changed(self) -> None:
        """Read the files again if they were written; connections that are open keep what they have.

        Raises:
            ConfigError: A file is wrong; nothing has changed then.
        """
        written = _written(self._files)
        if written != self._written:
            self._written = written
            self._contexts = self._load()
            self._for_clients.clear()

    def _load(self) -> list[tuple[frozenset[str], ssl.SSLContext]]:
        contexts = [(_names_of(files), _context(files)) for files in self._files]

        def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            if name is not None:
                connection.context = _find(contexts, name.lower())

        contexts[0][1].sni_callback = choose
        return contexts


def _find(contexts: Sequence[tuple[frozenset[str], ssl.SSLContext]], name: str) -> ssl.SSLContext:
    wildcard = "*." + name.partition(".")[2]
    for wanted in (name, wildcard):
        for names, context in contexts:
            if wanted in names:
                return context
    return contexts[0][1]


def _context(files: CertificateFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(ALPN)
    try:
        context.load_cert_chain(files.chain, files.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{files.chain} and {files.key}: {error}", code=CODE_CERTIFICATE) from error
    return context


def _names_of(files: CertificateFiles) -> frozenset[str]:
    try:
        certificate = x509.load_pem_x509_certificate(files.chain.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{files.chain}: {error}", code=CODE_CERTIFICATE) from error
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
