"""The ICE agent: finds out between which addresses packets pass both ways."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from p2p import defaults
from p2p.address import TransportAddress
from p2p.errors import DecodeError, LocalProtocolError
from p2p.proto.ice.candidate import Candidate
from p2p.proto.ice.counters import IceCounters
from p2p.proto.ice.credentials import Credentials
from p2p.proto.ice.events import CheckListCompleted, IceEvent, Transmit
from p2p.proto.ice.exchange import CheckExchange
from p2p.proto.ice.pair import CandidatePair, PairFailure, PairState
from p2p.proto.ice.pairing import Pairing
from p2p.proto.ice.scheduler import CheckScheduler
from p2p.proto.stun.message import Message, MessageClass, Method, decode_untrusted, is_stun


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
        self.counters = IceCounters()
        self._scheduler = CheckScheduler(controlling=controlling)
        self._pairs = self._scheduler.pairs
        self._pairing = Pairing(self._scheduler, relay_only=relay_only, counters=self.counters, emit=self._emit)
        self._exchange = CheckExchange(
            local=local,
            scheduler=self._scheduler,
            pairing=self._pairing,
            counters=self.counters,
            emit=self._emit,
            random_bytes=random_bytes,
            relay_only=relay_only,
        )
        self._events: deque[IceEvent] = deque()
        self._patient_until: float | None = None
        self._local_ended = False
        self._remote_ended = False
        self._exhausted = False

    @property
    def controlling(self) -> bool:
        """Whether we have the controlling role now."""
        return self._scheduler.controlling

    @property
    def local_credentials(self) -> Credentials:
        """Our credentials, to be sent to the peer."""
        return self._exchange.local

    @property
    def remote_credentials(self) -> Credentials | None:
        """The peer's credentials, None before they have come."""
        return self._exchange.remote

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

    def remove_local_candidate(self, candidate: Candidate) -> None:
        """Forget an address of ours at which its transport is no longer reached; the transport stays, with its pairs.

        Args:
            candidate: As it was added. An unknown one is ignored.
        """
        self._pairing.remove_local(candidate)

    def remove_remote_candidate(self, address: TransportAddress) -> None:
        """Forget an address that the peer has withdrawn, and stop trying it; valid pairs are left alone.

        Args:
            address: Of a candidate that was added. An unknown one is ignored.
        """
        self._pairing.remove_remote(address)

    def add_remote_candidate(self, candidate: Candidate) -> None:
        """Take a candidate of the peer from signalling, at any time.

        Args:
            candidate: From ``Candidate.from_wire_untrusted``. One that was learned from a check already gets the
                type that is signalled now.
        """
        self._pairing.add_remote(candidate)
        self._exhausted = False

    def end_of_candidates(self, *, local: bool = False, remote: bool = False) -> None:
        """Learn that one side, or both, will name no more candidates. Source: RFC 8838 section 13."""
        self._local_ended |= local
        self._remote_ended |= remote

    def set_remote_credentials(self, credentials: Credentials) -> None:
        """Take the peer's credentials; checks start with them.

        They are the same as long as the agent lives: there is no ICE restart. A peer that begins anew begins another
        session, and one whose network changes names and withdraws addresses.

        Args:
            credentials: From the offer or answer.
        """
        self._exchange.remote = credentials

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
        self._exchange.fail(pair, failure)

    def ping(self, pair: CandidatePair, now: float, *, size: int = 0) -> None:
        """Send one check on a pair at once, outside the pacing; the answer is ``PairConfirmed``.

        Args:
            pair: Of this agent.
            now: The monotonic time.
            size: How long to make it with padding, in bytes, a multiple of 4, so that the answer shows that packets of
                that length pass; 0 for no padding.
        """
        if self.remote_credentials is not None:
            self._exchange.send(pair, now, size=size)

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
        base = self._pairing.bases.get(base_id)
        if base is None or self.remote_credentials is None:
            raise LocalProtocolError("a probe needs a known base and the peer's credentials")
        return self._exchange.probe(base, now)

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
            return self._exchange.receive_request(message, source, base_id)
        if message.message_class is MessageClass.INDICATION:
            return False
        return self._exchange.receive_response(message, source, base_id, now)

    def transmits(self, now: float) -> list[Transmit]:
        """Take what must be sent, in order."""
        self._pump(now)
        outgoing, self._exchange.outgoing = self._exchange.outgoing, []
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
            self._exchange.send(
                pair_due, now, nominate=pair_due.series is not None and pair_due.series.nominate and self.controlling
            )
        if self._patient_until is not None and now >= self._patient_until:
            self.end_of_candidates(local=True, remote=True)
            self._patient_until = None
        if not self._exhausted and self._local_ended and self._remote_ended and self._scheduler.is_idle():
            self._exhausted = True
            self._patient_until = None
            self._emit(CheckListCompleted(len(self._pairing.proven())))

    def _emit(self, event: IceEvent) -> None:
        if len(self._events) >= defaults.ICE_MAX_EVENTS:
            self._events.popleft()
            self.counters.events += 1
        self._events.append(event)
