"""From a configuration to what the core goes by."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from secrets import token_bytes
from typing import Final

from p2p.address import TransportAddress
from relay.config import PeerMode, RelayConfig
from relay.core.allocation import Neighbourhood
from relay.core.credentials import CredentialStore
from relay.core.nonces import FEATURE_PASSWORD_ALGORITHMS, FEATURE_USERNAME_ANONYMITY, NonceSource, nonce_key
from relay.core.policy import PeerPolicy
from relay.core.rules import Rules
from relay.shell.own_addresses import OwnAddresses

_NONCE_KEY_OF_THIS_PROCESS: Final = token_bytes(32)
"""Without a shared secret nonces need not outlive the process: clients get 438 and go on."""
_HOME_KEY_OF_THIS_PROCESS: Final = token_bytes(32)
"""Nor do relayed ports: clients tell their peers of the new one."""


def rules_of(config: RelayConfig, knows: Callable[[str], bool]) -> Rules:
    """Make the rules that a configuration means.

    Args:
        config: The configuration.
        knows: Whether somebody at a host has used this server.

    Raises:
        ConfigError: The allow list names what cannot be allowed.
    """
    credentials = CredentialStore(
        config.realm, static_users=config.users, shared_secrets=config.shared_secrets, password_of=config.password_of
    )
    key = nonce_key(config.shared_secrets[0]) if config.shared_secrets else _NONCE_KEY_OF_THIS_PROCESS
    hidden_names = FEATURE_USERNAME_ANONYMITY if credentials.knows_all_names else 0
    return Rules(
        credentials=credentials,
        nonces=NonceSource(key, features=FEATURE_PASSWORD_ALGORITHMS | hidden_names),
        policy=_policy_of(config, knows),
        quotas=config.quotas,
        rates=config.rates,
        tcp_to_peers=config.tcp_to_peers,
        alternate_servers=config.alternate_servers,
    )


def home_key_of(config: RelayConfig) -> bytes:
    """Derive the key of clients' home ports: with a shared secret the same after a restart.

    Args:
        config: The configuration.
    """
    if not config.shared_secrets:
        return _HOME_KEY_OF_THIS_PROCESS
    return hmac.digest(config.shared_secrets[0].encode(), b"relayed port key", hashlib.sha256)


def neighbourhood_of(config: RelayConfig) -> Neighbourhood:
    """Make the directory of relayed addresses.

    Args:
        config: The configuration.
    """
    public_hosts = frozenset(host.public_host for host in config.relay_hosts())
    is_loopback_lab = config.danger_allow_loopback_peers and all(
        TransportAddress(host, 0).ip.is_loopback for host in public_hosts
    )
    return Neighbourhood(public_hosts, may_leave_process=is_loopback_lab)


def _policy_of(config: RelayConfig, knows: Callable[[str], bool]) -> PeerPolicy:
    listening = {address.host for address in (*config.udp, *config.tcp, *config.tls)}
    relaying = {text for host in config.relay_hosts() for text in (host.bind_host, host.public_host)}
    return PeerPolicy(
        allow=config.allow_peers,
        deny=config.deny_peers,
        is_own=OwnAddresses(listening | relaying),
        danger_allow_private_peers=config.danger_allow_private_peers,
        danger_allow_loopback_peers=config.danger_allow_loopback_peers,
        knows=knows if config.peer_mode is PeerMode.KNOWN else None,
    )
