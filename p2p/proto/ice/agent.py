"""The ICE agent: finds out between which addresses packets pass both ways."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from p2p import defaults
from p2p.address import TransportAddress
from p2p.errors import DecodeError, IntegrityError, LocalProtocolError
from p2p.proto.ice.candidate import (
    MAX_LOCAL_PREFERENCE,
    TYPE_PREFERENCE,
    Candidate,
    CandidateType,
    candidate_priority,
)
from p2p.proto.ice.counters import IceCounters
from p2p.proto.ice.credentials import Credentials
from p2p.proto.ice.events import (
    CheckListCompleted,
    IceEvent,
    PairChecked,
    PairConfirmed,
    PairFailed,
    PairNominated,
    PairValidated,
    RoleChanged,
    Transmit,
)
from p2p.proto.ice.messages import (
    BAD_REQUEST,
    ROLE_CONFLICT,
    UNKNOWN_ATTRIBUTE,
    IncomingCheck,
    check_request,
    error_response,
    read_check_untrusted,
    success_response,
)
from p2p.proto.ice.pair import CandidatePair, PairFailure, PairState
from p2p.proto.ice.pairing import Pairing
from p2p.proto.ice.scheduler import CheckScheduler
from p2p.proto.ice.transactions import Attempt, Transactions
from p2p.proto.stun.attributes import ERROR_CODE, XOR_MAPPED_ADDRESS
from p2p.proto.stun.integrity import short_term_key, verify
from p2p.proto.stun.message import (
    TRANSACTION_ID_BYTES,
    Message,
    MessageClass,
    Method,
    decode_untrusted,
    is_stun,
)

_TIE_BREAKER_BYTES: Final = 8
_PROBE_PRIORITY: Final = candidate_priority(TYPE_PREFERENCE[CandidateType.PEER_REFLEXIVE], MAX_LOCAL_PREFERENCE)


class IceAgent:
    """Connectivity checks for one component, full ICE with trickle.

    Driven by whoever owns the sockets: after any call, send what ``transmits`` returns, take events until
    ``next_event`` returns None, and set a timer to ``get_timer``.

    Candidates of either side may be added at any time; each new one makes pairs with those of the other side
    that share its address family, one for each local transport. Pairs are tried in order of priority, ``ICE_PACING_S``
    apart, each for ``ICE_CHECK_DURATION_S``; a check of the peer's goes before all others (triggered check).
    Checks that arrive before the peer's credentials are answered at once, and tried back when these come.

    States: those of each pair (``PairState``). Timers: pacing, the next attempt and the end of each pair's series,
    the patience for candidates that nobody ended. Events: ``p2p.proto.ice.events.IceEvent``.

    Deviations from RFC 8445: no Frozen state; attempts are separate transactions on a schedule of their own;
    wrong credentials are dropped without an answer, so that nobody can make us send to a forged source;
    nothing ends at nomination, for every valid pair stays one: the owner calls ``ping`` to keep it so.

    Args:
        local: Our credentials.
        controlling: Whether we take the controlling role: the dialer does.
        random_bytes: Where randomness comes from.
        relay_only: Whether pairs without a relay are neither tried nor answered.

    Source: RFC 8445, RFC 8838.
    """

    def __init__(
        self,
        *,
        local: Credentials,
        controlling: bool,
        random_bytes: Callable[[int], bytes],
        relay_only: bool = False,
    ) -> None:
        self.local_credentials = local
        self.remote_credentials: Credentials | None = None
        self.counters = IceCounters()
        self._previous_local: Credentials | None = None
        self._random_bytes = random_bytes
        self._tie_breaker = int.from_bytes(random_bytes(_TIE_BREAKER_BYTES), "big")
        self._relay_only = relay_only
        self._scheduler = CheckScheduler(controlling=controlling)
        self._pairs = self._scheduler.pairs
        self._pairing = Pairing(self._scheduler, relay_only=relay_only, counters=self.counters, emit=self._emit)
        self._transactions = Transactions()
        self._outgoing: list[Transmit] = []
        self._events: deque[IceEvent] = deque()
        self._patient_until: float | None = None
        self._local_ended = False
        self._remote_ended = False
        self._exhausted = False

    @property
    def controlling(self) -> bool:
        """Whether we have the controlling role now."""
        return self._scheduler.controlling

    # --- Candidates ----------------------------------------------------------------------------------------
    @property
    def check_list(self) -> tuple[CandidatePair, ...]:
        """Every pair, in the order of their making."""
        return tuple(self._pairs)

    @property
    def local_candidates(self) -> tuple[Candidate, ...]:
        """Our candidates, learned ones included."""
        return tuple(self._pairing.local)

    @property
    def remote_candidates(self) -> tuple[Candidate, ...]:
        """The peer's candidates, learned ones included."""
        return tuple(self._pairing.remotes)

    def add_local_candidate(self, candidate: Candidate) -> None:
        """Take a candidate of ours; it must be signalled to the peer by the caller.

        Pairs are made for the transport (``base_id``), not for every candidate on it: a reflexive candidate is
        reached through its base. Source: RFC 8445 section 6.1.2.4.

        Args:
            candidate: From ``Candidate.local``. A repeated one is ignored.
        """
        self._pairing.add_local(candidate)
        self._exhausted = False

    def add_base(self, candidate: Candidate) -> None:
        """Take a local transport that checks may arrive on, without trying any pair from it.

        For plans that open many sockets: a check that gets through makes the pair.

        Args:
            candidate: A host candidate that is not signalled.
        """
        self._pairing.add_base(candidate)

    def remove_base(self, base_id: int) -> None:
        """Forget a local transport that is closed, with its candidates and pairs."""
        self._pairing.remove_base(base_id)

    def add_remote_candidate(self, candidate: Candidate) -> None:
        """Take a candidate of the peer from signalling, at any time.

        Args:
            candidate: From ``Candidate.from_wire_untrusted``. One that was learned from a check already gets the
                type that is signalled now.
        """
        ufrag = None if self.remote_credentials is None else self.remote_credentials.ufrag
        self._pairing.add_remote(candidate, ufrag)
        self._exhausted = False

    def end_of_candidates(self, *, local: bool = False, remote: bool = False) -> None:
        """Learn that one side, or both, will name no more candidates. Source: RFC 8838 section 13."""
        self._local_ended |= local
        self._remote_ended |= remote

    def set_remote_credentials(self, credentials: Credentials) -> None:
        """Take the peer's credentials; checks start with them.

        Other ones than before mean that the peer has restarted: its candidates of before are forgotten, but for
        those of valid pairs, which go on with the new credentials.

        Args:
            credentials: From the offer or answer.
        """
        if credentials == self.remote_credentials:
            return
        self.remote_credentials = credentials
        self._pairing.start_generation(credentials.ufrag)
        self._remote_ended = False
        self._exhausted = False

    def restart(self, local: Credentials) -> None:
        """Start over with new credentials of ours, as after a change of network.

        Valid pairs stay valid; all others are tried again at once, with the peer's old credentials until its
        new ones come. Checks that name our old credentials are still answered, until the restart after this.

        Args:
            local: The new credentials, to be sent to the peer with the new candidates.

        Source: RFC 8445 section 9.
        """
        self._previous_local = self.local_credentials
        self.local_credentials = local
        self._local_ended = self._remote_ended = self._exhausted = False
        self._patient_until = None
        for pair in self._pairs:
            pair.nominated = pair.nominate_when_valid = False
            self.recheck(pair)

    # --- Commands on pairs ---------------------------------------------------------------------------------
    def find_pair(self, base_id: int, remote: TransportAddress) -> CandidatePair | None:
        """Return the pair between a local transport and an address of the peer."""
        return self._pairs.find(base_id, remote)

    def recheck(self, pair: CandidatePair, duration_s: float = defaults.ICE_CHECK_DURATION_S) -> None:
        """Try a failed pair again, from the start of its schedule; a valid one is left alone.

        Args:
            pair: Of this agent.
            duration_s: How long to try.
        """
        if pair.state is not PairState.SUCCEEDED:
            pair.duration_s = duration_s
            self._scheduler.recheck(pair)

    def fail(self, pair: CandidatePair, failure: PairFailure) -> None:
        """Give up a pair, valid or not, on the evidence of the owner, for example unanswered pings."""
        self._scheduler.end(pair)
        if pair.state is not PairState.FAILED:
            pair.state = PairState.FAILED
            pair.failure = failure
            pair.nominated = False
            self._emit(PairFailed(pair, failure))

    def ping(self, pair: CandidatePair, now: float) -> None:
        """Send one check on a pair at once, outside the pacing; the answer is ``PairConfirmed``.

        Args:
            pair: Of this agent.
            now: The monotonic time.
        """
        if self.remote_credentials is not None:
            self._send_attempt(pair, now, nominate=False)

    def nominate(self, pair: CandidatePair, now: float) -> None:
        """Tell the peer which pair was chosen; only the controlling side does. Source: RFC 8445 section 8.1.1.

        Args:
            pair: A valid pair.
            now: The monotonic time.

        Raises:
            LocalProtocolError: We are controlled, or the pair is not valid.
        """
        if not self.controlling or pair.state is not PairState.SUCCEEDED:
            raise LocalProtocolError("only the controlling side nominates, and only a valid pair")
        if not pair.nominated:
            self._scheduler.start_nomination(pair, now)

    def probe(self, base_id: int, now: float) -> bytes:
        """Make a check that may be sent to any number of addresses, to find the port of a hard NAT.

        Whoever gets it answers, and tries the way back. An answer, from wherever it comes, is taken for a sign
        of the peer's address, which is then checked properly.

        Args:
            base_id: The transport it will be sent from.
            now: The monotonic time.

        Returns:
            The same bytes for every destination; make new ones every few seconds.

        Raises:
            LocalProtocolError: The base or the peer's credentials are not known.
        """
        base, remote = self._pairing.bases.get(base_id), self.remote_credentials
        if base is None or remote is None:
            raise LocalProtocolError("a probe needs a known base and the peer's credentials")
        transaction_id = self._random_bytes(TRANSACTION_ID_BYTES)
        attempt = Attempt(None, base_id, None, now, remote.password, self.controlling)
        self._transactions.add(transaction_id, attempt)
        return self._request(transaction_id, base, remote, nominate=False)

    # --- The verbs -----------------------------------------------------------------------------------------
    def receive_stun(self, data: bytes, source: TransportAddress, base_id: int, now: float) -> bool:
        """Take a datagram from the network.

        Args:
            data: Any bytes.
            source: Where it came from; for a relay allocation, the peer address that the relay named.
            base_id: The local transport it arrived on.
            now: The monotonic time.

        Returns:
            Whether it belonged to this agent; if not, another one may want it.
        """
        if not is_stun(data):
            return False
        try:
            message = decode_untrusted(data)
        except DecodeError:
            self.counters.malformed += 1
            return False
        return self.receive_message(message, source, base_id, now)

    def receive_message(self, message: Message, source: TransportAddress, base_id: int, now: float) -> bool:
        """Take a STUN message that is decoded already; see ``receive_stun``.

        For sockets that many agents share: decode once, then ask each.
        """
        if message.method != Method.BINDING or base_id not in self._pairing.bases:
            return False
        if message.message_class is MessageClass.REQUEST:
            return self._receive_request(message, source, base_id, now)
        if message.message_class is MessageClass.INDICATION:
            return False
        return self._receive_response(message, source, base_id, now)

    def transmits(self, now: float) -> list[Transmit]:
        """Take what must be sent, in order."""
        self._pump(now)
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def get_timer(self) -> float | None:
        """When ``handle_timer`` must be called next, or None; in the past when it is now."""
        if self.remote_credentials is None:
            return None
        timers = (self._scheduler.get_timer(), self._patient_until)
        return min((timer for timer in timers if timer is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Act on the timers that are due."""
        self._pump(now)

    def next_event(self) -> IceEvent | None:
        """Take the oldest event, or None."""
        return self._events.popleft() if self._events else None

    # --- Sending -------------------------------------------------------------------------------------------
    def _pump(self, now: float) -> None:
        """Send the check whose slot has come, give up pairs whose time is over, notice the end of it all."""
        if self.remote_credentials is None:
            return
        for pair in self._scheduler.expired(now):
            if pair.state is PairState.SUCCEEDED:
                self._scheduler.end(pair)
            else:
                self.fail(pair, PairFailure.UNANSWERED)
        pair_due = self._scheduler.take_slot(now)
        if pair_due is not None:
            if self._patient_until is None and not self._exhausted:
                self._patient_until = now + defaults.ICE_PATIENCE_S
            pair_due.attempts += 1
            self._send_attempt(
                pair_due, now, nominate=pair_due.series is not None and pair_due.series.nominate and self.controlling
            )
        if self._patient_until is not None and now >= self._patient_until:
            self.end_of_candidates(local=True, remote=True)
            self._patient_until = None
        if not self._exhausted and self._local_ended and self._remote_ended and self._scheduler.is_idle():
            self._exhausted = True
            self._patient_until = None
            self._emit(CheckListCompleted(len(self._pairing.proven())))

    def _send_attempt(self, pair: CandidatePair, now: float, *, nominate: bool) -> None:
        remote = self.remote_credentials
        assert remote is not None
        transaction_id = self._random_bytes(TRANSACTION_ID_BYTES)
        base_id, destination = pair.key
        attempt = Attempt(pair, base_id, destination, now, remote.password, self.controlling, nominate)
        self._transactions.add(transaction_id, attempt)
        data = self._request(transaction_id, pair.local, remote, nominate=nominate)
        self._outgoing.append(Transmit(base_id, destination, data))

    def _request(self, transaction_id: bytes, base: Candidate, remote: Credentials, *, nominate: bool) -> bytes:
        return check_request(
            transaction_id,
            local=self.local_credentials,
            remote=remote,
            priority=base.check_priority,
            controlling=self.controlling,
            tie_breaker=self._tie_breaker,
            nominate=nominate,
        )

    # --- Checks of the peer's ------------------------------------------------------------------------------
    def _receive_request(self, message: Message, source: TransportAddress, base_id: int, now: float) -> bool:
        credentials = [ours for ours in (self.local_credentials, self._previous_local) if ours is not None]
        try:
            check = read_check_untrusted(message, credentials)
        except IntegrityError:
            self.counters.wrong_credentials += 1
            return True
        if check is None:
            return False
        if message.unknown_required or check.priority is None:
            code = UNKNOWN_ATTRIBUTE if message.unknown_required else BAD_REQUEST
            self.counters.malformed += 1
            self._outgoing.append(Transmit(base_id, source, error_response(check, code)))
            return True
        base = self._pairing.bases[base_id]
        if self._relay_only and not (base.via_relay or self._is_via_relay(source, check.priority)):
            self.counters.not_allowed += 1
            return True
        if not self._resolve_role(check):
            self._outgoing.append(Transmit(base_id, source, error_response(check, ROLE_CONFLICT)))
            return True
        self._outgoing.append(Transmit(base_id, source, success_response(check, source)))
        remote = self._pairing.remote_for(source, check.priority, check.sender_fragment)
        self._triggered_check(base, remote, nominate=check.nominate)
        return True

    def _is_via_relay(self, source: TransportAddress, priority: int) -> bool:
        known = self._pairing.remotes.find(source)
        return priority >> 24 == 0 if known is None else known.via_relay

    def _triggered_check(self, base: Candidate, remote: Candidate, *, nominate: bool) -> None:
        """Try the way back of a check that arrived. Source: RFC 8445 sections 7.3.1.4 and 7.3.1.5."""
        pair = self._pairing.pair_for(base, remote)
        if pair is None:
            return
        self._emit(PairChecked(pair))
        if nominate and not self.controlling:
            pair.nominate_when_valid = True
        if pair.state is PairState.SUCCEEDED:
            self._take_nomination(pair)
            return
        if pair.state is PairState.FAILED:
            self._scheduler.recheck(pair)
        self._pairs.trigger(pair)

    def _resolve_role(self, check: IncomingCheck) -> bool:
        """Settle who controls when both sides claim the same.

        Returns:
            Whether to go on; if not, the peer must change its role.

        Source: RFC 8445 section 7.3.1.1.
        """
        if check.controlling is None or check.controlling != self.controlling:
            return True
        self.counters.role_conflicts += 1
        if (self._tie_breaker >= check.tie_breaker) == self.controlling:
            return False
        self._switch_role()
        return True

    def _switch_role(self) -> None:
        self._scheduler.controlling = not self.controlling
        self._emit(RoleChanged(self.controlling))

    # --- Answers to our checks -----------------------------------------------------------------------------
    def _receive_response(self, message: Message, source: TransportAddress, base_id: int, now: float) -> bool:
        attempt = self._transactions.find(message.transaction_id)
        if attempt is None:
            return False
        try:
            verify(message, short_term_key(attempt.password))
        except IntegrityError:
            self.counters.wrong_credentials += 1
            return True
        self._transactions.end(message.transaction_id)
        is_success = message.message_class is MessageClass.SUCCESS
        mapped_address = message.get(XOR_MAPPED_ADDRESS)
        pair = attempt.pair
        if pair is None:
            if is_success and base_id == attempt.base_id:
                self._receive_probe_answer(source, self._pairing.bases[base_id])
        elif self._pairs.find(*pair.key) is not pair:
            return True
        elif (source, base_id) != (attempt.destination, attempt.base_id):
            self.counters.asymmetric += 1
            self._fail_unless_valid(pair, PairFailure.ASYMMETRIC)
        elif not is_success:
            self._receive_error(message, attempt, pair)
        elif mapped_address is None:
            self.counters.malformed += 1
        else:
            self._succeed(pair, attempt, mapped_address, now)
        return True

    def _receive_probe_answer(self, source: TransportAddress, base: Candidate) -> None:
        """Check the address that answered a probe; any number of them may."""
        ufrag = None if self.remote_credentials is None else self.remote_credentials.ufrag
        self._triggered_check(base, self._pairing.remote_for(source, _PROBE_PRIORITY, ufrag), nominate=False)

    def _receive_error(self, message: Message, attempt: Attempt, pair: CandidatePair) -> None:
        """Change the role when it conflicts, give up otherwise. Source: RFC 8445 section 7.2.5.1."""
        error = message.get(ERROR_CODE)
        if error is None or error.code != ROLE_CONFLICT:
            self._fail_unless_valid(pair, PairFailure.REJECTED)
            return
        if attempt.controlling == self.controlling:
            self.counters.role_conflicts += 1
            self._tie_breaker = int.from_bytes(self._random_bytes(_TIE_BREAKER_BYTES), "big")
            self._switch_role()
        if pair.state is not PairState.SUCCEEDED:
            self._scheduler.recheck(pair)
            self._pairs.trigger(pair)

    def _succeed(self, pair: CandidatePair, attempt: Attempt, mapped_address: TransportAddress, now: float) -> None:
        """Take a proof that packets pass both ways. Source: RFC 8445 section 7.2.5.3."""
        rtt_s = max(now - attempt.sent_at, 0.0)
        pair.rtt_s = rtt_s
        pair.mapped_address = mapped_address
        pair.failure = PairFailure.NONE
        if pair.series is not None and (attempt.nominate or not pair.series.nominate):
            self._scheduler.end(pair)
        if pair.state is PairState.SUCCEEDED:
            self._emit(PairConfirmed(pair, rtt_s))
        else:
            pair.state = PairState.SUCCEEDED
            self._emit(PairValidated(pair, rtt_s))
        self._pairing.learn_local(pair.local, mapped_address)
        if attempt.nominate and attempt.controlling:
            pair.nominate_when_valid = True
        self._take_nomination(pair)

    def _take_nomination(self, pair: CandidatePair) -> None:
        """Make a pair the nominated one, when it was asked for; the latest takes the place of all others."""
        if not pair.nominate_when_valid:
            return
        pair.nominate_when_valid = False
        if not pair.nominated:
            for other in self._pairs:
                other.nominated = other.nominate_when_valid = False
            pair.nominated = True
            self._emit(PairNominated(pair))

    def _fail_unless_valid(self, pair: CandidatePair, failure: PairFailure) -> None:
        """Fail a pair on what an answer says; a valid one has better evidence for itself."""
        if pair.state is not PairState.SUCCEEDED:
            self.fail(pair, failure)

    def _emit(self, event: IceEvent) -> None:
        if len(self._events) >= defaults.ICE_MAX_EVENTS:
            self._events.popleft()
            self.counters.events += 1
        self._events.append(event)
