"""What a relay goes by and may be told anew while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from p2p.address import TransportAddress
from relay.core.credentials import CredentialStore
from relay.core.nonces import NonceSource
from relay.core.policy import PeerPolicy
from relay.core.quotas import QuotaLimits
from relay.core.rates import RateLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Who may use the relay, for what, and how much.

    Attributes:
        credentials: Who may use it.
        nonces: Issues and checks nonces.
        policy: Who may be a peer.
        quotas: How many relayed addresses there may be.
        rates: How fast data may be relayed.
        tcp_to_peers: Whether allocations for TCP are made.
        alternate_servers: Where clients are sent when this relay is full or stops.
    """

    credentials: CredentialStore
    nonces: NonceSource
    policy: PeerPolicy
    quotas: QuotaLimits = field(default_factory=QuotaLimits)
    rates: RateLimits = field(default_factory=RateLimits)
    tcp_to_peers: bool = False
    alternate_servers: tuple[TransportAddress, ...] = ()
