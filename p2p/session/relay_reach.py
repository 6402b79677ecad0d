"""Which relays can be reached, over what, and how quickly."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from p2p.address import TransportAddress
from p2p.errors import P2PError
from p2p.gather.hosts import ANY_ADDRESSES
from p2p.gather.relay import allocate
from p2p.gather.relay_server import RelayServer
from p2p.path.endpoint import Endpoint
from p2p.proto.signalling.messages import TurnServer
from p2p.session.nat_report import RelayReach
from p2p.session.options import PeerOptions
from p2p.session.status import PathTransport
from p2p.session.trust import trust


async def reach_relays(
    relays: Sequence[TurnServer], options: PeerOptions, *, may_be_local: bool = False
) -> list[RelayReach]:
    """Take an address on each relay and give it back, all at once.

    Args:
        relays: With the credentials that the rendezvous gave.
        options: Say whom to trust.
        may_be_local: Whether they may be on this very host.
    """
    loop = asyncio.get_running_loop()
    endpoint = Endpoint(loop, _Nobody())
    try:
        for host in ANY_ADDRESSES:
            try:
                endpoint.open_socket(TransportAddress(host, 0))
            except P2PError:
                continue
        return await asyncio.gather(*(_reach(endpoint, turn, options, may_be_local=may_be_local) for turn in relays))
    finally:
        endpoint.close()


async def _reach(endpoint: Endpoint, turn: TurnServer, options: PeerOptions, *, may_be_local: bool) -> RelayReach:
    loop = asyncio.get_running_loop()
    transport = PathTransport.UDP
    try:
        server = RelayServer.from_turn(turn, may_be_local=may_be_local)
        transport = PathTransport(server.protocol.value)
        relay = await allocate(endpoint, server, ssl_context=trust(options))
    except P2PError as error:
        # The row of the report names the relay already.
        detail = error.detail.removeprefix(f"allocating on {turn.url} ")
        return RelayReach(url=turn.url, region=turn.region, transport=transport, reachable=False, detail=detail)
    # Giving the address back is one request and one answer.
    started_at = loop.time()
    await relay.release()
    rtt_s = loop.time() - started_at
    endpoint.remove(relay.base_id)
    return RelayReach(url=turn.url, region=turn.region, transport=transport, reachable=True, rtt_s=rtt_s)


class _Nobody:
    """Takes what arrives on sockets that only ask."""

    def stun_received(self, data: bytes, base_id: int, source: TransportAddress, now: float) -> None:
        pass

    def quic_received(
        self, buffer: bytes, segment_size: int, base_id: int, source: TransportAddress, now: float
    ) -> None:
        pass

    def drained(self, now: float) -> None:
        pass
