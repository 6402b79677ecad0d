"""Keys, peer ids, certificates, sealed bodies, tickets and known peers."""

from p2p.identity.keys import Identity
from p2p.identity.known_peers import KnownPeers
from p2p.identity.peer_id import PeerId
from p2p.identity.sealing import OpenedBody, ReplayGuard
from p2p.identity.ticket import Ticket

__all__ = ["Identity", "KnownPeers", "OpenedBody", "PeerId", "ReplayGuard", "Ticket"]
