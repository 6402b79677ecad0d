"""Where a relay is, as its URL says."""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import dataclass, field, replace

from p2p.address import TransportAddress
from p2p.errors import ConfigError, ErrorCode, RelayError
from p2p.proto.ice.candidate import RelayProtocol
from p2p.proto.signalling.messages import TurnServer

CODE_BAD_URL = ErrorCode("P2P-5203", "The rendezvous must name relays as turn:host:port?transport=udp, or turns:...")
CODE_NO_RELAY = ErrorCode(
    "P2P-5202",
    "Ask the rendezvous operator to run a relay, or check that UDP, TCP or TLS to it passes.",
    retryable=True,
)

_URL = re.compile(r"^(turns?):(\[[0-9a-fA-F:.]+\]|[^:?\[\]]+)(?::(\d{1,5}))?(?:\?transport=(udp|tcp))?\Z")
_DEFAULT_PORTS = {"turn": 3478, "turns": 5349}


@dataclass(frozen=True, slots=True)
class RelayServer:
    """Where a relay is, and what it wants to see. Source of the URL form: RFC 7065."""

    host: str
    port: int
    protocol: RelayProtocol
    username: str
    password: str = field(repr=False)
    realm: str | None = None
    nonce: str | None = None
    region: str = ""
    """Where it is, as the rendezvous says."""
    may_be_local: bool = True
    """Whether its host may turn out to be this one, or one without a router in between."""

    @classmethod
    def from_url(
        cls, url: str, username: str, password: str, *, realm: str | None = None, nonce: str | None = None
    ) -> RelayServer:
        """Read ``turn:host:port?transport=udp|tcp`` or ``turns:host:port``.

        Raises:
            ConfigError: The URL is no such URL.
        """
        match = _URL.match(url)
        if match is None or (match[3] and not 0 < int(match[3]) < 65536):
            raise ConfigError(f"not the URL of a relay: {url[:100]!r}", code=CODE_BAD_URL)
        scheme, host, port, transport = match.groups()
        if scheme == "turns":
            protocol = RelayProtocol.TLS
        else:
            protocol = RelayProtocol.TCP if transport == "tcp" else RelayProtocol.UDP
        return cls(host.strip("[]"), int(port or _DEFAULT_PORTS[scheme]), protocol, username, password, realm, nonce)

    @classmethod
    def from_turn(cls, turn: TurnServer, *, may_be_local: bool) -> RelayServer:
        """Read what a rendezvous names.

        Args:
            turn: The relay and the credentials for it.
            may_be_local: See the attribute: a rendezvous elsewhere has no business with what only this host can reach.

        Raises:
            ConfigError: Its URL is no such URL.
        """
        server = cls.from_url(turn.url, turn.username, turn.password, realm=turn.realm, nonce=turn.nonce)
        return replace(server, region=turn.region, may_be_local=may_be_local)

    def accepts(self, address: TransportAddress) -> bool:
        """Whether it may be at an address that its name, or another relay, has led to."""
        return self.may_be_local or not (address.ip.is_loopback or address.ip.is_link_local)

    @property
    def url(self) -> str:
        """The URL again, in its usual spelling."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.protocol is RelayProtocol.TLS:
            return f"turns:{host}:{self.port}?transport=tcp"
        return f"turn:{host}:{self.port}?transport={self.protocol}"


async def resolve(host: str, port: int) -> list[TransportAddress]:
    """Look a host up; an IP address is returned as it is.

    Raises:
        RelayError: The name is not known.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise RelayError(f"cannot resolve {host!r}: {error.strerror}", code=CODE_NO_RELAY) from error
    return list(dict.fromkeys(TransportAddress.from_socket(entry[4]) for entry in found))
