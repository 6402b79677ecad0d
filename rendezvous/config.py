"""The configuration of a rendezvous."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from p2p import defaults
from p2p.address import TransportAddress
from p2p.errors import ConfigError
from p2p.proto.observed import IpNetwork
from rendezvous.core.admission import AdmissionToken
from rendezvous.core.relays import SERVERS_MAX

_STUN_ADDRESSES_MAX = 4
_RELAY_SCHEMES = ("turn:", "turns:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one client may take of the server."""

    connections: int = defaults.RENDEZVOUS_CONNECTIONS
    """Open connections in all."""
    connections_per_address: int = defaults.RENDEZVOUS_CONNECTIONS_PER_ADDRESS
    """Open connections of one address or IPv6 /64."""
    connects_per_s: float = defaults.RENDEZVOUS_CONNECTS_PER_S
    """New connections a second of one address."""
    connect_burst: int = defaults.RENDEZVOUS_CONNECT_BURST
    """New connections at once of one address."""
    messages_per_s: float = defaults.RENDEZVOUS_MESSAGES_PER_S
    """Messages a second of one connection."""
    message_burst: int = defaults.RENDEZVOUS_MESSAGE_BURST
    """Messages at once of one connection."""
    services_per_peer: int = defaults.RENDEZVOUS_SERVICES_PER_PEER
    """Services one peer may offer."""
    send_buffer_bytes: int = defaults.RENDEZVOUS_SEND_BUFFER_BYTES
    """What may wait for a slow client before it is disconnected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StunConfig:
    """Where the STUN service listens, over UDP and TCP.

    With two addresses of a family it gives all of RFC 5780; with one, clients cannot tell filtering by address from
    no filtering, and say so.
    """

    addresses: tuple[str, ...] = ("0.0.0.0", "::")  # noqa: S104 - a public service
    """Local IP addresses: one or two of each family."""
    public_addresses: tuple[str, ...] = ()
    """What the world sees instead, in the same order, where a NAT of the cloud stands in front. Empty: the same."""
    port: int = defaults.STUN_PORT
    """The well-known port."""
    alternate_port: int | None = defaults.STUN_ALTERNATE_PORT
    """The second port of RFC 5780; None for plain STUN."""
    tcp: bool = True
    """Whether TCP is served as well, on the same addresses."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.addresses) <= _STUN_ADDRESSES_MAX:
            raise ConfigError("stun: give one or two addresses of each family")
        if self.public_addresses and len(self.public_addresses) != len(self.addresses):
            raise ConfigError("stun: give as many public addresses as addresses")


@dataclass(frozen=True, slots=True, kw_only=True)
class RendezvousConfig:
    """All a rendezvous needs to know.

    Raises:
        ConfigError: Two settings do not go together.
    """

    listen: tuple[TransportAddress, ...] = ()
    """Addresses for HTTP without TLS: on loopback behind a proxy, or in a lab."""
    listen_tls: tuple[TransportAddress, ...] = ()
    """Addresses for HTTPS."""
    tls_certificate: Path | None = None
    """PEM with the certificate chain; read again on reload."""
    tls_key: Path | None = None
    """PEM with the key of the certificate."""
    names: frozenset[str] = frozenset()
    """The server's host names, as in its clients' URLs. Empty accepts a login that was signed for any host, so that
    another rendezvous, if its operator is dishonest, could log in here as a client of its own."""
    region: str = ""
    """Told to clients, for their status."""
    stun: StunConfig | None = field(default_factory=StunConfig)
    """The STUN service; None runs none."""
    stun_servers: tuple[TransportAddress, ...] = ()
    """STUN servers told to clients. Empty: the service of this server."""
    relay_urls: tuple[str, ...] = ()
    """Relays told to clients: ``turn:host:port?transport=udp`` and so on. Those that report of themselves need not be
    named."""
    relay_secret: str = field(default="", repr=False)
    """What this server and the relays share; relay credentials are derived from it, and reports of relays sealed with
    it. Without one no relay is heard."""
    relay_credential_lifetime_s: int = defaults.RENDEZVOUS_CREDENTIAL_LIFETIME_S
    """How long relay credentials are good for."""
    tokens: tuple[AdmissionToken, ...] = ()
    """Admission tokens."""
    is_open: bool = False
    """Admit clients that have no token."""
    trusted_proxies: tuple[IpNetwork, ...] = ()
    """Reverse proxies whose X-Forwarded-For is believed."""
    metrics_allowed: tuple[IpNetwork, ...] = ()
    """Who may read /metrics, besides this machine itself."""
    limits: Limits = field(default_factory=Limits)
    """How much one client may take."""
    drain_s: float = defaults.RENDEZVOUS_DRAIN_S
    """How long the first SIGTERM leaves clients to move."""

    def __post_init__(self) -> None:
        if self.listen_tls and (self.tls_certificate is None or self.tls_key is None):
            raise ConfigError("listening with TLS needs a certificate and a key")
        if not self.tokens and not self.is_open:
            raise ConfigError("nobody could log in: give admission tokens, or set open = true")
        if len({token.secret for token in self.tokens}) != len(self.tokens):
            raise ConfigError("two admission tokens are the same")
        if self.relay_urls and not self.relay_secret:
            raise ConfigError("relays without a shared secret: clients could not use them")
        if len(self.relay_urls) > SERVERS_MAX or len(self.stun_servers) > SERVERS_MAX:
            raise ConfigError(f"at most {SERVERS_MAX} relays and as many STUN servers fit in a welcome")
        for url in self.relay_urls:
            if not url.startswith(_RELAY_SCHEMES):
                raise ConfigError(f"a relay URL starts with turn: or turns:, not {url!r}")
        for name in self.names:
            if name != name.lower():
                raise ConfigError(f"write the host name in lower case: {name!r}")
