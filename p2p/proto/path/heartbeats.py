"""How often paths are kept open: by what is known of how long the NAT in front of us keeps an unused mapping."""

from __future__ import annotations

from p2p.defaults import (
    HEARTBEAT_LIFETIME_SHARE,
    HEARTBEAT_LOSSES,
    HEARTBEAT_MIN_S,
    HEARTBEAT_STANDBY_MAX_S,
    PATH_HEARTBEAT_S,
    PATH_STANDBY_HEARTBEAT_S,
)


class Heartbeats:
    """The intervals of one program, whose sessions share a NAT: measured before, corrected by what paths notice.

    A mapping that is known to live long is refreshed less often, and one that lives shortly more often than usual. The
    path in use has a heartbeat for another reason as well, to find out that it is dead, and never waits longer for it.

    A path that is answered after some time in which it sent nothing shows whether it still has the mapping of before.
    One that was lost may be a router's that restarted, so a second one is waited for. That a mapping seems to be kept
    proves nothing of how long it lives: the NAT may have given the same port again.

    Attributes:
        used_s: Between two heartbeats of a path in use, in seconds.
        standby_s: The same for what is to be there when it is needed: paths in reserve, and our address on a relay.
    """

    def __init__(self) -> None:
        self.used_s = PATH_HEARTBEAT_S
        self.standby_s = PATH_STANDBY_HEARTBEAT_S
        self._measured: tuple[float, float | None] | None = None
        self._lost_after_s: float | None = None
        self._suspected: list[float] = []

    def measured(self, lifetime: tuple[float, float | None] | None) -> None:
        """Take what was found out on purpose, and forget what was noticed: we are in another network, perhaps.

        Args:
            lifetime: After how many seconds without traffic a mapping was still there, and after how many it was gone,
                None if it never was; None where nothing is known.
        """
        self._measured = lifetime
        self._lost_after_s = None
        self._suspected.clear()
        self._decide()

    def noticed(self, quiet_s: float, *, is_kept: bool) -> None:
        """Take what a path has shown.

        Args:
            quiet_s: How long it had sent nothing, in seconds.
            is_kept: Whether the peer sees us at the address of before.
        """
        if is_kept:
            self._suspected = [suspected_s for suspected_s in self._suspected if suspected_s > quiet_s]
            return
        self._suspected.append(quiet_s)
        if len(self._suspected) >= HEARTBEAT_LOSSES:
            lost_after_s = max(self._suspected)
            self._lost_after_s = lost_after_s if self._lost_after_s is None else min(self._lost_after_s, lost_after_s)
            self._suspected.clear()
            self._decide()

    def _decide(self) -> None:
        standby_s = PATH_STANDBY_HEARTBEAT_S
        if self._measured is not None:
            least_s, most_s = self._measured
            # What was found gone late and never found there may have gone at any time before.
            lives_s = least_s if most_s is None or least_s > HEARTBEAT_LIFETIME_SHARE * most_s else most_s
            standby_s = min(HEARTBEAT_LIFETIME_SHARE * lives_s, HEARTBEAT_STANDBY_MAX_S)
            if most_s is None:
                standby_s = max(standby_s, PATH_STANDBY_HEARTBEAT_S)
        if self._lost_after_s is not None:
            standby_s = min(standby_s, HEARTBEAT_LIFETIME_SHARE * self._lost_after_s)
        self.standby_s = max(standby_s, HEARTBEAT_MIN_S)
        self.used_s = min(PATH_HEARTBEAT_S, self.standby_s)
