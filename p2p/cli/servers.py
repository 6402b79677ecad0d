"""What ``p2p serve`` runs: a rendezvous with STUN and a relay, in one process, sharing ports and a secret.

The relay owns UDP port 3478 and hands Binding requests to the rendezvous' STUN service. The rendezvous owns the HTTP
port and hands connections that begin with STUN to the relay, so that one open TCP port is enough for a client behind
a strict firewall.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Final, Self

from prometheus_client import CollectorRegistry

from p2p import defaults
from p2p.address import TransportAddress
from p2p.aio.descriptors import raise_descriptor_limit
from p2p.cli import text
from p2p.cli.server_hosts import find_hosts, is_wildcard, listen_addresses, one_of_each_family
from p2p.config import ServeOptions
from relay.core.rates import RateLimit, RateLimits
from relay.service import PeerMode, RelayConfig, RelayService
from rendezvous.core.admission import AdmissionToken
from rendezvous.core.credentials import RealmNonce
from rendezvous.service import RendezvousConfig, RendezvousService, StunConfig
from rendezvous.stun import StunService

_SECRET_BYTES: Final = 32
_TOKEN_BYTES: Final = 12
_HTTP_PORT: Final = 80
_HTTPS_PORT: Final = 443
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


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
        # Each client needs one, and the usual thousand is soon used up.
        raise_descriptor_limit()
        async with AsyncExitStack() as stack:
            registry = CollectorRegistry()
            # Port 0 is known only when it is bound, so the relay comes first and learns of the STUN service later.
            binding = _LateBinding()
            relay = await stack.enter_async_context(
                RelayService(self._relay_config(self._options), binding_service=binding, registry=registry)
            )
            stun_port = relay.udp_addresses[0].port
            rendezvous = RendezvousService(
                self._rendezvous_config(self._options, stun_port),
                registry=registry,
                foreign_protocol=relay.stream_protocol,
                challenge_of=lambda url: RealmNonce(*relay.challenge()),
                note_host=partial(relay.note_host, is_proven=True),
            )
            assert rendezvous.stun is not None
            rendezvous.stun.share(relay.udp_addresses, relay.send_from, tcp_addresses=relay.tcp_addresses)
            binding.service, binding.relay = rendezvous.stun, relay
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

    def reload(self, options: ServeOptions) -> None:
        """Take tokens, certificate files and the relay's peers and rates anew; addresses and ports stay as they are.

        Args:
            options: The new options. Clients that the new tokens do not admit are sent away.

        Raises:
            ConfigError: The new options are not usable; nothing has changed then.
        """
        assert self._rendezvous is not None
        assert self._relay is not None
        changed = replace(
            self._options,
            open=options.open,
            tokens=options.tokens,
            tls_cert=options.tls_cert,
            tls_key=options.tls_key,
            relay_peers=options.relay_peers,
            relay_mbit_s=options.relay_mbit_s,
            relay_user_mbit_s=options.relay_user_mbit_s,
        )
        self._rendezvous.reload(self._rendezvous_config(changed, self._relay.udp_addresses[0].port))
        self._relay.reload(self._relay_config(changed))
        self._options = changed

    async def drain(self) -> None:
        """Send clients away gently, and return when they are gone or their time is over."""
        assert self._rendezvous is not None
        assert self._relay is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(self._rendezvous.drain(defaults.RENDEZVOUS_DRAIN_S))
            group.create_task(self._relay.drain(defaults.DRAIN_TIMEOUT_S))

    def _relay_config(self, options: ServeOptions) -> RelayConfig:
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
            rates=RateLimits(
                user=RateLimit.of_mbit(options.relay_user_mbit_s),
                total=RateLimit.of_mbit(options.relay_mbit_s),
            ),
            peer_mode=PeerMode(options.relay_peers),
            danger_allow_private_peers=options.danger_allow_private_peers,
            danger_allow_loopback_peers=options.danger_allow_private_peers and is_loopback,
        )

    def _rendezvous_config(self, options: ServeOptions, stun_port: int) -> RendezvousConfig:
        http_port = _http_port(options)
        listeners = tuple(TransportAddress(host, http_port) for host in listen_addresses(options))
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
        if any(is_wildcard(address) for address in listen_addresses(self._options)):
            names |= _LOCAL_NAMES
        return frozenset(names)

    def _relay_urls(self, stun_port: int, http_port: int) -> tuple[str, ...]:
        """Relays to tell clients: UDP first, and at last the port that the strictest firewall leaves open."""
        urls = []
        for host in one_of_each_family(self._hosts):
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
    """The relay's binding service, which exists only after the relay's ports are bound; tells the relay who asks."""

    def __init__(self) -> None:
        self.service: StunService | None = None
        self.relay: RelayService | None = None

    def handle(self, data: bytes, source: TransportAddress, local: TransportAddress) -> bool:
        """Hand the request on, or leave it to the relay for the moment."""
        if self.service is None or not self.service.handle(data, source, local):
            return False
        if self.relay is not None:
            self.relay.note_host(source.host, is_proven=False)
        return True


def _http_port(options: ServeOptions) -> int:
    if options.http_port is not None:
        return options.http_port
    return _HTTPS_PORT if options.tls_cert else defaults.RENDEZVOUS_PORT


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
