"""The path controller: keeps every way to the peer that works, and says which one carries data now."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from p2p import defaults
from p2p.address import TransportAddress
from p2p.proto.ice import (
    Candidate,
    CandidatePair,
    CheckListCompleted,
    Credentials,
    IceAgent,
    IceEvent,
    PairChecked,
    PairConfirmed,
    PairFailed,
    PairFailure,
    PairKey,
    PairReclassified,
    PairRemoved,
    PairState,
    PairValidated,
    PeerReflexiveDiscovered,
    Transmit,
)
from p2p.proto.path.book import PathBook
from p2p.proto.path.events import (
    AllPathsLost,
    ChecksExhausted,
    OwnAddressSeen,
    PathAdded,
    PathDoubted,
    PathEvent,
    PathLost,
    PathSelected,
)
from p2p.proto.path.heartbeats import Heartbeats
from p2p.proto.path.path import PairReport, Path, PathKind, PathStatus, report_pairs
from p2p.proto.path.policy import SelectionReason, choose, choose_second
from p2p.proto.path.reason import NatFacts
from p2p.proto.path.recheck import RecheckSchedule
from p2p.proto.path.verdict import Verdict
from p2p.proto.stun.message import Message


class PathController:
    """All paths to one peer, from the first check to the last packet.

    Owns an ``IceAgent``. Where textbook ICE freezes one pair at nomination, here every valid pair stays a path:
    it is kept open by heartbeats, its round-trip time is measured, and the policy picks the one to send on,
    anew whenever something changes. Each side picks for itself among pairs that its own checks validated;
    the controlling side tells its choice by nominating. The first path, mostly a relay's, is used at once; a
    direct one replaces it as soon as there is one. A path in doubt goes on carrying data while a second one
    carries a copy.

    How it is driven: see ``p2p.proto.path``.

    Timers: those of the agent; each path's next probe, doubt and end; new attempts on failed pairs; the verdict
    for checks that cannot succeed. Events: ``p2p.proto.path.events.PathEvent``.

    Args:
        local: Our credentials.
        controlling: Whether we take the controlling role: the dialer does.
        random_bytes: Where randomness comes from.
        direct_enabled: Whether direct paths may be used; if not, they are neither tried nor answered.
        heartbeats: How often paths are kept open, shared by sessions behind one NAT; None means as usual.
        wider_bytes: What a path in use is tried for beyond ``QUIC_PACKET_BYTES``; see ``PathWidth``.
    """

    def __init__(
        self,
        *,
        local: Credentials,
        controlling: bool,
        random_bytes: Callable[[int], bytes],
        direct_enabled: bool = True,
        heartbeats: Heartbeats | None = None,
        wider_bytes: tuple[int, ...] = defaults.PATH_WIDER_BYTES,
    ) -> None:
        self.agent = IceAgent(
            local=local, controlling=controlling, random_bytes=random_bytes, relay_only=not direct_enabled
        )
        self._direct_enabled = direct_enabled
        self._book = PathBook(heartbeats, wider_bytes)
        self._selected: Path | None = None
        self._sending: tuple[Path, ...] = ()
        self._rechecks = RecheckSchedule()
        self._events: deque[PathEvent] = deque(maxlen=defaults.PATH_MAX_EVENTS)
        self._verdict = Verdict()
        self._own_timer: float | None = None
        self._uneasy = False

    # --- Sending paths -------------------------------------------------------------------------------------
    @property
    def sending_paths(self) -> tuple[Path, ...]:
        """Where to send data: one path; two while the first is in doubt; none before there is any."""
        return self._sending

    @property
    def selected_path(self) -> Path | None:
        """The path that the policy chose, or the optimistic one."""
        return self._selected

    def packet_bytes(self, path: Path) -> int:
        """Return how long a packet may be on a path: what it has proven to carry, or what every path must."""
        return self._book.packet_bytes(path.key)

    @property
    def has_direct_path(self) -> bool:
        """Whether a validated direct path is alive, selected or not."""
        return self._book.has_direct()

    def is_validated(self, base_id: int, remote: TransportAddress) -> bool:
        """Whether the way from a local transport to an address is a path: checks were answered, and it is alive."""
        return self._book.find(PairKey(base_id, remote)) is not None

    def set_optimistic(self, base_id: int, remote: TransportAddress) -> None:
        """Send on a path that no check has validated yet, until there is a validated one.

        Args:
            base_id: The local transport, mostly our relay allocation or a socket.
            remote: Mostly the peer's relayed address.
        """
        if self._book:
            return
        pair = self.agent.find_pair(base_id, remote)
        path = Path(base_id, remote, PathKind.RELAY) if pair is None else Path.of(pair)
        path = replace(path, validated=False)
        self._select(path, SelectionReason.OPTIMISTIC, None)
        self._sending = (path,)

    def sent(self, now: float) -> bool:
        """Note that data went out on the sending paths. Cheap: call it for each round of sending.

        Args:
            now: The monotonic time.

        Returns:
            Whether the timer has moved and should be set anew.
        """
        health = None if self._selected is None else self._book.find(self._selected.key)
        if health is None or not health.data_sent(now):
            return False
        self._plan(now)
        return True

    def packets_lost(self, now: float) -> bool:
        """Note that packets of data were lost, perhaps for their length; returns whether checks must go out for it."""
        health = None if self._selected is None else self._book.find(self._selected.key)
        return health is not None and health.width.packets_lost(now)

    def path_alive(self, base_id: int, remote: TransportAddress, now: float) -> None:
        """Note that an authenticated packet came in. Cheap: call it for each receive wake-up.

        Args:
            base_id: The local transport it arrived on.
            remote: Where it came from.
            now: The monotonic time.
        """
        health = self._book.find(PairKey(base_id, remote))
        if health is not None:
            health.heard(now)
            if self._uneasy:
                self._evaluate(now)

    # --- Candidates and credentials ------------------------------------------------------------------------
    def set_remote_credentials(self, credentials: Credentials) -> None:
        """Take the peer's credentials; checks start with them. See ``IceAgent``."""
        self.agent.set_remote_credentials(credentials)

    def add_local_candidate(self, candidate: Candidate) -> None:
        """Take a candidate of ours, at any time; the caller signals it to the peer."""
        self.agent.add_local_candidate(candidate)

    def add_remote_candidate(self, candidate: Candidate) -> None:
        """Take a candidate of the peer's, at any time."""
        self.agent.add_remote_candidate(candidate)

    def remove_remote_candidate(self, address: TransportAddress, now: float) -> None:
        """Learn that the peer is gone from an address: it is not tried any more, and a path to it is doubted."""
        self.agent.remove_remote_candidate(address)
        self._book.doubt(address)
        self._settle(now)

    def end_of_candidates(self, *, local: bool = False, remote: bool = False) -> None:
        """Learn that one side, or both, will name no more candidates."""
        self.agent.end_of_candidates(local=local, remote=remote)

    def remove_base(self, base_id: int, now: float) -> None:
        """Forget a local transport that is closed, with its paths."""
        self.agent.remove_base(base_id)
        self._settle(now)

    def set_nat_facts(self, local: NatFacts, remote: NatFacts, now: float) -> None:
        """Learn how both NATs behave: checks that cannot succeed are then called exhausted early.

        Args:
            local: About our network.
            remote: About the peer's, from its offer or answer.
            now: The monotonic time.
        """
        self._verdict.set_facts(local, remote)
        self._plan(now)

    def set_guessing(self, now: float, *, running: bool) -> None:
        """Learn whether ports are being guessed beside the plain checks: the verdict then waits for the end of it."""
        self._verdict.hold(held=running)
        self._plan(now)

    def network_changed(self, now: float) -> None:
        """Doubt everything: probe all paths now, try all failed pairs again now.

        Call it when an interface, a route or the public address changed, or after sleep; then gather again, add new
        candidates and remove old ones.
        """
        self._book.suspect()
        self._rechecks.all_due(self._failed_pairs(), now)
        self._settle(now)

    # --- The verbs -----------------------------------------------------------------------------------------
    def receive_stun(self, data: bytes, source: TransportAddress, base_id: int, now: float) -> bool:
        """Take a datagram that looks like STUN; see ``IceAgent.receive_stun``."""
        taken = self.agent.receive_stun(data, source, base_id, now)
        if taken:
            self._settle(now)
        return taken

    def receive_message(self, message: Message, source: TransportAddress, base_id: int, now: float) -> bool:
        """Take a STUN message that is decoded already; see ``IceAgent.receive_message``."""
        taken = self.agent.receive_message(message, source, base_id, now)
        if taken:
            self._settle(now)
        return taken

    def transmits(self, now: float) -> list[Transmit]:
        """Take what must be sent, in order."""
        self.agent.handle_timer(now)
        self._settle(now)
        transmits = self.agent.transmits(now)
        if transmits and self.agent.remote_credentials is not None and self._verdict.started(now):
            self._plan(now)
        return transmits

    def get_timer(self) -> float | None:
        """When ``handle_timer`` must be called next, or None; in the past when it is now."""
        timers = (self.agent.get_timer(), self._own_timer)
        return min((timer for timer in timers if timer is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Act on the timers that are due."""
        if self._own_timer is not None and now - self._own_timer > defaults.PATH_PAUSE_S:
            for health in self._book:
                health.forgive()
        self.agent.handle_timer(now)
        self._settle(now)

    def next_event(self) -> PathEvent | None:
        """Take the oldest event, or None."""
        return self._events.popleft() if self._events else None

    # --- Reports -------------------------------------------------------------------------------------------
    def paths(self, now: float) -> tuple[PathStatus, ...]:
        """Return how each validated path is doing."""
        sending = {path.key for path in self._sending}
        return tuple(health.status(now, in_use=health.path.key in sending) for health in self._book)

    def rtt_s(self, path: Path) -> float | None:
        """Return the smoothed round-trip time of a path, None when it is not a validated one."""
        health = self._book.find(path.key)
        return None if health is None else health.rtt_s

    def report(self) -> tuple[PairReport, ...]:
        """Return what became of each pair, best first."""
        return report_pairs(self.agent.check_list, controlling=self.agent.controlling, selected=self._selected)

    # --- Inside --------------------------------------------------------------------------------------------
    def _settle(self, now: float) -> None:
        """Bring everything up to date after anything may have changed."""
        while (event := self.agent.next_event()) is not None:
            self._take(event, now)
        direct = self._selected is not None and self._selected.is_direct and self._selected.validated
        duration_s = defaults.PATH_RECHECK_BRIEF_S if direct else defaults.ICE_CHECK_DURATION_S
        for pair in self._rechecks.take_due(now):
            self.agent.recheck(pair, duration_s)
        self._evaluate(now)

    def _take(self, event: IceEvent, now: float) -> None:
        match event:
            case PairValidated(pair, rtt_s):
                self._add_path(pair, rtt_s, now)
            case PairConfirmed(pair, rtt_s, size):
                if (health := self._book.find(pair.key)) is not None:
                    health.answered(rtt_s, now, size=size)
            case PairChecked(pair):
                if (health := self._book.find(pair.key)) is not None:
                    health.checked(now)
            case PairReclassified(pair):
                self._reclassify(pair)
            case PairFailed(pair, failure):
                self._rechecks.failed(pair, failure, now, without_path_s=self._book.without_path_s(now))
            case PairRemoved(pair):
                self._rechecks.forget(pair)
                if (health := self._book.remove(pair.key, now)) is not None:
                    self._tell_lost(health.path)
            case PeerReflexiveDiscovered(candidate, is_local=True):
                self._events.append(OwnAddressSeen(candidate.address))
            case CheckListCompleted():
                self._report_exhausted()

    def _add_path(self, pair: CandidatePair, rtt_s: float, now: float) -> None:
        first = not self._book
        health = self._book.add(pair, rtt_s, now)
        self._rechecks.forget(pair)
        self._events.append(PathAdded(health.path, rtt_s))
        if first:
            # The peer is there now, whatever has failed before: both sides fire together from here.
            self._rechecks.all_due(self._failed_pairs(), now)

    def _tell_lost(self, path: Path) -> None:
        self._events.append(PathLost(path))
        if not self._book:
            self._events.append(AllPathsLost())

    def _reclassify(self, pair: CandidatePair) -> None:
        health = self._book.find(pair.key)
        if health is None:
            return
        health.path = Path.of(pair)
        if self._selected is not None and self._selected.key == pair.key and self._selected != health.path:
            self._select(health.path, SelectionReason.RECLASSIFIED, health.rtt_s)

    def _failed_pairs(self) -> list[CandidatePair]:
        return [pair for pair in self.agent.check_list if pair.state is PairState.FAILED]

    def _evaluate(self, now: float) -> None:
        """Bury the dead, probe what is due, choose, and plan the next look."""
        for health in self._book:
            if health.dead(now):
                self._book.bury(health.path.key, now)
                self._tell_lost(health.path)
                self.agent.fail(health.pair, PairFailure.LOST)
                continue
            for size in health.probes(now):
                self.agent.ping(health.pair, now, size=size)
        while (event := self.agent.next_event()) is not None:
            self._take(event, now)
        self._choose(now)
        self._plan(now)

    def _choose(self, now: float) -> None:
        views = self._book.views(now, controlling=self.agent.controlling)
        choice = choose(views, self._selected)
        if choice is None:
            # Going on with the last one costs nothing, and its return is then noticed by both sides at once.
            if self._selected is not None:
                self._selected = replace(self._selected, validated=False)
                self._sending = (self._selected,)
            return
        chosen = self._book.find(choice.path.key)
        assert chosen is not None
        if choice.reason is not SelectionReason.KEPT:
            chosen.used_since = now
            self._select(chosen.path, choice.reason, chosen.rtt_s)
            if self.agent.controlling:
                self.agent.nominate(chosen.pair, now)
        was_uneasy, self._uneasy = self._uneasy, chosen.uneasy(now)
        if self._uneasy and not was_uneasy:
            self._events.append(PathDoubted(chosen.path))
        # Full packets may die on a path that lets checks through, so a copy takes the other way until one is through.
        second = choose_second(views, chosen.path) if self._uneasy or not chosen.is_wide else None
        self._sending = (chosen.path,) if second is None else (chosen.path, second)
        if (sized := self._book.sized(chosen.path)) is not None:
            self._events.append(sized)

    def _select(self, path: Path, reason: SelectionReason, rtt_s: float | None) -> None:
        previous, self._selected = self._selected, path
        if previous is not None and previous.key != path.key and (left := self._book.find(previous.key)) is not None:
            left.used_since = None
        self._events.append(PathSelected(path, previous, reason, rtt_s))
        if path.validated and not self._direct_enabled:
            self._report_exhausted()

    def _report_exhausted(self) -> None:
        if not self.has_direct_path and self._verdict.pronounce():
            self._events.append(ChecksExhausted(self.report()))

    def _plan(self, now: float) -> None:
        """Work out when to look again by ourselves."""
        timers = [at for at in (self._book.next_at(now), self._rechecks.get_timer()) if at is not None]
        due_at = None if self.has_direct_path else self._verdict.due_at(now)
        if due_at is not None and due_at <= now:
            self._report_exhausted()
        elif due_at is not None:
            timers.append(due_at)
        self._own_timer = min(timers, default=None)
