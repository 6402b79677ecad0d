"""An offer that goes ahead of the connection to the rendezvous, by UDP: the dialer's knock."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from p2p.address import TransportAddress
from p2p.aio.driver import MachineDriver
from p2p.defaults import STUN_PORT
from p2p.errors import DecodeError
from p2p.identity import Identity, PeerId, Ticket
from p2p.path.base import SocketBase
from p2p.proto.signalling import early_login
from p2p.proto.signalling.bodies import Offer, decode_packed_untrusted, encode_packed
from p2p.proto.signalling.knock import bell_key, make_pieces
from p2p.proto.signalling.knocker import KnockAnswered, Knocker

logger = logging.getLogger(__name__)


def make_knock(identity: Identity, ticket: Ticket, offer: Offer, *, now_wall: float) -> tuple[bytes, ...]:
    """Seal an offer and cut it into the pieces of a knock.

    Args:
        identity: Whose offer it is.
        ticket: What it asks for.
        offer: With the dialer's instance.
        now_wall: The present, Unix seconds.

    Raises:
        LocalProtocolError: The offer is too long to go ahead.
        IdentityError: The ticket's peer id is no usable key.
    """
    exposer_id = ticket.peer_id.public_key
    sealed = identity.seal(ticket.peer_id, encode_packed(offer), now_wall=now_wall)
    key = bell_key(ticket.secret, exposer_id, ticket.service)
    return make_pieces(key, exposer_id, early_login.make_nonce(now_wall, os.urandom), sealed)


def read_knock(peer: PeerId, data: bytes) -> Offer | None:
    """Read what a knock carried; nonsense is logged.

    Args:
        peer: Who has sealed it.
        data: Opened.
    """
    try:
        body = decode_packed_untrusted(data)
    except DecodeError as error:
        logger.info("knock of %s dropped: %s", peer.short, error)
        return None
    return body if isinstance(body, Offer) else None


class Knocking:
    """One knock, from our socket to the STUN port of a rendezvous.

    The port is the well-known one, for nothing is known of the server yet but its name. What answers there and does not
    know what a knock is tells us our mapped address at least.

    Concurrency: one event loop; ``run`` is awaited once, ``close`` stops it.

    Args:
        loop: The event loop.
        sockets: Ours, one for each address family.
        url: The rendezvous'.
        pieces: From ``make_knock``.
        on_mapped: Called with a socket's base id, its mapped address and the server that told it.

    Attributes:
        server: Where the knock has gone, or None.
        is_taken: Whether the server has passed the knock on.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sockets: Sequence[SocketBase],
        url: str,
        pieces: Sequence[bytes],
        *,
        on_mapped: Callable[[int, TransportAddress, TransportAddress], None],
    ) -> None:
        self.server: TransportAddress | None = None
        self.is_taken = False
        self._loop = loop
        self._sockets = sockets
        self._host = urlsplit(url).hostname or ""
        self._pieces = pieces
        self._on_mapped = on_mapped
        self._base_id = 0
        self._driver: MachineDriver[KnockAnswered] | None = None
        self._is_closed = False

    async def run(self) -> None:
        """Look the server up and knock; without a name to look up the knock has left when this waits first."""
        addresses = await self._look_up()
        for address in addresses:
            for base in self._sockets:
                if base.local_address.is_ipv6 is address.is_ipv6 and not self._is_closed:
                    self._knock(base, address)
                    return
        logger.info("no address to knock at %s", self._host)

    def stun_received(self, data: bytes, base_id: int, source: TransportAddress, now: float) -> bool:
        """Take the server's answer.

        Returns:
            Whether it was one.
        """
        return self._driver is not None and base_id == self._base_id and self._driver.receive(data, source, now)

    def close(self) -> None:
        """Send and hear no more."""
        self._is_closed = True
        if self._driver is not None:
            self._driver.close()

    async def _look_up(self) -> list[TransportAddress]:
        try:
            return [TransportAddress(str(ipaddress.ip_address(self._host)), STUN_PORT)]
        except ValueError:
            pass
        try:
            entries = await self._loop.getaddrinfo(self._host, STUN_PORT, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError):
            return []
        return [TransportAddress.from_socket(entry[4]) for entry in entries]

    def _knock(self, base: SocketBase, server: TransportAddress) -> None:
        self.server = server
        knocker = Knocker(server, self._pieces, os.urandom)
        self._base_id = base.base_id
        self._driver = MachineDriver(
            self._loop,
            knocker,
            send=lambda data, destination: base.send((data,), destination),
            on_event=lambda event: self._answered(event, server),
        )
        knocker.start(self._loop.time())
        self._driver.poke()

    def _answered(self, event: KnockAnswered, server: TransportAddress) -> None:
        self.is_taken = self.is_taken or event.is_taken
        self._on_mapped(self._base_id, event.mapped_address, server)
