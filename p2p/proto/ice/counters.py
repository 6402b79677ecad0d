"""What an agent dropped."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class IceCounters:
    """What an agent dropped, and how often.

    Attributes:
        malformed: Looked like STUN and did not decode, or lacked what a check must have.
        wrong_credentials: The integrity did not match, or an answer had none.
        asymmetric: An answer came from elsewhere than the check went to, or to another transport.
        not_allowed: A check on a direct path while only relays are allowed.
        no_room: A candidate or pair for which there was no room.
        role_conflicts: Times both sides claimed one role.
        events: Events that nobody took.
    """

    malformed: int = 0
    wrong_credentials: int = 0
    asymmetric: int = 0
    not_allowed: int = 0
    no_room: int = 0
    role_conflicts: int = 0
    events: int = 0
