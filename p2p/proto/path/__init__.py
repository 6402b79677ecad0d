"""Which path carries a peer now: paths and their health, a pure policy, and why there is no better one.

How the controller is driven:

    controller = PathController(local=credentials, controlling=True, random_bytes=os.urandom)
    controller.add_local_candidate(Candidate.local(CandidateType.HOST, address, base_id=0))
    controller.set_optimistic(1, peer_relayed_address)          # QUIC may start over relay allocation 1
    controller.set_remote_credentials(credentials_of_the_offer, now)
    controller.add_remote_candidate(Candidate.from_wire_untrusted(line))
    # for each datagram:    STUN -> controller.receive_stun(data, source, base_id, now)
    #                       QUIC -> engine, then controller.path_alive(base_id, source, now)
    # for each sending:     for path in controller.sending_paths: bases[path.base_id].send(data, path.remote)
    #                       if controller.sent(now): set the timer anew
    # for each loss:        if controller.packets_lost(now): as after any of these
    # after any of these:   for transmit in controller.transmits(now): ...
    #                       while (event := controller.next_event()) is not None: ...
    #                       timer = controller.get_timer()      # when due: controller.handle_timer(now)
"""

from __future__ import annotations

from p2p.proto.path.controller import PathController
from p2p.proto.path.events import (
    AllPathsLost,
    ChecksExhausted,
    OwnAddressSeen,
    PathAdded,
    PathDoubted,
    PathEvent,
    PathLost,
    PathSelected,
    PathSized,
)
from p2p.proto.path.path import PairReport, Path, PathKind, PathStatus
from p2p.proto.path.policy import PathView, SelectionReason, choose, choose_second
from p2p.proto.path.reason import NatFacts, RelayReason, RelayReasonCode, plain_checks_can_succeed, why_relayed

__all__ = [
    "AllPathsLost",
    "ChecksExhausted",
    "NatFacts",
    "OwnAddressSeen",
    "PairReport",
    "Path",
    "PathAdded",
    "PathController",
    "PathDoubted",
    "PathEvent",
    "PathKind",
    "PathLost",
    "PathSelected",
    "PathSized",
    "PathStatus",
    "PathView",
    "RelayReason",
    "RelayReasonCode",
    "SelectionReason",
    "choose",
    "choose_second",
    "plain_checks_can_succeed",
    "why_relayed",
]
