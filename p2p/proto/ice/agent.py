"""The ICE agent: finds out between which addresses packets pass both ways."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
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
from p2p.proto.ice.credentials import Credentials
from p2p.proto.ice.events import (
    CheckListCompleted,
    IceEvent,
    PairChecked,
    PairConfirmed,
    PairFailed,
    PairNominated,
    PairReclassified,
    PairRemoved,
    PairValidated,
    PeerReflexiveDiscovered,
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
from p2p.proto.ice.remotes import RemoteCandidates
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
_BASE_TYPES: Final = (CandidateType.HOST, CandidateType.RELAYED)
_PROBE_PRIORITY: Final = candidate_priority(TYPE_PREFERENCE[CandidateType.PEER_REFLEXIVE], MAX_LOCAL_PREFERENCE)


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
        self.controlling = controlling
        self.counters = IceCounters()
        self._previous_local: Credentials | None = None
        self._random_bytes = random_bytes
        self._tie_breaker = int.from_bytes(random_bytes(_TIE_BREAKER_BYTES), "big")
        self._relay_only = relay_only
        self._local: list[Candidate] = []
        self._bases: dict[int, Candidate] = {}
        self._remotes = RemoteCandidates()
        self._scheduler = CheckScheduler()
        self._pairs = self._scheduler.pairs
        self._transactions = Transactions()
        self._outgoing: list[Transmit] = []
        self._events: deque[IceEvent] = deque()
        self._patient_until: float | None = None
        self._local_ended = False
        self._remote_ended = False
        self._exhausted = False

    # --- Candidates ----------------------------------------------------------------------------------------
    @property
    def check_list(self) -> tuple[CandidatePair, ...]:
        """Every pair, in the order of their making."""
        return tuple(self._pairs)

    @property
    def local_candidates(self) -> tuple[Candidate, ...]:
        """Our candidates, learned ones included."""
        return tuple(self._local)

    @property
    def remote_candidates(self) -> tuple[Candidate, ...]:
        """The peer's candidates, learned ones included."""
        return tuple(self._remotes)

    def add_local_candidate(self, candidate: Candidate) -> None:
        """Take a candidate of ours; it must be signalled to the peer by the caller.

        Pairs are made for the transport (``base_id``), not for every candidate on it: a reflexive candidate is
        reached through its base. Source: RFC 8445 section 6.1.2.4.

        Args:
            candidate: From ``Candidate.local``. A repeated one is ignored.
        """
        if candidate in self._local:
            return
        self._local.append(candidate)
        base = self._bases.get(candidate.base_id)
        if base is not None and (base.type in _BASE_TYPES or candidate.type not in _BASE_TYPES):
            return
        self._bases[candidate.base_id] = candidate
        if base is None:
            for remote in self._remotes:
                self._add_pair(candidate, remote, signalled=True)

    def add_base(self, candidate: Candidate) -> None:
        """Take a local transport that checks may arrive on, without trying any pair from it.

        For plans that open many sockets: a check that gets through makes the pair.

        Args:
            candidate: A host candidate that is not signalled.
        """
        self._bases.setdefault(candidate.base_id, candidate)

    def remove_base(self, base_id: int) -> None:
        """Forget a local transport that is closed, with its candidates and pairs."""
        self._bases.pop(base_id, None)
        self._local = [candidate for candidate in self._local if candidate.base_id != base_id]
        for pair in self._pairs:
            if pair.local.base_id == base_id:
                self._remove_pair(pair)

    def add_remote_candidate(self, candidate: Candidate) -> None:
        """Take a candidate of the peer from signalling, at any time.

        Args:
            candidate: From ``Candidate.from_wire_untrusted``. One that was learned from a check already gets the
                type that is signalled now.
        """
        ufrag = None if self.remote_credentials is None else self.remote_credentials.ufrag
        before = self._remotes.find(candidate.address)
        known = self._remotes.add_signalled(candidate, ufrag)
        if known is None:
            self.counters.no_room += 1
            return
        if before is not None and known != before:
            self._reclassify(known)
        self._add_pairs_to(known)

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
        for address in self._remotes.start_generation(credentials.ufrag, self._proven()):
            self._remove_pairs_to(address)
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
        base, remote = self._bases.get(base_id), self.remote_credentials
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
        if message.method != Method.BINDING or base_id not in self._bases:
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
        pair_due = self._scheduler.take_slot(now, controlling=self.controlling)
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
            self._emit(CheckListCompleted(len(self._proven())))

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
        base = self._bases[base_id]
        if self._relay_only and not (base.via_relay or self._is_via_relay(source, check.priority)):
            self.counters.not_allowed += 1
            return True
        if not self._resolve_role(check):
            self._outgoing.append(Transmit(base_id, source, error_response(check, ROLE_CONFLICT)))
            return True
        self._outgoing.append(Transmit(base_id, source, success_response(check, source)))
        self._triggered_check(base, self._remote_for(source, check.priority, check), nominate=check.nominate)
        return True

    def _is_via_relay(self, source: TransportAddress, priority: int) -> bool:
        known = self._remotes.find(source)
        return priority >> 24 == 0 if known is None else known.via_relay

    def _remote_for(self, source: TransportAddress, priority: int, check: IncomingCheck | None) -> Candidate:
        """Return what is known of a source, learning it when nothing is."""
        known = self._remotes.find(source)
        if known is not None:
            return known
        if check is not None:
            ufrag: str | None = check.sender_fragment
        else:
            ufrag = None if self.remote_credentials is None else self.remote_credentials.ufrag
        candidate, evicted = self._remotes.learn(source, priority, ufrag, self._proven())
        if evicted is not None:
            self.counters.no_room += 1
            self._remove_pairs_to(evicted)
        self._emit(PeerReflexiveDiscovered(candidate, is_local=False))
        return candidate

    def _triggered_check(self, base: Candidate, remote: Candidate, *, nominate: bool) -> None:
        """Try the way back of a check that arrived. Source: RFC 8445 sections 7.3.1.4 and 7.3.1.5."""
        pair = self._pairs.find(base.base_id, remote.address)
        if pair is None:
            pair = self._add_pair(base, remote)
            if base.via_relay and not remote.via_relay:
                # What the peer's NAT shows our relay it may show us too: after its reboot that is the quickest news.
                self._add_pairs_to(remote)
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
        self.controlling = not self.controlling
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
            base = self._bases.get(attempt.base_id)
            if is_success and base is not None and base_id == attempt.base_id:
                self._triggered_check(base, self._remote_for(source, _PROBE_PRIORITY, None), nominate=False)
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
        if all(candidate.address != mapped_address for candidate in self._local):
            self._learn_local(pair.local, mapped_address)
        if attempt.nominate and attempt.controlling:
            pair.nominate_when_valid = True
        self._take_nomination(pair)

    def _take_nomination(self, pair: CandidatePair) -> None:
        if pair.nominate_when_valid and not pair.nominated:
            pair.nominated = True
            self._emit(PairNominated(pair))

    def _learn_local(self, base: Candidate, address: TransportAddress) -> None:
        """Note an address of ours that only the peer sees. Source: RFC 8445 section 7.2.5.3.1."""
        learned = sum(candidate.type is CandidateType.PEER_REFLEXIVE for candidate in self._local)
        if learned >= defaults.ICE_MAX_LEARNED_CANDIDATES:
            self.counters.no_room += 1
            return
        candidate = Candidate.local(CandidateType.PEER_REFLEXIVE, address, base.base_id, related=base.address)
        self._local.append(candidate)
        self._emit(PeerReflexiveDiscovered(candidate, is_local=True))

    # --- Pairs ---------------------------------------------------------------------------------------------
    def _add_pair(self, base: Candidate, remote: Candidate, *, signalled: bool = False) -> CandidatePair | None:
        if base.address.is_ipv6 != remote.address.is_ipv6 or self._pairs.find(base.base_id, remote.address):
            return None
        pair = CandidatePair(base, remote)
        if self._relay_only and not pair.relayed:
            return None
        added, evicted = self._pairs.add(pair, controlling=self.controlling)
        if evicted is not None:
            self._remove_pair(evicted)
        if not added:
            self.counters.no_room += 1
            return None
        self._exhausted = self._exhausted and not signalled
        return pair

    def _add_pairs_to(self, remote: Candidate) -> None:
        """Pair an address of the peer with every local transport that was named as a candidate."""
        for base in self._bases.values():
            if base in self._local:
                self._add_pair(base, remote, signalled=True)

    def _reclassify(self, remote: Candidate) -> None:
        """Let the pairs of a learned address know what signalling says of it."""
        for pair in self._pairs:
            if pair.remote.address == remote.address and pair.remote != remote:
                pair.remote = remote
                self._emit(PairReclassified(pair))

    def _remove_pair(self, pair: CandidatePair) -> None:
        self._scheduler.remove(pair)
        self._transactions.forget(pair)
        self._emit(PairRemoved(pair))

    def _remove_pairs_to(self, address: TransportAddress) -> None:
        for pair in self._pairs:
            if pair.remote.address == address and pair.state is not PairState.SUCCEEDED:
                self._remove_pair(pair)

    def _fail_unless_valid(self, pair: CandidatePair, failure: PairFailure) -> None:
        """Fail a pair on what an answer says; a valid one has better evidence for itself."""
        if pair.state is not PairState.SUCCEEDED:
            self.fail(pair, failure)

    def _proven(self) -> set[TransportAddress]:
        """Return the peer's addresses in valid pairs."""
        return {pair.remote.address for pair in self._pairs if pair.state is PairState.SUCCEEDED}

    def _emit(self, event: IceEvent) -> None:
        if len(self._events) >= defaults.ICE_MAX_EVENTS:
            self._events.popleft()
            self.counters.events += 1
        self._events.append(event)
