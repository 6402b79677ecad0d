"""Certificates that visitors show, and those who sign them."""

from __future__ import annotations

import base64
import re
from typing import Final, NamedTuple

from cryptography import x509

from p2p.errors import ConfigError

_NOT_PLAIN: Final = re.compile(r"[^ -~]")


class ClientCertificate(NamedTuple):
    """What a visitor has shown in its TLS handshake, which has checked it.

    Attributes:
        authorities: By whose certificates (PEM) it was checked.
        der: The visitor's own.
    """

    authorities: str
    der: bytes

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Tell the service whose it is: RFC 9440 for the whole certificate, RFC 4514 for its subject."""
        subject = x509.load_der_x509_certificate(self.der).subject.rfc4514_string()
        return (
            ("Client-Cert", f":{base64.b64encode(self.der).decode()}:"),
            # In ASCII, by the escapes of RFC 4514 section 2.4: a line end would end the header.
            ("X-Client-Subject", _NOT_PLAIN.sub(lambda found: _escaped(found.group()), subject)),
        )


def check_authorities(pem: str) -> None:
    """Check certificates of authorities.

    Raises:
        ConfigError: There are none.
    """
    try:
        x509.load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        raise ConfigError(f"not certificates of authorities: {error}") from error


def _escaped(character: str) -> str:
    return "".join(f"\\{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))
