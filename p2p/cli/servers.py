"""What ``p2p serve`` runs: a rendezvous with STUN and a relay, in one process, sharing ports and a secret.

The relay owns UDP port 3478 and hands Binding requests to the rendezvous' STUN service. The rendezvous owns the HTTP
port and hands connections that begin with STUN to the relay, so that one open TCP port is enough for a client behind
a strict firewall.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Final, NamedTuple, Self

from prometheus_client import CollectorRegistry

from p2p import defaults
from p2p.address import TransportAddress
from p2p.cli import text
from p2p.config import ServeOptions
from p2p.errors import ConfigError, ErrorCode
from relay.service import RelayConfig, RelayService
from rendezvous.core.admission import AdmissionToken
from rendezvous.core.credentials import RealmNonce
from rendezvous.service import RendezvousConfig, RendezvousService, StunConfig
from rendezvous.stun import StunService

CODE_NO_ADDRESS: Final = ErrorCode(
    "P2P-1130", "Name this machine's address with --listen, and the one the world sees with --public-address."
)
CODE_ADDRESS_COUNT: Final = ErrorCode(
    "P2P-1131", "Give --public-address once for each --listen, in the same order, or --listen no more than once."
)

_SECRET_BYTES: Final = 32
_TOKEN_BYTES: Final = 12
_FAR_AWAY: Final = {4: "192.0.2.1", 6: "2001:db8::1"}
"""Documentation addresses. Nothing is sent there: the kernel tells which address of ours it would use."""
_HTTP_PORT: Final = 80
_HTTPS_PORT: Final = 443
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Host(NamedTuple):
    """An address of this machine.

    Attributes:
        bind: What the kernel knows.
        public: What the world sees instead; the same unless a NAT stands in front.
    """

    bind: str
    public: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What clients must know, once the servers run."""

    rendezvous_url: str
    """The URL for ``--rendezvous``."""
    stun: tuple[TransportAddress, ...]
    """STUN servers."""
    relay_urls: tuple[str, ...]
    """Relays, as they are told to clients."""
    token: str | None
    """The admission token that was made because none was given; a secret for the operator."""


class Servers:
    """Rendezvous and relay, serving inside the ``async with`` block.

    Args:
        options: What to run.

    Raises:
        ConfigError: An address cannot be found out, bound, or does not fit the others.
    """

    def __init__(self, options: ServeOptions) -> None:
        self._options = options
        self._hosts = find_hosts(options)
        self._made_token = None if options.open or options.tokens else secrets.token_urlsafe(_TOKEN_BYTES)
        self._secret = options.shared_secret or secrets.token_urlsafe(_SECRET_BYTES)
        self._stack = AsyncExitStack()
        self._rendezvous: RendezvousService | None = None
        self._relay: RelayService | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            registry = CollectorRegistry()
            # Port 0 is known only when it is bound, so the relay comes first and learns of the STUN service later.
            binding = _LateBinding()
            relay = await stack.enter_async_context(
                RelayService(self._relay_config(), binding_service=binding, registry=registry)
            )
            stun_port = relay.udp_addresses[0].port
            rendezvous = RendezvousService(
                self._rendezvous_config(stun_port),
                registry=registry,
                foreign_protocol=relay.stream_protocol,
                challenge_of=lambda url: RealmNonce(*relay.challenge()),
            )
            assert rendezvous.stun is not None
            rendezvous.stun.share(relay.udp_addresses, relay.send_from, tcp_addresses=relay.tcp_addresses)
            binding.service = rendezvous.stun
            await stack.enter_async_context(rendezvous)
            self._relay, self._rendezvous = relay, rendezvous
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)

    @property
    def facts(self) -> Facts:
        """What clients must know; only inside the block."""
        assert self._rendezvous is not None
        assert self._rendezvous.stun is not None
        scheme = "wss" if self._options.tls_cert else "ws"
        served = self._rendezvous.listen_tls_addresses or self._rendezvous.listen_addresses
        host = self._options.domain or self._hosts[0].public
        is_usual = served[0].port == (_HTTPS_PORT if scheme == "wss" else _HTTP_PORT)
        port = "" if is_usual else f":{served[0].port}"
        return Facts(
            rendezvous_url=f"{scheme}://{_in_url(host)}{port}",
            stun=self._rendezvous.stun.public_addresses,
            relay_urls=self._relay_urls(self._rendezvous.stun.public_addresses[0].port, served[0].port),
            token=self._made_token,
        )

    @property
    def still_open(self) -> str:
        """What a drain would wait for, in words; empty when there is nothing."""
        assert self._rendezvous is not None
        assert self._relay is not None
        parts = []
        if clients := self._rendezvous.connection_count:
            parts.append(text.plural(clients, "client"))
        if allocations := self._relay.allocations:
            parts.append(text.plural(allocations, "relay allocation"))
        return " and ".join(parts)

    async def drain(self) -> None:
        """Send clients away gently, and return when they are gone or their time is over."""
        assert self._rendezvous is not None
        assert self._relay is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(self._rendezvous.drain(defaults.RENDEZVOUS_DRAIN_S))
            group.create_task(self._relay.drain(defaults.DRAIN_TIMEOUT_S))

    def _relay_config(self) -> RelayConfig:
        options = self._options
        listeners = tuple(TransportAddress(host.bind, options.stun_port) for host in self._hosts)
        first, last = options.relay_ports or (defaults.RELAY_PORT_FIRST, defaults.RELAY_PORT_LAST)
        is_loopback = all(ipaddress.ip_address(host.bind).is_loopback for host in self._hosts)
        return RelayConfig(
            udp=listeners,
            tcp=listeners if options.stun_port else (),
            relay_addresses=tuple(f"{host.bind}/{host.public}" for host in self._hosts),
            shared_secrets=(self._secret,),
            port_first=first,
            port_last=last,
            danger_allow_private_peers=options.danger_allow_private_peers,
            danger_allow_loopback_peers=options.danger_allow_private_peers and is_loopback,
        )

    def _rendezvous_config(self, stun_port: int) -> RendezvousConfig:
        options = self._options
        http_port = _http_port(options)
        listeners = tuple(TransportAddress(host, http_port) for host in _listen_addresses(options))
        tokens = options.tokens or ((self._made_token,) if self._made_token else ())
        return RendezvousConfig(
            listen=() if options.tls_cert else listeners,
            listen_tls=listeners if options.tls_cert else (),
            tls_certificate=options.tls_cert,
            tls_key=options.tls_key,
            names=self._names(),
            stun=StunConfig(
                addresses=tuple(host.bind for host in self._hosts),
                public_addresses=tuple(host.public for host in self._hosts),
                port=stun_port,
                # With port 0 the kernel chose a free UDP port; its neighbour and its TCP twin may well be taken.
                alternate_port=stun_port + 1 if options.stun_port else None,
                tcp=bool(options.stun_port),
            ),
            relay_urls=self._relay_urls(stun_port, http_port),
            relay_secret=self._secret,
            tokens=tuple(
                AdmissionToken(secret=token, name=f"token-{number}") for number, token in enumerate(tokens, 1)
            ),
            is_open=options.open,
        )

    def _names(self) -> frozenset[str]:
        """Names that clients may have signed their login for; a name that is missing here is refused."""
        names = {address for host in self._hosts for address in host}
        if self._options.domain:
            names.add(self._options.domain.lower())
        if any(_is_wildcard(address) for address in _listen_addresses(self._options)):
            names |= _LOCAL_NAMES
        return frozenset(names)

    def _relay_urls(self, stun_port: int, http_port: int) -> tuple[str, ...]:
        """Relays to tell clients: UDP first, and at last the port that the strictest firewall leaves open."""
        urls = []
        for host in _one_of_each_family(self._hosts):
            urls.append(f"turn:{_in_url(host.public)}:{stun_port}?transport=udp")
            if self._options.stun_port:
                urls.append(f"turn:{_in_url(host.public)}:{stun_port}?transport=tcp")
        if not http_port:
            return tuple(urls)
        name = _in_url(self._options.domain or self._hosts[0].public)
        scheme = "turns" if self._options.tls_cert else "turn"
        urls.append(f"{scheme}:{name}:{http_port}?transport=tcp")
        return tuple(urls)


