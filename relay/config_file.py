"""The configuration file of a relay: TOML, checked against what is known, every mistake named."""

from __future__ import annotations

import ipaddress
import stat
import tomllib
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from p2p import defaults
from p2p.address import TransportAddress
from p2p.errors import ConfigError, ErrorCode
from relay.config import DEFAULT_REALM, LogFormat, PeerMode, RelayConfig
from relay.core.quotas import QuotaLimits
from relay.core.rates import RateLimit, RateLimits
from relay.core.special_ranges import IPNetwork
from relay.shell.connections import ConnectionLimits

CODE_FILE: Final = ErrorCode(
    "P2P-1305", "Correct the configuration file; docs/protocol/relay.md explains each setting."
)

_SECRET_MIN_CHARACTERS: Final = 16


class _Peers(Struct, forbid_unknown_fields=True):
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    mode: PeerMode = PeerMode.PUBLIC
    tcp: bool = False
    danger_allow_private: bool = False
    danger_allow_loopback: bool = False


class _Ports(Struct, forbid_unknown_fields=True):
    first: int = defaults.RELAY_PORT_FIRST
    last: int = defaults.RELAY_PORT_LAST


class _Quotas(Struct, forbid_unknown_fields=True):
    total: int = defaults.RELAY_MAX_ALLOCATIONS
    per_user: int = defaults.RELAY_MAX_ALLOCATIONS_PER_USER
    per_address: int = defaults.RELAY_MAX_ALLOCATIONS_PER_ADDRESS


class _Rates(Struct, forbid_unknown_fields=True):
    user_mbit_s: float = 0
    user_packets_s: float = 0
    address_mbit_s: float = 0
    address_packets_s: float = 0
    total_mbit_s: float = 0
    total_packets_s: float = 0


class _Connections(Struct, forbid_unknown_fields=True):
    total: int = defaults.RELAY_MAX_CONNECTIONS
    per_address: int = defaults.RELAY_MAX_CONNECTIONS_PER_ADDRESS


class _Rendezvous(Struct, forbid_unknown_fields=True):
    servers: tuple[str, ...] = ()
    ca_file: str | None = None
    region: str = ""
    urls: tuple[str, ...] = ()


class _File(Struct, forbid_unknown_fields=True):
    udp: tuple[str, ...] = ()
    tcp: tuple[str, ...] = ()
    tls: tuple[str, ...] = ()
    relay_addresses: tuple[str, ...] = ()
    realm: str = DEFAULT_REALM
    shared_secret: str | None = None
    shared_secret_file: str | None = None
    previous_secrets: tuple[str, ...] = ()
    users: dict[str, str] = msgspec.field(default_factory=dict)
    tls_certificate: str | None = None
    tls_key: str | None = None
    metrics: str | None = None
    metrics_users: int = 0
    control: str | None = None
    log: LogFormat = LogFormat.TEXT
    trusted_proxies: tuple[str, ...] = ()
    alternate_servers: tuple[str, ...] = ()
    rendezvous: _Rendezvous = msgspec.field(default_factory=_Rendezvous)
    workers: int = 1
    drain_s: float = defaults.RELAY_DRAIN_S
    peers: _Peers = msgspec.field(default_factory=_Peers)
    ports: _Ports = msgspec.field(default_factory=_Ports)
    quotas: _Quotas = msgspec.field(default_factory=_Quotas)
    rates: _Rates = msgspec.field(default_factory=_Rates)
    connections: _Connections = msgspec.field(default_factory=_Connections)


def load(path: Path) -> RelayConfig:
    """Read a configuration file. Paths in it are relative to its folder.

    Args:
        path: The file.

    Raises:
        ConfigError: It cannot be read, holds an unknown or wrong setting, or settings that do not go together.
    """
    try:
        content = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File)
        return _build(content, path.parent)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: {error}", code=CODE_FILE) from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.detail}", code=error.error_code) from error


def example() -> str:
    """Return a configuration file with every setting and an explanation."""
    return (Path(__file__).parent / "example.toml").read_text(encoding="utf-8")


def warnings(config: RelayConfig, path: Path) -> list[str]:
    """Say what is allowed and yet probably not meant.

    Args:
        config: What was read.
        path: The file it came from.
    """
    found = []
    if config.tcp_to_peers and config.peer_mode is PeerMode.PUBLIC:
        found.append("peers.tcp: every user of the relay can reach every public TCP service from its address")
    if config.danger_allow_private_peers:
        found.append("danger_allow_private: every user of the relay can reach the private networks behind it")
    if config.danger_allow_loopback_peers:
        found.append("danger_allow_loopback: every user of the relay can reach the services of this machine")
    if any(len(secret) < _SECRET_MIN_CHARACTERS for secret in config.shared_secrets):
        found.append(f"a shared secret is shorter than {_SECRET_MIN_CHARACTERS} characters")
    if config.quotas.total > config.port_last - config.port_first + 1:
        found.append("quotas.total is more than there are ports: clients will be told that the relay is full")
    if any(address.ip.is_unspecified for address in config.udp):
        found.append("udp has a wildcard address: on a host with several addresses answers may leave from another one")
    if not config.tls:
        found.append("tls is empty: clients whose network passes nothing but TLS cannot use this relay")
    if any(address.ip.is_unspecified for address in (*config.udp, *config.tcp, *config.tls)) and (
        config.report_to and not config.urls
    ):
        found.append(
            "rendezvous.urls is empty and a listener has a wildcard address: no client could use what is reported"
        )
    if config.report_to and config.tls and not config.urls:
        found.append("rendezvous.urls is empty: turns: URLs will name an address, for which few certificates are made")
    if (config.shared_secrets or config.users) and path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        found.append(f"{path} holds secrets or names their files, and every user of this machine may open it")
    return found


