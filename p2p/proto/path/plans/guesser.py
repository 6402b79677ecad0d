"""When to guess ports, by which plan, and when to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from p2p.address import TransportAddress
from p2p.defaults import (
    BIRTHDAY_COOLDOWN_S,
    GUESS_AGAIN_MOST_S,
    GUESS_AGAIN_S,
    GUESS_GRACE_ROUND_TRIPS,
    GUESS_GRACE_S,
    GUESS_GRACE_UNSURE_S,
    GUESS_RETRY_S,
    GUESS_TURN_POLL_S,
    GUESS_TURN_WAIT_S,
    QUIC_INITIAL_RTT_S,
)
from p2p.proto.path.plans.birthday import BirthdayPlan
from p2p.proto.path.plans.choice import PlanKind, choose_plan
from p2p.proto.path.plans.commands import CloseSocket, Command
from p2p.proto.path.plans.hint import HintKind, PortHint
from p2p.proto.path.plans.limits import GuessLimits, Turn
from p2p.proto.path.plans.meeting import MeetingPlan
from p2p.proto.path.plans.plan import Plan, PlanSetting
from p2p.proto.path.plans.spray import SprayPlan
from p2p.proto.path.plans.window import WindowPlan
from p2p.proto.path.reason import NatFacts
from p2p.proto.stun.message import Message
from p2p.proto.stun.nat import FilteringBehaviour, PortAllocation


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What is known when the guesser is asked.

    Attributes:
        local: About our network.
        remote: About the peer's.
        server: A STUN server that we can ask over IPv4.
        peer: The peer's mapped IPv4 address.
        rtt_s: The round-trip time of the path in use.
        has_direct_path: Whether there is a direct path that works.
        own: Our own mapped IPv4 address.
        port_range: The lowest and the highest port that our NAT was seen to give at random, at its one address.
        met: The plan's sockets on which checks of the peer's arrived, or answers to ours, and where these came from.
    """

    local: NatFacts
    remote: NatFacts
    server: TransportAddress | None
    peer: TransportAddress | None
    rtt_s: float | None
    has_direct_path: bool
    own: TransportAddress | None = None
    port_range: tuple[int, int] | None = None
    met: tuple[tuple[int, TransportAddress], ...] = ()