class _LateBinding:
    """The relay's binding service, which exists only after the relay's ports are bound."""

    def __init__(self) -> None:
        self.service: StunService | None = None

    def handle(self, data: bytes, source: TransportAddress, local: TransportAddress) -> bool:
        """Hand the request on, or leave it to the relay for the moment."""
        return self.service is not None and self.service.handle(data, source, local)


def find_hosts(options: ServeOptions) -> tuple[Host, ...]:
    """Find out which addresses STUN and the relay use; those must be known one by one, unlike for HTTP.

    Args:
        options: Addresses to listen on, and public ones.

    Raises:
        ConfigError: There is no address, or the public ones do not fit.
    """
    listen = _listen_addresses(options)
    named = [address for address in listen if not _is_wildcard(address)]
    if not options.public_addresses:
        outward = [_outward(6 if ":" in address else 4) for address in listen if _is_wildcard(address)]
        found = [*named, *(address for address in outward if address is not None)]
        if not found:
            raise ConfigError("this machine has no way to the Internet to tell its address by", code=CODE_NO_ADDRESS)
        return tuple(Host(address, address) for address in dict.fromkeys(found))
    if len(named) == len(listen):
        if len(named) != len(options.public_addresses):
            raise ConfigError(
                f"{text.plural(len(named), 'address')} to listen on, but "
                f"{len(options.public_addresses)} public: which is which?",
                code=CODE_ADDRESS_COUNT,
            )
        return tuple(Host(*pair) for pair in zip(named, options.public_addresses, strict=True))
    hosts = []
    for public in options.public_addresses:
        bind = public if _is_ours(public) else _outward(6 if ":" in public else 4)
        if bind is None:
            raise ConfigError(f"no address of this machine to use for {public}", code=CODE_NO_ADDRESS)
        hosts.append(Host(bind, public))
    return tuple(hosts)


def _listen_addresses(options: ServeOptions) -> tuple[str, ...]:
    """Where HTTP is served: as configured, or everywhere, with IPv6 where there is IPv6."""
    if options.listen:
        return options.listen
    return ("0.0.0.0", "::") if _outward(6) else ("0.0.0.0",)  # noqa: S104 -- a server for others listens everywhere


def _http_port(options: ServeOptions) -> int:
    if options.http_port is not None:
        return options.http_port
    return _HTTPS_PORT if options.tls_cert else defaults.RENDEZVOUS_PORT


def _outward(version: int) -> str | None:
    """The address this machine uses towards the Internet; None without a way there."""
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((_FAR_AWAY[version], 9))
            return TransportAddress.from_socket(probe.getsockname()).host
    except OSError:
        return None


def _is_ours(address: str) -> bool:
    """Whether an interface of this machine has the address."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _is_wildcard(address: str) -> bool:
    return ipaddress.ip_address(address).is_unspecified


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _one_of_each_family(hosts: Iterable[Host]) -> list[Host]:
    """The first IPv4 and the first IPv6 host: a second one of a family would be the same relay again."""
    chosen: dict[bool, Host] = {}
    for host in hosts:
        chosen.setdefault(":" in host.public, host)
    return list(chosen.values())
