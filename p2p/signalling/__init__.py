"""The peer's side of signalling: a WebSocket to the rendezvous."""

from p2p.proto.signalling.messages import TurnServer, Welcome
from p2p.signalling.client import Resolution, SignallingClient, SignallingState

__all__ = ["Resolution", "SignallingClient", "SignallingState", "TurnServer", "Welcome"]
