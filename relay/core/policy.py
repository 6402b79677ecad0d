"""Which peers the relay may send to: public addresses, and what the operator says."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Final

from p2p.errors import ConfigError, ErrorCode, RelayError
from relay.core.special_ranges import (
    LOOPBACK,
    NEVER,
    OTHER,
    PRIVATE,
    IPAddress,
    IPNetwork,
    embedded_ipv4,
)

CODE_PEER_FORBIDDEN: Final = ErrorCode(
    "P2P-5301", "Relay to a public address, or let the relay's operator put the peer's network on its allow list."
)


class PeerForbiddenError(RelayError):
    """The relay does not send to this peer."""

    default_code = CODE_PEER_FORBIDDEN


class _Verdict(IntEnum):
    """Who decided about a network; of two rules for the very same network the larger one holds."""

    BUILT_IN_DENY = 0
    DANGER_ALLOW = 1
    ALLOW = 2
    DENY = 3


_ALLOWING: Final = (_Verdict.ALLOW, _Verdict.DANGER_ALLOW)


class PeerPolicy:
    """Decides about peers by the most specific network that holds an address.

    Everything that is not global unicast is denied to begin with. The operator's rules compete with that and with
    each other: the longer prefix wins, and of two rules for one network deny wins. So ``allow 10.1.0.0/16`` opens one
    private network, and ``deny 0.0.0.0/0`` with ``allow 198.51.100.0/24`` makes an allow list of one entry.

    The host's own addresses are always denied (services behind the firewall trust them), in any spelling.

    Args:
        allow: Networks that peers may be in.
        deny: Networks that peers may not be in.
        is_own: Whether an address belongs to this host.
        danger_allow_private_peers: Open private, shared, documentation and benchmark networks: for a laboratory, or
            for a relay whose users are trusted with the network behind it.
        danger_allow_loopback_peers: Open the loopback network: for tests on one machine.
        knows: If given, only hosts that it says yes to may be peers, and those that ``allow`` names.

    Raises:
        ConfigError: The allow list names multicast, broadcast, unspecified or IPv4-mapped addresses.
    """

    def __init__(
        self,
        *,
        allow: Iterable[IPNetwork] = (),
        deny: Iterable[IPNetwork] = (),
        is_own: Callable[[IPAddress], bool],
        danger_allow_private_peers: bool = False,
        danger_allow_loopback_peers: bool = False,
        knows: Callable[[str], bool] | None = None,
    ) -> None:
        self._knows = knows
        self._is_own = is_own
        self._own_loopback_is_fine = danger_allow_loopback_peers
        self._rules: dict[int, dict[int, dict[int, _Verdict]]] = {4: {}, 6: {}}
        for network in (*LOOPBACK, *PRIVATE, *NEVER, *OTHER):
            self._add(network, _Verdict.BUILT_IN_DENY)
        for network in PRIVATE if danger_allow_private_peers else ():
            self._add(network, _Verdict.DANGER_ALLOW)
        for network in LOOPBACK if danger_allow_loopback_peers else ():
            self._add(network, _Verdict.DANGER_ALLOW)
        for network in allow:
            if any(network.version == never.version and network.subnet_of(never) for never in NEVER):  # type: ignore[arg-type]
                raise ConfigError(f"no peer can ever be in {network}")
            self._add(network, _Verdict.ALLOW)
        for network in deny:
            self._add(network, _Verdict.DENY)
        self._prefixes = {version: sorted(rules, reverse=True) for version, rules in self._rules.items()}

    def check(self, host: str, *, is_renewal: bool = False) -> None:
        """Make sure that the relay may send to a host.

        Args:
            host: The peer's IP address, in any spelling.
            is_renewal: Whether it may at this moment: who was known once need not be known for ever.

        Raises:
            PeerForbiddenError: It may not.
        """
        address = ipaddress.ip_address(host)
        verdict = self._check_one(address)
        for hidden in embedded_ipv4(address):
            self._check_one(hidden)
        if self._knows is None or is_renewal or verdict is _Verdict.ALLOW:
            return
        if not self._knows(host):
            raise PeerForbiddenError(f"nobody at {address} uses this server")

    def _check_one(self, address: IPAddress) -> _Verdict | None:
        verdict = self._verdict(address)
        if verdict is not None and verdict not in _ALLOWING:
            raise PeerForbiddenError(f"{address} is in a network that is denied")
        if not (self._own_loopback_is_fine and address.is_loopback) and self._is_own(address):
            raise PeerForbiddenError(f"{address} is the relay's own address")
        return verdict

    def _verdict(self, address: IPAddress) -> _Verdict | None:
        rules, value, bits = self._rules[address.version], int(address), address.max_prefixlen
        for prefix in self._prefixes[address.version]:
            verdict = rules[prefix].get(value >> (bits - prefix))
            if verdict is not None:
                return verdict
        return None

    def _add(self, network: IPNetwork, verdict: _Verdict) -> None:
        rules = self._rules[network.version].setdefault(network.prefixlen, {})
        key = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
        rules[key] = max(verdict, rules.get(key, verdict))
