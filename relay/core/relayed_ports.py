"""Relayed transport addresses: on which hosts, with which ports, and which wait for a second Allocate."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from p2p.defaults import RELAY_PORT_ATTEMPTS, RELAY_PORT_FIRST, RELAY_PORT_LAST, RELAY_RESERVATION_LIFETIME_S
from p2p.errors import ConnectivityError, ErrorCode, RelayError
from relay.core.allocation import RelayedSocket
from relay.core.expiry import ExpiryWheel
from relay.core.ports import PortPool

CODE_NO_PORT: Final = ErrorCode(
    "P2P-5302", "Wait for allocations to end, or widen the relay's port range.", retryable=True
)

RESERVATION_TOKEN_BYTES: Final = 8


class NoPortError(RelayError):
    """No relayed transport address of the wanted kind is free."""

    default_code = CODE_NO_PORT


@dataclass(frozen=True, kw_only=True, slots=True)
class RelayHost:
    """An address of this host that allocations get ports on.

    Attributes:
        bind_host: Where relayed sockets are bound.
        public_host: What peers and clients see instead, behind a one-to-one NAT; the same without one.
        first_port: The lowest port.
        last_port: The highest port, itself included.
    """

    bind_host: str
    public_host: str
    first_port: int = RELAY_PORT_FIRST
    last_port: int = RELAY_PORT_LAST

    @property
    def is_ipv6(self) -> bool:
        """Whether it is an IPv6 address."""
        return ":" in self.bind_host


SocketOpener: TypeAlias = Callable[[RelayHost, int, bool], RelayedSocket]
"""Binds a relayed socket, for TCP if the last argument says so; raises ConnectivityError when another program has the
port."""


class RelayedPorts:
    """Opens and closes relayed sockets, and keeps reserved ones until they are claimed.

    Args:
        hosts: Addresses to use; those of one family are filled in this order.
        open_socket: Binds a socket.
        random_bytes: Source of randomness.
        home_key: Secret; with the same key a client gets the same port again, so that after a restart its peers find it
            where it was.
    """

    def __init__(
        self,
        hosts: Iterable[RelayHost],
        *,
        open_socket: SocketOpener,
        random_bytes: Callable[[int], bytes],
        home_key: bytes,
    ) -> None:
        self._home_key = home_key
        self._open_socket = open_socket
        self._random_bytes = random_bytes
        self._pools = {host: PortPool(host.first_port, host.last_port, random_bytes=random_bytes) for host in hosts}
        self._host_of_socket: dict[RelayedSocket, RelayHost] = {}
        self._reserved: dict[bytes, tuple[RelayedSocket, Callable[[], None]]] = {}
        self._expiries: ExpiryWheel[bytes] = ExpiryWheel()

    def has_family(self, is_ipv6: bool) -> bool:
        """Whether there are relayed addresses of a family."""
        return any(host.is_ipv6 == is_ipv6 for host in self._pools)

    def usage(self) -> dict[str, tuple[int, int]]:
        """How many ports of each public host are in use, and how many there are."""
        sizes = {host: host.last_port - host.first_port + 1 for host in self._pools}
        return {host.public_host: (sizes[host] - len(pool), sizes[host]) for host, pool in self._pools.items()}

    def open(self, is_ipv6: bool, now: float, *, holder: str, is_tcp: bool = False) -> RelayedSocket:
        """Open a socket on the port that is its holder's home, or on a random one while that is in use or at rest.

        Args:
            is_ipv6: The address family.
            now: Monotonic instant in seconds.
            holder: Who gets it, named in the same words each time.
            is_tcp: Whether it is for TCP connections and not for datagrams.

        Raises:
            NoPortError: There is none.
        """
        for host, pool in self._pools_of(is_ipv6):
            home = self._home_port(host, holder)
            for attempt in range(RELAY_PORT_ATTEMPTS):
                port = pool.take(now, rather=None if attempt else home)
                if port is None:
                    break
                try:
                    return self._bind(host, port, now, is_tcp=is_tcp)
                except ConnectivityError:
                    continue  # another program has it; it rests with the others
        raise NoPortError("no port is free")

    def open_even(
        self, is_ipv6: bool, now: float, *, on_reservation_over: Callable[[], None] | None = None
    ) -> tuple[RelayedSocket, bytes | None]:
        """Open a socket on an even port.

        Args:
            is_ipv6: The address family.
            now: Monotonic instant in seconds.
            on_reservation_over: If given, the next port is held for the client's next allocation, and this is called
                when it is held no longer, whether it was claimed or not.

        Returns:
            The socket, and the token of the reservation if one was wanted.

        Raises:
            NoPortError: There is none.

        Source: RFC 8656 section 7.2, RESERVATION-TOKEN and EVEN-PORT.
        """
        reserve_next = on_reservation_over is not None
        for host, pool in self._pools_of(is_ipv6):
            for _ in range(RELAY_PORT_ATTEMPTS):
                port = pool.take_even(now, with_next=reserve_next)
                if port is None:
                    break
                try:
                    even = self._bind(host, port, now)
                except ConnectivityError:
                    if reserve_next:
                        pool.give_back(port + 1, now)
                    continue
                if on_reservation_over is None:
                    return even, None
                try:
                    odd = self._bind(host, port + 1, now)
                except ConnectivityError:
                    self.release(even, now)
                    continue
                return even, self._reserve(odd, now, on_reservation_over)
        raise NoPortError("no even port is free")

    def claim(self, token: bytes) -> RelayedSocket:
        """Take the socket that was reserved.

        Args:
            token: What ``open_even`` returned.

        Raises:
            NoPortError: There is no such reservation, or it has ended.
        """
        if token not in self._reserved:
            raise NoPortError("no such reservation")
        self._expiries.cancel(token)
        return self._end_reservation(token)

    def release(self, socket: RelayedSocket, now: float) -> None:
        """Close a socket and let its port rest."""
        socket.close()
        host = self._host_of_socket.pop(socket)
        self._pools[host].give_back(socket.port, now)

    def next_at(self) -> float | None:
        """When the next reservation ends, as a monotonic instant, or None."""
        return self._expiries.next_at()

    def expire(self, now: float) -> None:
        """End the reservations that nobody claimed."""
        for token in self._expiries.pop_due(now):
            self.release(self._end_reservation(token), now)

    def close(self, now: float) -> None:
        """End all reservations."""
        for token in list(self._reserved):
            self._expiries.cancel(token)
            self.release(self._end_reservation(token), now)

    def _pools_of(self, is_ipv6: bool) -> list[tuple[RelayHost, PortPool]]:
        return [(host, pool) for host, pool in self._pools.items() if host.is_ipv6 == is_ipv6]

    def _home_port(self, host: RelayHost, holder: str) -> int:
        # As hard to guess as a random one for whoever lacks the key.
        digest = hmac.digest(self._home_key, f"{host.bind_host} {holder}".encode(), hashlib.sha256)
        return host.first_port + int.from_bytes(digest[:8], "big") % (host.last_port - host.first_port + 1)

    def _bind(self, host: RelayHost, port: int, now: float, *, is_tcp: bool = False) -> RelayedSocket:
        try:
            socket = self._open_socket(host, port, is_tcp)
        except ConnectivityError:
            self._pools[host].give_back(port, now)
            raise
        self._host_of_socket[socket] = host
        return socket

    def _end_reservation(self, token: bytes) -> RelayedSocket:
        socket, on_over = self._reserved.pop(token)
        on_over()
        return socket

    def _reserve(self, socket: RelayedSocket, now: float, on_over: Callable[[], None]) -> bytes:
        token = self._random_bytes(RESERVATION_TOKEN_BYTES)
        self._reserved[token] = (socket, on_over)
        self._expiries.schedule(token, now + RELAY_RESERVATION_LIFETIME_S)
        return token
