"""The addresses at which routers forward to us, or let packets in, as candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.gather.candidates import CandidateBook, CandidateChange
from p2p.gather.portmap.mapper import PortMapper
from p2p.path.base import SocketBase
from p2p.path.endpoint import Endpoint
from p2p.proto.portmap.mapping import PortMapping, is_public
from p2p.proto.portmap.pcp import PCP_PORT
from p2p.session.own_addresses import any_leads_here


class MappedPort:
    """Has the router of one address family forward the port of our socket, and announces what comes of it.

    A router's word alone is not believed: peers would send wherever it says. Its address must be one on the internet,
    and one at which a server outside has seen us; a router behind another NAT has neither. A pinhole, as IPv6 has, is
    at our own address, and needs no witness.

    Concurrency: one event loop; runs in the scope that ``start`` is given.

    Args:
        endpoint: Has the socket.
        book: Is told the address.
        on_change: Told what has become of our candidates.
        on_announced: Told that the router announces something.
        is_ipv6: Which address family it is for.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        book: CandidateBook,
        *,
        on_change: Callable[[CandidateChange], None],
        on_announced: Callable[[], None] = lambda: None,
        is_ipv6: bool = False,
    ) -> None:
        self._endpoint = endpoint
        self._book = book
        self._on_change = on_change
        self._mapping: PortMapping | None = None
        self._announced: tuple[int, TransportAddress] | None = None
        self._is_ipv6 = is_ipv6
        self._mapper = PortMapper(
            self._port, on_mapped=self._mapped, on_lost=self._lost, on_announced=on_announced, is_ipv6=is_ipv6
        )
        self._is_wanted = False

    @property
    def address(self) -> TransportAddress | None:
        """Where the router forwards to us, as far as that is believed."""
        return self._mapping.external if self._mapping is not None and self._announced is not None else None

    def start(self, scope: TaskScope) -> None:
        """Ask from now on; the port is given back when the scope ends."""
        self._is_wanted = True
        scope.start(self._mapper.run(), name="port mapping")

    def network_changed(self) -> None:
        """Ask again where we are now."""
        if self._is_wanted:
            self._mapper.network_changed()

    def check(self) -> None:
        """Find out whether the router still knows us."""
        self._mapper.check()

    def seen_outside(self) -> None:
        """Look at the book again: a server has told where it sees us."""
        mapping = self._mapping
        base = self._socket()
        if mapping is None or base is None:
            return
        server = TransportAddress(mapping.internal.host, PCP_PORT)
        is_seen = mapping.external.host in self._book.mapped_hosts(base.base_id, but=server)
        if not mapping.is_pinhole and not (is_seen and is_public(mapping.external.host)):
            return
        self._announced = base.base_id, server
        self._on_change(self._book.set_mapped(base.base_id, mapping.external, server))

    def _mapped(self, mapping: PortMapping) -> None:
        self._withdraw()
        self._mapping = mapping
        self.seen_outside()

    def _lost(self) -> None:
        self._mapping = None
        self._withdraw()

    def _withdraw(self) -> None:
        announced, self._announced = self._announced, None
        if announced is not None:
            self._on_change(self._book.forget_mapped(*announced))

    def _socket(self) -> SocketBase | None:
        return next((base for base in self._endpoint.sockets if base.local_address.is_ipv6 is self._is_ipv6), None)

    def _port(self) -> int | None:
        base = self._socket()
        return None if base is None else base.local_address.port


class MappedPorts:
    """A ``MappedPort`` for each address family.

    A router that has restarted may announce it over one family only, or in the other one to the wrong interface. So
    when it is heard in one, it is asked in both.

    Concurrency: see there.

    Args:
        endpoint: Has the sockets.
        book: Is told the addresses.
        on_change: Told what has become of our candidates.
    """

    def __init__(
        self, endpoint: Endpoint, book: CandidateBook, *, on_change: Callable[[CandidateChange], None]
    ) -> None:
        self._ports = tuple(
            MappedPort(endpoint, book, on_change=on_change, on_announced=self.check, is_ipv6=is_ipv6)
            for is_ipv6 in (False, True)
        )

    @property
    def addresses(self) -> tuple[TransportAddress, ...]:
        """Where routers forward to us, or let packets in, as far as that is believed."""
        return tuple(port.address for port in self._ports if port.address is not None)

    def start(self, scope: TaskScope, urls: Sequence[str], hosts: Sequence[str]) -> None:
        """Ask from now on, where a rendezvous elsewhere will tell whether it works; see ``MappedPort.start``.

        Args:
            scope: Where it runs.
            urls: Of rendezvous servers; nothing is asked where there is none, or one is on this host.
            hosts: The addresses of this host.
        """
        if urls:
            scope.start(self._start(scope, urls, hosts), name="port mappings")

    async def _start(self, scope: TaskScope, urls: Sequence[str], hosts: Sequence[str]) -> None:
        if not await any_leads_here(urls, hosts):
            for port in self._ports:
                port.start(scope)

    def network_changed(self) -> None:
        """See ``MappedPort.network_changed``."""
        for port in self._ports:
            port.network_changed()

    def check(self) -> None:
        """See ``MappedPort.check``."""
        for port in self._ports:
            port.check()

    def seen_outside(self) -> None:
        """See ``MappedPort.seen_outside``."""
        for port in self._ports:
            port.seen_outside()
