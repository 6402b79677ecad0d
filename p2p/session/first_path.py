"""What is done before the peers know each other's addresses: a dialer's first packets, an exposer's first check."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from p2p.address import TransportAddress
from p2p.defaults import KNOCK_CHECK_AFTER_S
from p2p.proto.ice import REMOTE_BASE_ID, Candidate, CandidateType
from p2p.proto.ice.agent import IceAgent
from p2p.session.node import Node
from p2p.session.options import RelayPolicy

if TYPE_CHECKING:
    from p2p.session.peer_session import PeerSession


def way_to_relay(node: Node, agent: IceAgent) -> tuple[int, TransportAddress] | None:
    """Choose a base of ours and a relayed address of the peer.

    A socket only when a STUN server has answered it: else UDP may be blocked, and the first packets lost.

    Args:
        node: Ours.
        agent: Knows the peer's addresses.

    Returns:
        The base's id and the address; None when there is no way yet.
    """
    is_socket_usable = node.options.relay_policy is not RelayPolicy.ONLY and node.mapped_address is not None
    sockets = node.endpoint.sockets if is_socket_usable else ()
    for remote in agent.remote_candidates:
        if remote.type is not CandidateType.RELAYED:
            continue
        for base in (node.relay, *sockets):
            if base is not None and base.local_address.is_ipv6 is remote.address.is_ipv6:
                return base.base_id, remote.address
    return None


async def check_knock(session: PeerSession, source: TransportAddress, sessions: Mapping[str, PeerSession]) -> None:
    """Exposer: check where a dialer's knock came from, its socket by the rendezvous' word.

    Not at once: a check that comes before the dialer has sent one finds its NAT closed. Some routers then take it for
    their own and give the dialer another port for us, so that neither side reaches the other any more.

    Args:
        session: The dialer's.
        source: Where the knock came from.
        sessions: Those that are.
    """
    await asyncio.sleep(KNOCK_CHECK_AFTER_S)
    if sessions.get(session.session_id) is session:
        seen = Candidate.local(CandidateType.SERVER_REFLEXIVE, source, REMOTE_BASE_ID)
        session.add_remote((seen.to_wire(),))
