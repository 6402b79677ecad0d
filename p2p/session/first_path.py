"""The way that a dialer's first packets take, before any check has run."""

from __future__ import annotations

from p2p.address import TransportAddress
from p2p.proto.ice import CandidateType
from p2p.proto.ice.agent import IceAgent
from p2p.session.node import Node
from p2p.session.options import RelayPolicy


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
