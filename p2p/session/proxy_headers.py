"""Whose address an exposed service is told by the PROXY protocol."""

from __future__ import annotations

from collections.abc import Callable

from p2p.proto.proxy_protocol import ProxyHeader, encode_v1, encode_v2
from p2p.proto.tunnel.header import StreamHeader
from p2p.session.node import Node
from p2p.session.options import ProxySource, ProxyVersion
from p2p.session.peer_session import PeerSession


def announcer(
    session: PeerSession, node: Node, version: ProxyVersion, source: ProxySource
) -> Callable[[StreamHeader], bytes]:
    """Make what writes the header for each connection of a session.

    Args:
        session: The connecting side's.
        node: What the session lives on.
        version: The form of the header.
        source: Whose address is in it.
    """
    encode = encode_v1 if version is ProxyVersion.V1 else encode_v2

    def announce(header: StreamHeader) -> bytes:
        if source is ProxySource.CLIENT:
            return encode(ProxyHeader(header.origin, header.local) if header.origin and header.local else ProxyHeader())
        return encode(observed(session, node))

    return announce


def observed(session: PeerSession, node: Node) -> ProxyHeader:
    """The addresses between which packets of a session travel now, as we see them ourselves.

    On a direct path that is the peer's address outside its NAT, and ours that they arrive at. Over our relay it is
    where the relay gets them from, and our address there; over the peer's relay it is that relay's. The ports are the
    session's: all its connections have the same. Without a path it is unknown.
    """
    path = session.controller.selected_path
    base = None if path is None else node.endpoint.bases.get(path.base_id)
    if path is None or base is None:
        return ProxyHeader()
    # A socket may be open on all addresses; the pair knows which one it is.
    pairs = session.controller.report()
    local = next((pair.local for pair in pairs if pair.selected and pair.remote == path.remote), base.local_address)
    return ProxyHeader(path.remote, local)
