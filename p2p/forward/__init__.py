"""Connections and datagrams of local programs on top of one QUIC connection."""

from p2p.forward.counters import FlowSnapshot, ForwardSnapshot
from p2p.forward.credit import CreditPool
from p2p.forward.listener import StreamListenerForward
from p2p.forward.multiplexer import Multiplexer
from p2p.forward.observer import SessionObserver
from p2p.forward.stdio import StdioFlow
from p2p.forward.target import FlowAcceptor, ServiceDialer
from p2p.forward.transport import StreamHandler, StreamTransport
from p2p.forward.udp_listener import UdpListenerForward

__all__ = [
    "CreditPool",
    "FlowAcceptor",
    "FlowSnapshot",
    "ForwardSnapshot",
    "Multiplexer",
    "ServiceDialer",
    "SessionObserver",
    "StdioFlow",
    "StreamHandler",
    "StreamListenerForward",
    "StreamTransport",
    "UdpListenerForward",
]
