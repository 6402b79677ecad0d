"""The configuration file of a rendezvous: TOML, checked against what is known, every mistake named."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import stat
import tomllib
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from p2p import defaults
from p2p.address import TransportAddress
from p2p.errors import ConfigError, ErrorCode
from p2p.proto.observed import IpNetwork
from rendezvous.config import Limits, RendezvousConfig, StunConfig
from rendezvous.core.admission import AdmissionToken

CODE_FILE: Final = ErrorCode(
    "P2P-1402", "Correct the configuration file; deploy/rendezvous.toml explains each setting."
)

_TOKEN_MIN_CHARACTERS: Final = 16


class _Tls(Struct, forbid_unknown_fields=True):
    certificate: str
    key: str


class _Stun(Struct, forbid_unknown_fields=True):
    enabled: bool = True
    addresses: tuple[str, ...] = StunConfig().addresses
    public_addresses: tuple[str, ...] = ()
    port: int = defaults.STUN_PORT
    alternate_port: int = defaults.STUN_ALTERNATE_PORT
    tcp: bool = True


class _Relay(Struct, forbid_unknown_fields=True):
    urls: tuple[str, ...] = ()
    secret: str | None = None
    secret_file: str | None = None
    credential_lifetime_s: int = defaults.RENDEZVOUS_CREDENTIAL_LIFETIME_S


class _Token(Struct, forbid_unknown_fields=True):
    name: str
    secret: str | None = None
    secret_file: str | None = None
    services: tuple[str, ...] = ("*",)
    relay: bool = True
    expires: datetime.datetime | None = None


class _Limits(Struct, forbid_unknown_fields=True):
    connections: int = defaults.RENDEZVOUS_CONNECTIONS
    connections_per_address: int = defaults.RENDEZVOUS_CONNECTIONS_PER_ADDRESS
    connects_per_s: float = defaults.RENDEZVOUS_CONNECTS_PER_S
    connect_burst: int = defaults.RENDEZVOUS_CONNECT_BURST
    messages_per_s: float = defaults.RENDEZVOUS_MESSAGES_PER_S
    message_burst: int = defaults.RENDEZVOUS_MESSAGE_BURST
    services_per_peer: int = defaults.RENDEZVOUS_SERVICES_PER_PEER
    send_buffer_bytes: int = defaults.RENDEZVOUS_SEND_BUFFER_BYTES


class _File(Struct, forbid_unknown_fields=True):
    listen: tuple[str, ...] = ()
    listen_tls: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    region: str = ""
    open: bool = False
    trusted_proxies: tuple[str, ...] = ()
    metrics_allowed: tuple[str, ...] = ()
    stun_servers: tuple[str, ...] = ()
    drain_s: float = defaults.RENDEZVOUS_DRAIN_S
    tls: _Tls | None = None
    stun: _Stun = msgspec.field(default_factory=_Stun)
    relay: _Relay | None = None
    limits: _Limits = msgspec.field(default_factory=_Limits)
    tokens: tuple[_Token, ...] = ()


def load(path: Path) -> RendezvousConfig:
    """Read a configuration file. Paths in it are relative to its folder.

    Args:
        path: The file.

    Raises:
        ConfigError: It cannot be read, holds an unknown or wrong setting, or settings that do not go together.
    """
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        content = msgspec.convert(raw, _File)
        return _build(content, path.parent)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: {error}", code=CODE_FILE) from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.detail}", code=CODE_FILE) from error


def warnings(config: RendezvousConfig, path: Path) -> list[str]:
    """Say what is allowed and yet probably not meant.

    Args:
        config: What was read.
        path: The file it came from.
    """
    found = []
    if not config.listen and not config.listen_tls:
        found.append("listen and listen_tls are empty: there is no signalling")
    if not config.names:
        found.append("names is empty: a dishonest rendezvous could log in here as a client of its own")
    if any(not address.ip.is_loopback for address in config.listen):
        found.append("listen has an address that others reach without TLS: they can read tokens and relay credentials")
    if config.is_open:
        found.append(
            "open is true: everybody may log in" + (" and gets relay credentials" if config.relay_secret else "")
        )
    if any(len(token.secret) < _TOKEN_MIN_CHARACTERS for token in config.tokens):
        found.append(
            f"a token is shorter than {_TOKEN_MIN_CHARACTERS} characters: `python -m rendezvous --token` makes one"
        )
    if not config.relay_urls and not config.relay_secret:
        found.append("there is no [relay]: peers whose networks forbid direct paths will not connect")
    if (config.relay_secret or config.tokens) and path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        found.append(f"{path} holds secrets or names their files, and every user of this machine may open it")
    return found


def _build(content: _File, folder: Path) -> RendezvousConfig:
    relay = content.relay
    stun = content.stun
    return RendezvousConfig(
        listen=tuple(TransportAddress.parse(text) for text in content.listen),
        listen_tls=tuple(TransportAddress.parse(text) for text in content.listen_tls),
        tls_certificate=folder / content.tls.certificate if content.tls else None,
        tls_key=folder / content.tls.key if content.tls else None,
        names=frozenset(content.names),
        region=content.region,
        is_open=content.open,
        trusted_proxies=tuple(_network(text) for text in content.trusted_proxies),
        metrics_allowed=tuple(_network(text) for text in content.metrics_allowed),
        stun=StunConfig(
            addresses=tuple(_ip(text) for text in stun.addresses),
            public_addresses=tuple(_ip(text) for text in stun.public_addresses),
            port=stun.port,
            alternate_port=stun.alternate_port or None,
            tcp=stun.tcp,
        )
        if stun.enabled
        else None,
        stun_servers=tuple(address for text in content.stun_servers for address in _resolve(text)),
        relay_urls=relay.urls if relay else (),
        relay_secret=_secret("relay", relay.secret, relay.secret_file, folder) if relay else "",
        relay_credential_lifetime_s=relay.credential_lifetime_s if relay else defaults.RENDEZVOUS_CREDENTIAL_LIFETIME_S,
        tokens=tuple(_token(token, folder) for token in content.tokens),
        limits=Limits(**msgspec.structs.asdict(content.limits)),
        drain_s=content.drain_s,
    )


def _token(token: _Token, folder: Path) -> AdmissionToken:
    expires = token.expires
    if expires is not None and expires.tzinfo is None:
        raise ConfigError(f"token {token.name!r}: write the expiry with its offset, such as 2030-01-31T00:00:00Z")
    return AdmissionToken(
        name=token.name,
        secret=_secret(f"token {token.name!r}", token.secret, token.secret_file, folder),
        services=token.services,
        relay=token.relay,
        expires_wall=expires.timestamp() if expires else None,
    )


def _secret(what: str, inline: str | None, file: str | None, folder: Path) -> str:
    if (inline is None) == (file is None):
        raise ConfigError(f"{what}: give either secret or secret_file")
    secret = inline if inline is not None else (folder / str(file)).read_text(encoding="utf-8").strip()
    if not secret:
        raise ConfigError(f"{what}: the secret is empty")
    return secret


def _network(text: str) -> IpNetwork:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ConfigError(f"not a network such as 192.0.2.0/24: {error}") from error


def _ip(text: str) -> str:
    return TransportAddress.parse(text, default_port=0).host


def _resolve(text: str) -> list[TransportAddress]:
    """Look up a STUN server: clients get addresses, so that none of them waits for a resolver."""
    try:
        return [TransportAddress.parse(text, default_port=defaults.STUN_PORT)]
    except ConfigError:
        host, _, port = text.partition(":")
    try:
        found = socket.getaddrinfo(host, int(port or defaults.STUN_PORT), type=socket.SOCK_DGRAM)
    except (OSError, ValueError) as error:
        raise ConfigError(f"stun_servers: {text!r}: {error}") from error
    return list(dict.fromkeys(TransportAddress.from_socket(entry[4]) for entry in found))
