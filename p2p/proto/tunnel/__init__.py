"""What peers say to each other inside the QUIC connection; docs/protocol/tunnel.md describes it."""

from p2p.proto.tunnel.codes import GoodbyeCode, RefusalCode, StreamCode
from p2p.proto.tunnel.control import PROTOCOL_VERSIONS, ControlChannel, Role
from p2p.proto.tunnel.frames import AuthRequest, Hello
from p2p.proto.tunnel.header import FlowKind, StreamHeader
from p2p.proto.tunnel.ticket_proof import make_ticket_proof, verify_ticket_proof

__all__ = [
    "PROTOCOL_VERSIONS",
    "AuthRequest",
    "ControlChannel",
    "FlowKind",
    "GoodbyeCode",
    "Hello",
    "RefusalCode",
    "Role",
    "StreamCode",
    "StreamHeader",
    "make_ticket_proof",
    "verify_ticket_proof",
]
