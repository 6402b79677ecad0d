"""Which addresses of one peer our relay lets through to us."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Sequence
from typing import Final

from p2p.address import TransportAddress
from p2p.defaults import SESSION_PERMITTED_HOSTS
from p2p.path.relay_base import RelayBase
from p2p.session.plausible import is_plausible

_ANY_PORT: Final = 9
"""A relay asks for a port where none matters; this one is nobody's (RFC 863)."""


class PeerPermissions:
    """The permissions of one session, at whatever relay we have at the time.

    A relay grants so many to one allocation, which all sessions of this program share. So a peer gets a few, and
    they are given back when its session ends.

    Args:
        limit: How many hosts; half of it for host candidates, mostly private ones that no relay reaches, the other
            half for those that the outside sees.
    """

    def __init__(self, limit: int = SESSION_PERMITTED_HOSTS) -> None:
        self._limit = limit // 2
        self._hosts: dict[str, TransportAddress] = {}
        self._own_word = 0
        self._relay: RelayBase | None = None

    def add(self, address: TransportAddress, relay: RelayBase | None, *, is_host: bool = False) -> None:
        """Let an address of the peer, with any port, send to us, unless it has named enough others.

        Args:
            address: From signalling.
            relay: The one we have now.
            is_host: Whether it is a host candidate.
        """
        if address.host in self._hosts:
            return
        used = self._own_word if is_host else len(self._hosts) - self._own_word
        if used >= self._limit:
            return
        self._own_word += is_host
        self._hosts[address.host] = address
        if relay is not None and relay is self._relay:
            self._permit(address)
        else:
            self.use(relay)

    def add_seen(self, host: str, relay: RelayBase | None, own_hosts: Sequence[str]) -> None:
        """Let in from the relay whom the rendezvous saw, and who comes by the same relay as we.

        A dialer's candidates come later than its first packet, which would find the relay shut.

        Args:
            host: What the dialer says that the rendezvous saw; nonsense is ignored.
            relay: The one we have now.
            own_hosts: This host's addresses.
        """
        with contextlib.suppress(ValueError):
            address = TransportAddress(str(ipaddress.ip_address(host)), _ANY_PORT)
            if is_plausible(address, own_hosts):
                self.add(address, relay)
        if relay is not None:
            self.add(relay.local_address, relay)

    def use(self, relay: RelayBase | None) -> None:
        """Ask a relay for all of them; one that was used before is gone, and its permissions with it."""
        if relay is self._relay:
            return
        self._relay = relay
        for address in self._hosts.values():
            self._permit(address)

    def release(self) -> None:
        """Give them back."""
        relay, self._relay = self._relay, None
        if relay is not None:
            for address in self._hosts.values():
                if address.is_ipv6 is relay.local_address.is_ipv6:
                    relay.forbid(address)
        self._hosts.clear()

    def _permit(self, address: TransportAddress) -> None:
        if self._relay is not None and address.is_ipv6 is self._relay.local_address.is_ipv6:
            self._relay.permit(address)
