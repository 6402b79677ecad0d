"""Signalling straight from peer to peer, over the sockets that sessions use: no rendezvous in between."""

from p2p.proto.direct.datagram import FIRST_BYTE, derive_key
from p2p.proto.direct.envelope import Envelope
from p2p.proto.direct.events import Arrived, Delivered, DirectEvent, LineOpened, Undelivered
from p2p.proto.direct.exchange import DirectExchange
from p2p.proto.direct.label import lan_label

__all__ = [
    "FIRST_BYTE",
    "Arrived",
    "Delivered",
    "DirectEvent",
    "DirectExchange",
    "Envelope",
    "LineOpened",
    "Undelivered",
    "derive_key",
    "lan_label",
]
