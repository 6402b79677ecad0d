"""The address at which the router forwards to us, as a candidate."""

from __future__ import annotations

from collections.abc import Callable

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.gather.candidates import CandidateBook, CandidateChange
from p2p.gather.portmap.mapper import PortMapper
from p2p.path.base import SocketBase
from p2p.path.endpoint import Endpoint
from p2p.proto.portmap.mapping import PortMapping, is_public
from p2p.proto.portmap.pcp import PCP_PORT


class MappedPort:
    """Has the router forward the port of our IPv4 socket, and announces what comes of it.

    A router's word alone is not believed: peers would send wherever it says. Its address must be one on the internet,
    and one at which a server outside has seen us; a router behind another NAT has neither.

    Concurrency: one event loop; runs in the scope that ``start`` is given.

    Args:
        endpoint: Has the socket.
        book: Is told the address.
        on_change: Told what has become of our candidates.
    """

    def __init__(
        self, endpoint: Endpoint, book: CandidateBook, *, on_change: Callable[[CandidateChange], None]
    ) -> None:
        self._endpoint = endpoint
        self._book = book
        self._on_change = on_change
        self._mapping: PortMapping | None = None
        self._announced: tuple[int, TransportAddress] | None = None
        self._mapper = PortMapper(self._port, on_mapped=self._mapped, on_lost=self._lost)
        self._is_wanted = False

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
        if mapping is None or base is None or not is_public(mapping.external.host):
            return
        server = TransportAddress(mapping.internal.host, PCP_PORT)
        if mapping.external.host not in self._book.mapped_hosts(base.base_id, but=server):
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
        return next((base for base in self._endpoint.sockets if not base.local_address.is_ipv6), None)

    def _port(self) -> int | None:
        base = self._socket()
        return None if base is None else base.local_address.port
