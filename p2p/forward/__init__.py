"""TCP connections on top of QUIC streams."""

from p2p.forward.counters import FlowSnapshot, ForwardSnapshot
from p2p.forward.credit import CreditPool
from p2p.forward.listener import TcpListenerForward
from p2p.forward.multiplexer import Multiplexer
from p2p.forward.observer import SessionObserver
from p2p.forward.sockets import raise_descriptor_limit
from p2p.forward.stdio import StdioFlow
from p2p.forward.target import FlowAcceptor, ServiceDialer, Target, TcpTarget, UnixTarget
from p2p.forward.transport import StreamHandler, StreamTransport

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
    "StreamTransport",
    "Target",
    "TcpListenerForward",
    "TcpTarget",
    "UnixTarget",
    "raise_descriptor_limit",
]
