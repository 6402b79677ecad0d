"""Passing knocks on, from the STUN port to the connection of whoever has hung the bell."""

from __future__ import annotations

import logging

from p2p.address import TransportAddress
from p2p.proto.signalling.messages import KnockDelivery, encode
from rendezvous.core.knocks import Knock, KnockResult
from rendezvous.hub import Hub

logger = logging.getLogger(__name__)


class KnockDesk:
    """Takes the pieces of knocks that the STUN service gets.

    Concurrency: one event loop; a short task of the hub for each knock that is passed on.

    Args:
        hub: What all connections share.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def take(self, piece: bytes, source: TransportAddress) -> bool:
        """Take a piece.

        Args:
            piece: The value of the attribute KNOCK.
            source: Who sent it.

        Returns:
            Whether the knock that it belongs to has been passed on.
        """
        hub = self._hub
        result, knock = hub.knocks.receive(piece, source, now=hub.loop.time(), now_wall=hub.now_wall())
        hub.metrics.count_knock(result)
        if knock is not None:
            hub.held.expect(knock.nonce, knock.seat, hub.loop.time())
            hub.tasks.start(self._pass_on(knock), name="rendezvous knock")
        return result in (KnockResult.TAKEN, KnockResult.REPEATED)

    async def _pass_on(self, knock: Knock) -> None:
        presence = await self._hub.registry.find(knock.seat)
        message = encode(KnockDelivery(body=knock.body, nonce=knock.nonce, source=knock.source))
        if presence is None or not await presence.member.deliver(message):
            logger.info("a knock at %s was not delivered", knock.seat.peer_id.short)
