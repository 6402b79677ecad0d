"""The configuration of a relay."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

from p2p.address import TransportAddress
from p2p.defaults import RELAY_DRAIN_S, RELAY_MAX_WORKERS, RELAY_METRICS_USERS, RELAY_PORT_FIRST, RELAY_PORT_LAST
from p2p.errors import ConfigError, ErrorCode
from p2p.proto.signalling.relay_report import REPORT_URLS_MAX, is_turn_url
from relay.core.credentials import PasswordLookup
from relay.core.quotas import QuotaLimits
from relay.core.rates import RateLimits
from relay.core.relayed_ports import RelayHost
from relay.core.special_ranges import IPNetwork
from relay.shell.connections import ConnectionLimits

CODE_NO_USERS: Final = ErrorCode("P2P-1301", "Give the relay a shared_secret or at least one user.")
CODE_NO_LISTENER: Final = ErrorCode("P2P-1302", "Give the relay at least one address to listen on.")
CODE_NO_RELAY_ADDRESS: Final = ErrorCode(
    "P2P-1303", "Name the address of this machine that peers can reach, as relay_addresses."
)
CODE_TLS: Final = ErrorCode("P2P-1304", "Give tls_certificate and tls_key, both PEM files the relay may read.")

DEFAULT_REALM: Final = "p2p"

FIXED_SETTINGS: Final = (
    "udp",
    "tcp",
    "tls",
    "relay_addresses",
    "realm",
    "port_first",
    "port_last",
    "workers",
    "metrics",
    "control",
    "log",
    "report_ca",
)
"""What needs a restart: it is bound, known to clients, or set up once."""


class PeerMode(Enum):
    """Whom the relay sends to. The values are those of the file."""

    PUBLIC = "public"
    """Every public address."""
    KNOWN = "known"
    """Hosts that have asked this server for their address or used it as a relay within a day, and nobody else."""


class LogFormat(Enum):
    """How a log is written. The values are those of the file."""

    TEXT = "text"
    """A line for people."""
    JSON = "json"
    """An object a line, with the fields of an event apart."""


@dataclass(frozen=True, kw_only=True)
class RelayConfig:
    """All that a relay must be told.

    Raises:
        ConfigError: The values contradict each other, or lack what the relay cannot do without.
    """

    udp: tuple[TransportAddress, ...] = ()
    """Where to listen for clients over UDP."""
    tcp: tuple[TransportAddress, ...] = ()
    """Where to listen for clients over TCP."""
    tls: tuple[TransportAddress, ...] = ()
    """Where to listen for clients over TLS."""
    relay_addresses: tuple[str, ...] = ()
    """Hosts that relayed addresses are on: an IP address of this machine, or ``IP/IP`` with the public address after
    the slash where a one-to-one NAT stands in front. Without any, the hosts of the UDP listeners are taken."""
    realm: str = DEFAULT_REALM
    """What clients mix into their keys. Short, because every stranger gets to see it."""
    shared_secrets: tuple[str, ...] = field(default=(), repr=False)
    """Secrets of time-limited credentials, all of them accepted; nonces are made with the first one."""
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Passwords by user name."""
    password_of: PasswordLookup | None = field(default=None, repr=False)
    """Asked for the password of every other user name; for programs that run a relay inside."""
    port_first: int = RELAY_PORT_FIRST
    """The lowest relayed port."""
    port_last: int = RELAY_PORT_LAST
    """The highest relayed port."""
    allow_peers: tuple[IPNetwork, ...] = ()
    """Networks that peers may be in although the relay denies them by itself."""
    deny_peers: tuple[IPNetwork, ...] = ()
    """Networks that peers may not be in. The most specific network decides; of two equal ones the denial does."""
    tcp_to_peers: bool = False
    """Carry TCP to peers (RFC 6062) as well, which makes the relay a proxy to TCP services that a user can name."""
    danger_allow_private_peers: bool = False
    """Relay into private, shared, documentation and benchmark networks: for laboratories."""
    danger_allow_loopback_peers: bool = False
    """Relay to this machine's loopback addresses: for tests on one machine."""
    peer_mode: PeerMode = PeerMode.PUBLIC
    """Who may be a peer of those whom the networks above allow."""
    quotas: QuotaLimits = field(default_factory=QuotaLimits)
    """How many relayed addresses there may be."""
    rates: RateLimits = field(default_factory=RateLimits)
    """How fast data may be relayed."""
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    """How many TCP and TLS connections there may be."""
    tls_certificate: Path | None = None
    """The certificate chain of the TLS listeners, as PEM."""
    tls_key: Path | None = field(default=None, repr=False)
    """The private key of the TLS listeners, as PEM."""
    metrics: TransportAddress | None = None
    """Where the command serves Prometheus metrics over HTTP; None for nowhere."""
    metrics_users: int = 0
    """How many of the users with most payload metrics and status name; 0 names nobody."""
    control: Path | None = None
    """A Unix socket on which the command tells its status and takes ``drain`` and ``reload``; None for none."""
    log: LogFormat = LogFormat.TEXT
    """How the command writes its log."""
    trusted_proxies: tuple[IPNetwork, ...] = ()
    """Fronts, such as HAProxy, whose TCP connections begin with a PROXY header, TLS or not; nobody else's may."""
    alternate_servers: tuple[TransportAddress, ...] = ()
    """Where clients are sent that this relay has no room for, or when it stops; one of the client's address family."""
    report_to: tuple[str, ...] = ()
    """URLs of rendezvous servers that are told how this relay does, so that clients hear of it while it has room."""
    report_ca: Path | None = None
    """PEM with the authority of their certificates; None for the system's authorities."""
    region: str = ""
    """Where this relay is, told to clients."""
    urls: tuple[str, ...] = ()
    """Where clients reach this relay, for the reports; without any it is worked out from the listeners."""
    workers: int = 1
    """Processes that share the work of the command; each has its part of the ports and of the limits in all."""
    drain_s: float = RELAY_DRAIN_S
    """How long the command goes on serving what exists after the first SIGTERM."""

    def __post_init__(self) -> None:
        if not (self.udp or self.tcp or self.tls):
            raise ConfigError("the relay listens nowhere", code=CODE_NO_LISTENER)
        if not self.shared_secrets and not self.users and self.password_of is None:
            raise ConfigError("nobody may use the relay", code=CODE_NO_USERS)
        if any(not secret for secret in self.shared_secrets) or any(not password for password in self.users.values()):
            raise ConfigError("an empty secret or password keeps nobody out")
        if any(":" in name for name in self.users):
            raise ConfigError("a user name with a colon would look like time-limited credentials")
        if not self.realm or len(self.realm) > 127:
            raise ConfigError("realm: 1 to 127 characters")
        if not 1024 <= self.port_first < self.port_last <= 65535:
            raise ConfigError(
                f"port_first and port_last: no range from 1024 to 65535: {self.port_first}-{self.port_last}"
            )
        if not 0 <= self.metrics_users <= RELAY_METRICS_USERS:
            raise ConfigError(f"metrics_users: from 0 to {RELAY_METRICS_USERS}; each is a time series of its own")
        if not 1 <= self.workers <= RELAY_MAX_WORKERS or self.port_last - self.port_first + 1 < 2 * self.workers:
            raise ConfigError(f"workers: from 1 to {RELAY_MAX_WORKERS}, with two relayed ports each")
        if self.workers > 1 and (self.tcp_to_peers or self.peer_mode is PeerMode.KNOWN):
            raise ConfigError("workers: mode known and TCP to peers need one process that knows all clients")
        if self.tls and (self.tls_certificate is None or self.tls_key is None):
            raise ConfigError("TLS listeners without a certificate and a key", code=CODE_TLS)
        if self.report_to and not self.shared_secrets:
            raise ConfigError("rendezvous: reports are sealed with the shared secret, and there is none")
        for url in self.report_to:
            if not url.startswith(("https://", "http://")):
                raise ConfigError(f"rendezvous: an address begins with https:// or http://, not {url!r}")
        if self.report_to and not (len(urls := self.turn_urls()) <= REPORT_URLS_MAX and all(map(is_turn_url, urls))):
            raise ConfigError(
                f"rendezvous.urls: at most {REPORT_URLS_MAX} such as turn:203.0.113.20:3478?transport=udp"
            )
        self.relay_hosts()

    def control_sockets(self) -> tuple[Path, ...]:
        """Return where the command's processes take commands: each worker has a socket of its own."""
        if self.control is None:
            return ()
        if self.workers == 1:
            return (self.control,)
        return tuple(self.control.with_name(f"{self.control.name}.{index}") for index in range(self.workers))

    def turn_urls(self) -> tuple[str, ...]:
        """Return where clients reach the relay; TLS by address, where the certificate may want a name.

        Source: RFC 7065.
        """
        if self.urls:
            return self.urls
        public = {host.bind_host: host.public_host for host in self.relay_hosts()}
        return tuple(
            f"{scheme}:{address._replace(host=public.get(address.host, address.host))}?transport={transport}"
            for addresses, scheme, transport in (
                (self.udp, "turn", "udp"),
                (self.tcp, "turn", "tcp"),
                (self.tls, "turns", "tcp"),
            )
            for address in addresses
        )

    def relay_hosts(self) -> tuple[RelayHost, ...]:
        """Return the hosts of relayed addresses.

        Raises:
            ConfigError: There are none, or one is not usable.
        """
        texts = self.relay_addresses or tuple(dict.fromkeys(address.host for address in self.udp))
        if not texts:
            raise ConfigError(
                "relay_addresses: none, and no UDP listener to take them from", code=CODE_NO_RELAY_ADDRESS
            )
        return tuple(self._relay_host(text) for text in texts)

    def _relay_host(self, text: str) -> RelayHost:
        bind_text, _, public_text = text.partition("/")
        try:
            bind = ipaddress.ip_address(bind_text.strip())
            public = ipaddress.ip_address(public_text.strip()) if public_text else bind
        except ValueError as error:
            raise ConfigError(f"relay_addresses: {text!r} ({error})") from error
        if public.is_unspecified or public.is_multicast or bind.version != public.version:
            raise ConfigError(f"relay_addresses: peers cannot send to {text!r}", code=CODE_NO_RELAY_ADDRESS)
        return RelayHost(
            bind_host=str(bind), public_host=str(public), first_port=self.port_first, last_port=self.port_last
        )
