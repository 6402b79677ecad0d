"""Checks on their way out and in: what is asked, what is answered, what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from p2p.address import TransportAddress
from p2p.errors import IntegrityError
from p2p.proto.ice.candidate import MAX_LOCAL_PREFERENCE, TYPE_PREFERENCE, Candidate, CandidateType, candidate_priority
from p2p.proto.ice.counters import IceCounters
from p2p.proto.ice.credentials import Credentials
from p2p.proto.ice.events import (
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
from p2p.proto.stun.message import TRANSACTION_ID_BYTES, Message, MessageClass

_TIE_BREAKER_BYTES: Final = 8
_PROBE_PRIORITY: Final = candidate_priority(TYPE_PREFERENCE[CandidateType.PEER_REFLEXIVE], MAX_LOCAL_PREFERENCE)


class CheckExchange:
    """The messages of one agent, and what they change on its pairs.

    Args:
        local: Our credentials.
        scheduler: Has the check list and our role.
        pairing: Has the candidates.
        counters: Where drops are counted.
        emit: Gets the events.
        random_bytes: Where randomness comes from.
        relay_only: Whether checks on direct paths are not answered.

    Attributes:
        local: Our credentials.
        remote: The peer's credentials, None before they have come.
        outgoing: What must be sent.
    """

    def __init__(
        self,
        *,
        local: Credentials,
        scheduler: CheckScheduler,
        pairing: Pairing,
        counters: IceCounters,
        emit: Callable[[IceEvent], None],
        random_bytes: Callable[[int], bytes],
        relay_only: bool,
    ) -> None:
        self.local = local
        self.remote: Credentials | None = None
        self.outgoing: list[Transmit] = []
        self._scheduler = scheduler
        self._pairs = scheduler.pairs
        self._pairing = pairing
        self._counters = counters
        self._emit = emit
        self._random_bytes = random_bytes
        self._relay_only = relay_only
        self._tie_breaker = int.from_bytes(random_bytes(_TIE_BREAKER_BYTES), "big")
        self._transactions = Transactions()

    # --- Our checks ----------------------------------------------------------------------------------------
    def send(self, pair: CandidatePair, now: float, *, nominate: bool = False, size: int = 0) -> None:
        """Send one check, padded to a size; the peer's credentials must be known."""
        remote = self.remote
        assert remote is not None
        transaction_id = self._random_bytes(TRANSACTION_ID_BYTES)
        base_id, destination = pair.key
        controlling = self._scheduler.controlling
        attempt = Attempt(pair, base_id, destination, now, remote.password, controlling, nominate, size)
        self._transactions.add(transaction_id, attempt)
        data = self._request(transaction_id, pair.local, remote, nominate=nominate, size=size)
        self.outgoing.append(Transmit(base_id, destination, data))

    def probe(self, base: Candidate, now: float) -> bytes:
        """Make a check for many addresses; see ``IceAgent.probe``."""
        remote = self.remote
        assert remote is not None
        transaction_id = self._random_bytes(TRANSACTION_ID_BYTES)
        attempt = Attempt(None, base.base_id, None, now, remote.password, self._scheduler.controlling)
        self._transactions.add(transaction_id, attempt)
        return self._request(transaction_id, base, remote, nominate=False)

    def fail(self, pair: CandidatePair, failure: PairFailure) -> None:
        """Give up a pair, valid or not."""
        self._scheduler.end(pair)
        if pair.state is not PairState.FAILED:
            pair.state = PairState.FAILED
            pair.failure = failure
            pair.nominated = False
            self._emit(PairFailed(pair, failure))

    def _request(
        self, transaction_id: bytes, base: Candidate, remote: Credentials, *, nominate: bool, size: int = 0
    ) -> bytes:
        return check_request(
            transaction_id,
            local=self.local,
            remote=remote,
            priority=base.check_priority,
            controlling=self._scheduler.controlling,
            tie_breaker=self._tie_breaker,
            nominate=nominate,
            size=size,
        )

    # --- Checks of the peer's ------------------------------------------------------------------------------
    def receive_request(self, message: Message, source: TransportAddress, base_id: int) -> bool:
        """Answer a check of the peer's; see ``IceAgent.receive_stun``. Source: RFC 8445 section 7.3."""
        try:
            check = read_check_untrusted(message, self.local)
        except IntegrityError:
            self._counters.wrong_credentials += 1
            return True
        if check is None:
            return False
        if message.unknown_required or check.priority is None:
            code = UNKNOWN_ATTRIBUTE if message.unknown_required else BAD_REQUEST
            self._counters.malformed += 1
            self.outgoing.append(Transmit(base_id, source, error_response(check, code)))
            return True
        base = self._pairing.bases[base_id]
        if self._relay_only and not (base.via_relay or self._is_via_relay(source, check.priority)):
            self._counters.not_allowed += 1
            return True
        if not self._resolve_role(check):
            self.outgoing.append(Transmit(base_id, source, error_response(check, ROLE_CONFLICT)))
            return True
        self.outgoing.append(Transmit(base_id, source, success_response(check, source)))
        remote = self._pairing.remote_for(source, check.priority)
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
        if nominate and not self._scheduler.controlling:
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
        if check.controlling is None or check.controlling != self._scheduler.controlling:
            return True
        self._counters.role_conflicts += 1
        if (self._tie_breaker >= check.tie_breaker) == self._scheduler.controlling:
            return False
        self._switch_role()
        return True

    def _switch_role(self) -> None:
        self._scheduler.controlling = not self._scheduler.controlling
        self._emit(RoleChanged(self._scheduler.controlling))

    # --- Answers to our checks -----------------------------------------------------------------------------
    def receive_response(self, message: Message, source: TransportAddress, base_id: int, now: float) -> bool:
        """Take an answer of the peer's; see ``IceAgent.receive_stun``. Source: RFC 8445 section 7.2.5."""
        attempt = self._transactions.find(message.transaction_id)
        if attempt is None:
            return False
        try:
            verify(message, short_term_key(attempt.password))
        except IntegrityError:
            self._counters.wrong_credentials += 1
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
            self._counters.asymmetric += 1
            self._fail_unless_valid(pair, PairFailure.ASYMMETRIC)
        elif not is_success:
            self._receive_error(message, attempt, pair)
        elif mapped_address is None:
            self._counters.malformed += 1
        else:
            self._succeed(pair, attempt, mapped_address, now)
        return True

    def _receive_probe_answer(self, source: TransportAddress, base: Candidate) -> None:
        """Check the address that answered a probe; any number of them may."""
        self._triggered_check(base, self._pairing.remote_for(source, _PROBE_PRIORITY), nominate=False)

    def _receive_error(self, message: Message, attempt: Attempt, pair: CandidatePair) -> None:
        """Change the role when it conflicts, give up otherwise. Source: RFC 8445 section 7.2.5.1."""
        error = message.get(ERROR_CODE)
        if error is None or error.code != ROLE_CONFLICT:
            self._fail_unless_valid(pair, PairFailure.REJECTED)
            return
        if attempt.controlling == self._scheduler.controlling:
            self._counters.role_conflicts += 1
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
            self._emit(PairConfirmed(pair, rtt_s, attempt.size))
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