def describe(config: RelayConfig) -> list[str]:
    """Sum a configuration up in lines for a person, without secrets."""
    hosts = (
        host.bind_host if host.bind_host == host.public_host else f"{host.bind_host} (seen as {host.public_host})"
        for host in config.relay_hosts()
    )
    quotas = config.quotas
    return [
        f"clients over UDP   {_join(config.udp)}",
        f"clients over TCP   {_join(config.tcp)}",
        f"clients over TLS   {_join(config.tls)}",
        f"relayed addresses  {', '.join(hosts)}, ports {config.port_first}-{config.port_last}",
        f"realm              {config.realm}",
        f"credentials        {len(config.shared_secrets)} shared secrets, {len(config.users)} users",
        f"peers              {config.peer_mode.value}; "
        f"{len(config.allow_peers)} networks allowed, {len(config.deny_peers)} denied",
        f"quotas             {quotas.total} addresses, {quotas.per_user} a user, {quotas.per_address} a client address",
        f"rates              {_describe_rates(config.rates)}",
        f"metrics            {config.metrics or 'none'}",
        f"control            {config.control or 'none'}",
        f"alternate servers  {_join(config.alternate_servers)}",
        f"rendezvous         {', '.join(config.report_to) or 'none'}",
        *([f"told to clients    {', '.join(config.turn_urls())}"] if config.report_to else []),
        *([f"region             {config.region}"] if config.region else []),
    ]


def _describe_rates(rates: RateLimits) -> str:
    parts = []
    for words, limit in (("a user", rates.user), ("an address", rates.address), ("in all", rates.total)):
        if limit.bytes_per_s:
            parts.append(f"{limit.mbit_s:g} Mbit/s {words}")
        if limit.packets_per_s:
            parts.append(f"{limit.packets_per_s:g} packets/s {words}")
    return ", ".join(parts) or "no limits"


def _build(content: _File, folder: Path) -> RelayConfig:
    peers = content.peers
    return RelayConfig(
        udp=_addresses(content.udp, defaults.STUN_PORT),
        tcp=_addresses(content.tcp, defaults.STUN_PORT),
        tls=_addresses(content.tls, defaults.TURNS_PORT),
        relay_addresses=content.relay_addresses,
        realm=content.realm,
        shared_secrets=(*_secret(content, folder), *content.previous_secrets),
        users=content.users,
        port_first=content.ports.first,
        port_last=content.ports.last,
        allow_peers=tuple(_network(text) for text in peers.allow),
        deny_peers=tuple(_network(text) for text in peers.deny),
        danger_allow_private_peers=peers.danger_allow_private,
        danger_allow_loopback_peers=peers.danger_allow_loopback,
        peer_mode=peers.mode,
        tcp_to_peers=peers.tcp,
        rates=_rate_limits(content.rates),
        quotas=QuotaLimits(**msgspec.structs.asdict(content.quotas)),
        connections=ConnectionLimits(**msgspec.structs.asdict(content.connections)),
        tls_certificate=folder / content.tls_certificate if content.tls_certificate else None,
        tls_key=folder / content.tls_key if content.tls_key else None,
        metrics=TransportAddress.parse(content.metrics) if content.metrics else None,
        metrics_users=content.metrics_users,
        control=folder / content.control if content.control else None,
        log=content.log,
        trusted_proxies=tuple(_network(text) for text in content.trusted_proxies),
        alternate_servers=_addresses(content.alternate_servers, defaults.STUN_PORT),
        report_to=content.rendezvous.servers,
        report_ca=folder / content.rendezvous.ca_file if content.rendezvous.ca_file else None,
        region=content.rendezvous.region,
        urls=content.rendezvous.urls,
        workers=content.workers,
        drain_s=content.drain_s,
    )


def _rate_limits(rates: _Rates) -> RateLimits:
    if min(msgspec.structs.astuple(rates)) < 0:
        raise ConfigError("rates: 0 for no limit, or more")
    return RateLimits(
        user=RateLimit.of_mbit(rates.user_mbit_s, rates.user_packets_s),
        address=RateLimit.of_mbit(rates.address_mbit_s, rates.address_packets_s),
        total=RateLimit.of_mbit(rates.total_mbit_s, rates.total_packets_s),
    )


def _secret(content: _File, folder: Path) -> tuple[str, ...]:
    if content.shared_secret is not None and content.shared_secret_file is not None:
        raise ConfigError("give either shared_secret or shared_secret_file")
    if content.shared_secret_file is not None:
        return ((folder / content.shared_secret_file).read_text(encoding="utf-8").strip(),)
    return () if content.shared_secret is None else (content.shared_secret,)


def _addresses(texts: tuple[str, ...], default_port: int) -> tuple[TransportAddress, ...]:
    return tuple(TransportAddress.parse(text, default_port=default_port) for text in texts)


def _network(text: str) -> IPNetwork:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ConfigError(f"not a network such as 192.0.2.0/24: {error}") from error


def _join(addresses: tuple[TransportAddress, ...]) -> str:
    return ", ".join(map(str, addresses)) or "none"