class PortGuesser:
    """Runs the plan that two NATs call for, once plain checks have had their chance.

    Driven by the session: ``update`` whenever anything of the situation may have changed; after any call the commands
    are to be done in order, and ``handle_timer`` called when ``get_timer`` says. A plan that did all it could in vain
    runs again, each time after a longer pause, as long as there is no direct path; also after one was lost.

    States: idle, waiting for the grace to pass or for its turn, running a plan, done, for now or for good. Timers: the
    grace, the turn, the pause, those of the plan.

    Args:
        random_bytes: Where randomness comes from.
        controlling: Our role.
        limits: Shared by the program's sessions.
    """

    def __init__(self, *, random_bytes: Callable[[int], bytes], controlling: bool, limits: GuessLimits) -> None:
        self._random_bytes = random_bytes
        self._controlling = controlling
        self._limits = limits
        self._numbers = count()
        self._situation: Situation | None = None
        self._kind = PlanKind.NONE
        self._plan: Plan | None = None
        self._winner: int | None = None
        self._commands: list[Command] = []
        self._hint: PortHint | None = None
        self._began_at: float | None = None
        self._not_before = 0.0
        self._start_at: float | None = None
        self._turn_until: float | None = None
        self._asked_at: float | None = None
        self._again_at: float | None = None
        self._failures = 0
        self._is_done = self._was_direct = self._is_scattered = False

    @property
    def is_pending(self) -> bool:
        """Whether a plan runs or is about to: the verdict waits for it."""
        return self._plan is not None or self._start_at is not None or self._turn_until is not None

    @property
    def kind(self) -> PlanKind:
        """The plan that the two NATs call for, by what is known now."""
        return self._kind

    # --- what happens --------------------------------------------------------------------------------------
    def update(self, situation: Situation, now: float) -> None:
        """Take what is known now. The first call starts the clock.

        Args:
            situation: All of it.
            now: The monotonic time.
        """
        self._situation = situation
        if self._began_at is None:
            self._began_at = now
        if situation.met and self._plan is not None:
            for socket, remote in situation.met:
                self._plan.met(socket, remote, now)
            self._settle(now)
        if situation.has_direct_path:
            self._was_direct = True
            self._stop(now)
        elif self._was_direct:
            self._was_direct = self._is_done = False
            self._began_at = now
            self._failures = 0
        self._plan_start(now)

    def receive_hint(self, hint: PortHint, now: float) -> None:
        """Take the peer's hint; before its facts are known it is kept."""
        if hint.kind in (HintKind.WAIT, HintKind.TURN):
            self._turn_told(hint.kind, now)
            return
        if self._plan is not None:
            self._plan.receive_hint(hint, now)
            self._settle(now)
            return
        self._hint = hint
        if self._is_done and now >= self._not_before:
            self._is_done = False
        self._plan_start(now)

    def receive_answer(self, message: Message, socket: int, now: float) -> bool:
        """Take a message that may be a STUN server's answer to a plan's question; see ``Plan``."""
        if self._plan is None or not self._plan.receive_answer(message, socket, now):
            return False
        self._settle(now)
        return True

    def close(self, now: float) -> None:
        """End what runs; sockets are the caller's to close."""
        self._is_done = True
        self._stop(now)

    # --- the verbs -----------------------------------------------------------------------------------------
    def take_commands(self) -> list[Command]:
        """Take what must be done, in order."""
        commands, self._commands = self._commands, []
        return commands

    def get_timer(self) -> float | None:
        """When ``handle_timer`` must be called next, or None."""
        if self._plan is not None:
            return self._plan.get_timer()
        if self._turn_until is not None:
            return self._turn_until
        return self._again_at if self._start_at is None else self._start_at

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        if self._plan is not None:
            self._plan.handle_timer(now)
            self._settle(now)
        elif self._turn_until is not None:
            if now >= self._turn_until:
                self._turn_until = None
        elif self._start_at is not None and now >= self._start_at:
            self._begin(now)
        elif self._again_at is not None and now >= self._again_at:
            self._again_at = None
            self._is_done = False
            self._plan_start(now)

    # --- inside --------------------------------------------------------------------------------------------
    def _plan_start(self, now: float) -> None:
        """Work out whether and when to begin, by what is known now."""
        situation = self._situation
        if situation is None or self._began_at is None or self._plan is not None:
            return
        self._kind = choose_plan(situation.local, situation.remote)
        if self._kind is PlanKind.WINDOW and self._is_scattered:
            self._kind = PlanKind.BIRTHDAY
        is_ready = situation.server is not None and (
            situation.peer is not None or self._kind in (PlanKind.SPRAY, PlanKind.MEETING)
        )
        if self._kind is PlanKind.NONE or self._is_done or situation.has_direct_path or not is_ready:
            self._start_at = None
            self._limits.leave(self, now)
            return
        rtt_s = GUESS_GRACE_ROUND_TRIPS * (situation.rtt_s or 0.0)
        self._start_at = max(self._began_at + max(self._grace_s(situation), rtt_s), self._not_before)
        if self._is_awaited() and now >= self._not_before:
            self._begin(now)

    def _grace_s(self, situation: Situation) -> float:
        is_unsure = situation.remote.filtering is FilteringBehaviour.UNKNOWN
        return GUESS_GRACE_UNSURE_S if self._kind is PlanKind.BIRTHDAY and is_unsure else GUESS_GRACE_S

    def _is_awaited(self) -> bool:
        """Whether the peer has begun already, and told us what we need."""
        if self._hint is None:
            return False
        if self._kind is PlanKind.MEETING:
            return self._hint.kind is HintKind.NEXT
        return self._kind is PlanKind.SPRAY and self._hint.kind is not HintKind.NEXT

    def _begin(self, now: float) -> None:
        self._start_at = self._again_at = None
        if not self._is_my_turn(now):
            return
        plan = self._make()
        if plan is None:
            self._is_done = True
            self._hint = None
        else:
            self._run(plan, now)

    def _is_my_turn(self, now: float) -> bool:
        """Ask for a birthday or a meeting; later again when others come first."""
        turn = self._ask_turn(now)
        self._asked_at = now if self._asked_at is None else self._asked_at
        if turn is Turn.WAIT and now < self._asked_at + GUESS_TURN_WAIT_S:
            self._is_done = False
            self._start_at = self._not_before = now + GUESS_TURN_POLL_S
            return False
        self._asked_at = None
        if turn is not Turn.GRANTED:
            self._is_done = True
            self._again_at = now + self._pause_s()
            self._limits.leave(self, now)
        return turn is Turn.GRANTED

    def _ask_turn(self, now: float) -> Turn:
        if self._kind is PlanKind.BIRTHDAY and self._situation is not None and self._situation.peer is not None:
            return self._claim(self._situation.peer.host, now)
        if self._kind is PlanKind.WINDOW:
            return self._limits.begin_window(self)
        if self._kind is not PlanKind.MEETING:
            return Turn.GRANTED
        if self._controlling:
            return self._limits.begin_meeting(self)
        # The dialer says whose turn it is.
        return Turn.GRANTED if self._hint is not None or self._limits.begin_meeting(self) is Turn.GRANTED else Turn.WAIT

    def _turn_told(self, kind: HintKind, now: float) -> None:
        """The peer, which would have to try our doors, has no time now, or has it at last."""
        if kind is HintKind.WAIT and isinstance(self._plan, BirthdayPlan):
            self._end_plan(now, failed=False)
            self._turn_until = now + GUESS_TURN_WAIT_S
        elif kind is HintKind.TURN and self._turn_until is not None:
            self._turn_until = None
            self._is_done = False
            self._not_before = now
            self._plan_start(now)

    def _make(self) -> Plan | None:
        situation = self._situation
        if situation is None or situation.server is None:
            return None
        # Only the hard side sends to the mapped address.
        peer = situation.peer or situation.server
        setting = PlanSetting(
            random_bytes=self._random_bytes,
            numbers=self._numbers,
            server=situation.server,
            peer=peer,
            step=situation.local.port_step,
            rtt_s=situation.rtt_s or QUIC_INITIAL_RTT_S,
            controlling=self._controlling,
            limits=self._limits,
            own=situation.own,
            port_range=situation.port_range,
        )
        match self._kind:
            case PlanKind.WINDOW:
                return WindowPlan(setting, is_sequential=situation.local.allocation is PortAllocation.SEQUENTIAL)
            case PlanKind.BIRTHDAY:
                return BirthdayPlan(setting)
            case PlanKind.SPRAY:
                return SprayPlan(setting, may_spray=self._claim)
            case PlanKind.MEETING:
                return MeetingPlan(setting)
            case _:
                return None

    def _run(self, plan: Plan, now: float) -> None:
        if self._winner is not None:
            # What it led to is lost, or there would be nothing to guess.
            self._commands.append(CloseSocket(self._winner))
            self._winner = None
        self._plan = plan
        plan.start(now)
        if self._hint is not None:
            plan.receive_hint(self._hint, now)
            self._hint = None
        self._settle(now)

    def _settle(self, now: float) -> None:
        """Take what the plan wants done; when it is over, so are we, unless ports turned out to be scattered."""
        plan = self._plan
        if plan is None:
            return
        self._commands += plan.take_commands()
        if not plan.is_over:
            return
        self._end_plan(now, failed=True)
        if isinstance(plan, WindowPlan) and plan.is_scattered:
            self._is_scattered = True
            self._kind = PlanKind.BIRTHDAY
            self._begin(now)

    def _end_plan(self, now: float, *, failed: bool) -> None:
        plan, self._plan = self._plan, None
        if plan is None:
            return
        plan.end()
        self._commands += plan.take_commands()
        self._is_done = True
        self._winner = plan.winner
        if plan.has_acted:
            self._not_before = now + GUESS_RETRY_S
        if failed and self._begins_by_itself:
            self._again_at = now + self._pause_s()
            self._failures += 1
        self._limits.leave(self, now, failed=failed)

    @property
    def _begins_by_itself(self) -> bool:
        """Whether the peer waits for us to begin, and not we for the peer."""
        return self._controlling if self._kind is PlanKind.MEETING else self._kind is not PlanKind.SPRAY

    def _pause_s(self) -> float:
        """How long to leave it alone after one more failure."""
        cooldown_s = BIRTHDAY_COOLDOWN_S if self._kind is PlanKind.BIRTHDAY else 0.0
        return cooldown_s + min(GUESS_AGAIN_S * 2.0**self._failures, GUESS_AGAIN_MOST_S)

    def _stop(self, now: float) -> None:
        self._start_at = self._turn_until = self._again_at = None
        self._end_plan(now, failed=False)
        self._limits.leave(self, now)

    def _claim(self, network: str, now: float) -> Turn:
        """Ask for a birthday with a network."""
        situation = self._situation
        if situation is None or situation.local.birthday_disabled or situation.remote.birthday_disabled:
            return Turn.REFUSED
        return self._limits.begin_birthday(self, network, now)
