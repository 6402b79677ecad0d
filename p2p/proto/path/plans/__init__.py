"""Plans for the pairs of NATs that plain checks cannot join: guessing ports. See docs/protocol/connecting.md."""

from __future__ import annotations

from p2p.proto.path.plans.choice import PlanKind, choose_plan
from p2p.proto.path.plans.commands import (
    MAIN_SOCKET,
    AskServer,
    CloseSocket,
    Command,
    OpenSocket,
    SendCheck,
    TellPeer,
)
from p2p.proto.path.plans.guesser import PortGuesser, Situation
from p2p.proto.path.plans.hint import HintKind, PortHint
from p2p.proto.path.plans.limits import GuessLimits, Scarce, Slots, Turn

__all__ = [
    "MAIN_SOCKET",
    "AskServer",
    "CloseSocket",
    "Command",
    "GuessLimits",
    "HintKind",
    "OpenSocket",
    "PlanKind",
    "PortGuesser",
    "PortHint",
    "Scarce",
    "SendCheck",
    "Situation",
    "Slots",
    "TellPeer",
    "Turn",
    "choose_plan",
]
