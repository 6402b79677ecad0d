"""The peer's side of signalling: a WebSocket to the rendezvous."""

from p2p.proto.signalling.messages import TurnServer, Welcome
from p2p.signalling.client import SignallingClient
from p2p.signalling.values import Resolution, SignallingState

__all__ = ["Resolution", "SignallingClient", "SignallingState", "TurnServer", "Welcome"]
