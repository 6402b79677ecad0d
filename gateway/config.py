"""The configuration of a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.core import names
from gateway.core.balance import Policy
from gateway.core.order_plan import NEW_PER_WEEK
from gateway.ingress.tls import CertificateFiles
from p2p.address import TransportAddress
from p2p.errors import ConfigError, ErrorCode
from p2p.proto.observed import IpNetwork
from p2p.proto.publication import Kind

CODE_CONTRADICTION: Final = ErrorCode("P2P-1503", "Change one of the settings; `p2p gateway --help` explains them.")

LETS_ENCRYPT: Final = "https://acme-v02.api.letsencrypt.org/directory"

SHARED_SECRET_MIN_CHARACTERS: Final = 16
"""Whoever has a cookie could try shorter ones until one fits."""

RESERVED: Final = frozenset({"www", "api", "admin", "mail", "ns1", "ns2", "gateway", "status"})
"""Labels below the domain that an operator will want, or that visitors would take for the operator's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeOptions:
    """How the gateway asks for certificates by itself (RFC 8555).

    Raises:
        ConfigError: The server is no HTTPS URL, or the mail address is none.
    """

    email: str
    """Whom the authority writes to."""
    folder: Path
    """Where the account's key and the certificates are kept."""
    server: str = LETS_ENCRYPT
    """The URL of the authority's directory."""
    ca: Path | None = None
    """Who signed the authority's own certificate (PEM); None: one that the system's programs trust."""
    per_week: int = NEW_PER_WEEK
    """New certificates of all publishers in a week."""

    def __post_init__(self) -> None:
        if not self.server.startswith("https://"):
            raise _contradiction(f"{self.server!r} is no URL of an ACME directory: it begins with https://")
        name, at, host = self.email.partition("@")
        if not (name and at and host) or not self.email.isprintable() or " " in self.email:
            raise _contradiction(f"{self.email!r} is no mail address")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """What a gateway serves, and where.

    Raises:
        ConfigError: Settings do not go together.
    """

    domain: str = ""
    """Its own host name; published names become hosts below it."""
    http: tuple[TransportAddress, ...] = ()
    """Where to listen for HTTP."""
    https: tuple[TransportAddress, ...] = ()
    """Where to listen for HTTPS, and for TLS that is passed through."""
    certificates: tuple[CertificateFiles, ...] = ()
    """For HTTPS; the first one for names that none of the others has."""
    acme: AcmeOptions | None = None
    """For names that these certificates do not have; None leaves them without."""
    port_hosts: tuple[str, ...] = ()
    """IP addresses on which ports are published."""
    ports: Mapping[Kind, tuple[int, int]] = field(default_factory=dict)
    """The first and last port that may be published, for ``tcp`` and for ``udp``."""
    fronts: tuple[IpNetwork, ...] = ()
    """Networks of the proxies in front, whose word about visitors is taken."""
    has_proxy_header: bool = False
    """Whether the fronts begin each connection with a PROXY header."""
    public_https_port: int | None = None
    """The HTTPS port in URLs when fronts end TLS; None: our own listeners tell."""
    custom_hosts: bool = False
    """Whether publishers may bring host names outside the domain."""
    redirect: bool = True
    """Whether visitors without TLS are sent to HTTPS, if there is any."""
    balance: Policy = Policy.LEAST_CONNECTIONS
    """How to choose among the instances of a service."""
    error_pages: Path | None = None
    """A folder with pages for visitors when something is wrong; None has the gateway's own."""
    shared_secret: str = field(default="", repr=False)
    """What gateways behind one name have in common, so that each takes the cookies of the others; empty: alone."""
    control: Path | None = None
    """The Unix socket on which its operator sees and changes what it does; None has none."""
    reserved: frozenset[str] = field(default=RESERVED)
    """Labels below the domain that nobody gets."""

    def __post_init__(self) -> None:
        if self.domain and not (names.is_host(self.domain) or self.domain == "localhost"):
            raise _contradiction(f"{self.domain!r} is not a host name")
        if not (self.http or self.https or self.ports):
            raise _contradiction("there is nothing to listen on")
        if self.https and not (self.certificates or self.acme):
            raise _contradiction("HTTPS needs a certificate")
        if self.acme and not (self.http and self.https):
            raise _contradiction("ACME is for HTTPS, and the authority asks on the HTTP port")
        if self.has_proxy_header and not self.fronts:
            raise _contradiction("PROXY headers are taken from trusted fronts only, and none is named")
        if 0 < len(self.shared_secret) < SHARED_SECRET_MIN_CHARACTERS:
            raise _contradiction(f"a shared secret has at least {SHARED_SECRET_MIN_CHARACTERS} characters")
        if self.ports and not self.port_hosts:
            raise _contradiction("ports are to be published, and on no address")
        if (self.http or self.https) and not self.domain and not self.custom_hosts:
            raise _contradiction("without a domain and without custom hosts no HTTP service could have a name")


def _contradiction(detail: str) -> ConfigError:
    return ConfigError(detail, code=CODE_CONTRADICTION)
