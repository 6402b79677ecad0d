"""Finding out what the NAT does. Source: RFC 5780 section 4."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from p2p.address import TransportAddress
from p2p.defaults import NAT_FILTERING_ROUNDS, NAT_SAMPLE_SOCKETS, NAT_TEST_LAST_WAIT_S
from p2p.errors import DecodeError, LocalProtocolError
from p2p.proto.stun.allocation import Allocation, PortAllocation, PortSample, is_preserved, judge_allocation
from p2p.proto.stun.attributes import OTHER_ADDRESS, ChangeRequest
from p2p.proto.stun.behaviour_events import (
    BehaviourDiscovered,
    BehaviourEvent,
    BehaviourUpdated,
    SocketDatagram,
)
from p2p.proto.stun.client import mapped_address
from p2p.proto.stun.message import (
    TRANSACTION_ID_BYTES,
    Message,
    MessageClass,
    Method,
    decode_untrusted,
    is_stun,
)
from p2p.proto.stun.nat import (
    FilteringBehaviour,
    MappingBehaviour,
    MappingObservation,
    NatBehaviour,
    judge_filtering,
    judge_mapping,
    mapping_is_dependent,
)
from p2p.proto.stun.question import CHANGES, Purpose, Question
from p2p.proto.stun.transaction import Step

__all__ = [
    "BehaviourDiscovered",
    "BehaviourDiscovery",
    "BehaviourEvent",
    "BehaviourUpdated",
    "FilteringBehaviour",
    "MappingBehaviour",
    "MappingObservation",
    "NatBehaviour",
    "PortAllocation",
    "SocketDatagram",
]

_MAPPING_SOCKET: Final = 0
_FILTERING_SOCKET: Final = 1
_FIRST_SAMPLE_SOCKET: Final = 2
_FIRST_MAPPINGS: Final = (Purpose.PRIMARY, Purpose.CONTROL, Purpose.SAMPLE)
_SAMPLES_MISSED_SHARE: Final = 0.25
_UNSPECIFIED: Final = ("0.0.0.0", "::")  # noqa: S104  compared with, never bound


class BehaviourDiscovery:
    """Machine for all tests of a NAT, all at once where they do not disturb each other.

    Driven by: whoever owns ``SOCKETS`` fresh UDP sockets, none of which has sent anything to the servers' addresses:
    each datagram says from which socket it goes, and ``receive_datagram`` is told at which one arrived. The mapping
    tests talk to all addresses of the server from socket 0; the filtering tests talk from socket 1 to the first
    address only, or they would open what they test; each of the others asks once, to see how the NAT picks ports.
    States: idle; testing after ``start``; done.
    Timers: retransmission and end of each test.
    Events: ``BehaviourUpdated`` each time more is known, ``BehaviourDiscovered`` once at the end: about two round trips
    where all is open, 1.4 s where something is filtered, 3 s where UDP is blocked.

    Args:
        servers: STUN servers' addresses. The first is asked all questions; the others only what our address is:
            with them the mapping is found out also where no server has a second IP address.
        local_addresses: The address of each socket; the port tells whether the NAT preserves it. The host may be
            unspecified, then it is not concluded whether there is a NAT.
        random_bytes: Gives as many unpredictable bytes as asked for: transaction ids.

    Raises:
        LocalProtocolError: There is no server, or there are not at least the first two sockets.

    Attributes:
        behaviour: What is known so far.
        is_done: Whether all tests are over.
    """

    SOCKETS: Final = _FIRST_SAMPLE_SOCKET + NAT_SAMPLE_SOCKETS

    def __init__(
        self,
        servers: Sequence[TransportAddress],
        local_addresses: Sequence[TransportAddress],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        if not servers or len(local_addresses) < _FIRST_SAMPLE_SOCKET:
            raise LocalProtocolError(f"needs a STUN server and {_FIRST_SAMPLE_SOCKET} sockets")
        self.behaviour = NatBehaviour()
        self.is_done = False
        self._servers = tuple(dict.fromkeys(servers))
        self._locals = tuple(local_addresses)
        self._random_bytes = random_bytes
        self._tests: dict[bytes, Question] = {}
        self._has_answers = False
        self._filtering_rounds = 0
        self._filtering_since = 0.0
        self._other_address: TransportAddress | None = None
        self._outgoing: list[SocketDatagram] = []
        self._events: deque[BehaviourEvent] = deque()

    def start(self, now: float) -> None:
        """Begin, once.

        Args:
            now: The monotonic instant in seconds.
        """
        first = self._servers[0]
        self._ask(Purpose.PRIMARY, _MAPPING_SOCKET, first, now)
        for server in self._servers[1:]:
            self._ask(Purpose.MAPPING, _MAPPING_SOCKET, server, now)
        self._test_filtering(now)
        for socket in range(_FIRST_SAMPLE_SOCKET, len(self._locals)):
            self._ask(Purpose.SAMPLE, socket, first, now)

    def _test_filtering(self, now: float) -> None:
        self._filtering_rounds += 1
        self._filtering_since = now
        for purpose in (Purpose.CONTROL, Purpose.OTHER_PORT, Purpose.OTHER_IP):
            self._ask(purpose, _FILTERING_SOCKET, self._servers[0], now)

    def _ask(self, purpose: Purpose, socket: int, destination: TransportAddress, now: float) -> None:
        transaction_id = self._random_bytes(TRANSACTION_ID_BYTES)
        question = Question.make(purpose, socket, destination, transaction_id, now)
        self._tests[transaction_id] = question
        self._advance(question, now)

    # --- The five verbs ------------------------------------------------------------------------------------
    def receive_datagram(self, data: bytes, source: TransportAddress, now: float, socket: int = 0) -> bool:
        """Take a datagram from the network.

        Args:
            data: The datagram.
            source: Who sent it.
            now: The monotonic instant in seconds.
            socket: At which socket it arrived, counted from 0.

        Returns:
            Whether it was about one of the tests.
        """
        if not is_stun(data):
            return False
        try:
            message = decode_untrusted(data)
        except DecodeError:
            return False
        test = self._tests.get(message.transaction_id)
        if test is None or message.method != Method.BINDING:
            return False
        if test.purpose is Purpose.HAIRPIN:
            if message.message_class is MessageClass.REQUEST and socket != test.socket:
                for hairpin in self._of(Purpose.HAIRPIN):
                    hairpin.end(succeeded=True)
        elif socket == test.socket and test.running:
            self._has_answers = True
            self._receive_response(test, message, source, now)
        self._conclude(now)
        return True

    def datagrams_to_send(self, now: float) -> list[SocketDatagram]:
        """Take what must be sent, in order."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def get_timer(self) -> float | None:
        """When ``handle_timer`` must be called next, or None."""
        return min((test.transaction.next_at for test in self._tests.values() if test.running), default=None)

    def handle_timer(self, now: float) -> None:
        """Ask again, or take silence for an answer."""
        for test in list(self._tests.values()):
            if test.running:
                self._advance(test, now)
        self._conclude(now)

    def next_event(self) -> BehaviourEvent | None:
        """Take the oldest event, or None."""
        return self._events.popleft() if self._events else None

    # --- Answers -------------------------------------------------------------------------------------------
    def _advance(self, test: Question, now: float) -> None:
        step = test.transaction.step(now)
        if step is Step.SEND:
            self._outgoing.append(SocketDatagram(test.transaction.request, test.destination, test.socket))
        elif step is Step.GIVE_UP:
            test.end(succeeded=False)

    def _receive_response(self, test: Question, message: Message, source: TransportAddress, now: float) -> None:
        if message.message_class is MessageClass.ERROR and source == test.destination:
            # The server does not do what was asked: that says nothing about the NAT.
            test.end(succeeded=None)
        elif message.message_class is MessageClass.SUCCESS:
            if test.purpose in CHANGES:
                self._receive_changed(test, source)
            elif source == test.destination:
                test.mapped_address = mapped_address(message)
                test.took_s = now - test.transaction.started_at
                test.round_trip_s = test.transaction.round_trip_s(now)
                test.end(succeeded=test.mapped_address is not None)
                self._note_other_address(test, message, now)

    @staticmethod
    def _receive_changed(test: Question, source: TransportAddress) -> None:
        change = ChangeRequest(source.host != test.destination.host, source.port != test.destination.port)
        if change == CHANGES[test.purpose]:
            test.end(succeeded=True)
        elif source == test.destination:
            # A server that does not know CHANGE-REQUEST and answers all the same.
            test.end(succeeded=None)

    def _note_other_address(self, test: Question, message: Message, now: float) -> None:
        """Once the server's second address is known, ask at the three other corners."""
        first = self._servers[0]
        other = message.get(OTHER_ADDRESS)
        if other is None or self._other_address is not None or test.destination != first:
            return
        if other.host == first.host or other.port == first.port or other.is_ipv6 != first.is_ipv6:
            return
        self._other_address = other
        for corner in (other._replace(port=first.port), other, first._replace(port=other.port)):
            if corner not in self._servers:
                self._ask(Purpose.MAPPING, _MAPPING_SOCKET, corner, now)

    # --- Conclusions ---------------------------------------------------------------------------------------
    def _conclude(self, now: float) -> None:
        """Judge what is known, start the hairpin test when it makes sense, and say what is new."""
        if self.is_done:
            return
        behaviour = self._judge()
        if behaviour.hairpinning is None and self._may_test_hairpin(behaviour):
            own = {o.socket: o.mapped_address for o in behaviour.observations}
            self._ask(Purpose.HAIRPIN, _MAPPING_SOCKET, own[_FILTERING_SOCKET], now)
            self._ask(Purpose.HAIRPIN, _FILTERING_SOCKET, own[_MAPPING_SOCKET], now)
        if not any(test.running for test in self._tests.values()) and self._came_too_late():
            # A host that was busy when it was asked gets another chance.
            self._test_filtering(now)
        self.is_done = not any(test.running for test in self._tests.values())
        if self.is_done:
            self._events.append(BehaviourDiscovered(behaviour))
        elif behaviour != self.behaviour:
            self._events.append(BehaviourUpdated(behaviour))
        self.behaviour = behaviour

    def _judge(self) -> NatBehaviour:
        answered = [test for test in self._tests.values() if test.mapped_address is not None]
        observations = tuple(
            MappingObservation(test.socket, self._locals[test.socket], test.destination, test.mapped_address)
            for test in answered
            if test.mapped_address is not None and test.purpose is not Purpose.SAMPLE
        )
        behaviour = NatBehaviour(udp=self._udp(), hairpinning=self._hairpinning(), observations=observations)
        of_mapping = [observation for observation in observations if observation.socket == _MAPPING_SOCKET]
        if of_mapping:
            seen, local = of_mapping[0].mapped_address, of_mapping[0].local
            translated = None if local.host in _UNSPECIFIED else seen != local
            untouched = translated is False
            samples = tuple(self._sample(test) for test in answered if test.purpose in _FIRST_MAPPINGS)
            allocation = self._allocation(samples)
            behaviour = replace(
                behaviour,
                mapped_address=seen,
                mapped_hosts=tuple(dict.fromkeys(test.mapped_address.host for test in answered if test.mapped_address)),
                translated=translated,
                # Without a NAT there is nothing that could depend on anything. Source: RFC 5780 section 4.3.
                mapping=MappingBehaviour.ENDPOINT_INDEPENDENT if untouched else judge_mapping(of_mapping),
                mapping_is_dependent=False if untouched else mapping_is_dependent(of_mapping),
                port_preserved=is_preserved(samples),
                allocation=allocation.kind,
                port_step=allocation.step,
                port_range=allocation.port_range,
                parity_kept=allocation.keeps_parity,
                contiguity_kept=allocation.keeps_contiguity,
                other_address=self._other_address,
                round_trip_s=self._round_trip_s(),
                samples=samples,
            )
        other_port, other_ip = self._came_in(Purpose.OTHER_PORT), self._came_in(Purpose.OTHER_IP)
        return replace(
            behaviour,
            filtering=judge_filtering(other_port, other_ip),
            answers_from_other_port=other_port,
            answers_from_other_ip=other_ip,
        )

    def _sample(self, test: Question) -> PortSample:
        assert test.mapped_address is not None
        return PortSample(self._locals[test.socket].port, test.mapped_address.port)

    def _allocation(self, samples: Sequence[PortSample]) -> Allocation:
        """Judge the choice of ports once most samples are in: what the first few look like would change again."""
        asked = self._of(Purpose.SAMPLE)
        waiting = sum(test.running for test in asked)
        if waiting > _SAMPLES_MISSED_SHARE * len(asked):
            return Allocation()
        further = [self._sample(test) for test in self._of(Purpose.MAPPING) if test.mapped_address is not None]
        return judge_allocation(samples, further)

    def _of(self, purpose: Purpose) -> list[Question]:
        return [test for test in self._tests.values() if test.purpose is purpose]

    def _udp(self) -> bool | None:
        if self._has_answers:
            return True
        return None if any(test.running for test in self._tests.values()) else False

    def _round_trip_s(self) -> float | None:
        tests = self._of(Purpose.PRIMARY) + self._of(Purpose.CONTROL)
        return min((test.round_trip_s for test in tests if test.round_trip_s is not None), default=None)

    def _came_in(self, purpose: Purpose) -> bool | None:
        """Say whether an answer from elsewhere came in.

        Silence counts only where an ordinary answer came in time, and where the address that was to answer is known to
        be the server's: some servers promise one that they do not have.
        """
        test, control = self._of(purpose)[-1], self._of(Purpose.CONTROL)[-1]
        if test.succeeded is not False:
            return test.succeeded
        return False if control.succeeded and self._is_in_time() and self._is_there(CHANGES[purpose]) else None

    def _is_in_time(self) -> bool:
        """Whether some answer was quick since the filtering tests began; the control's own may have been repeated."""
        return any(
            test.mapped_address is not None
            and test.took_s < NAT_TEST_LAST_WAIT_S
            and test.transaction.started_at >= self._filtering_since
            for test in self._tests.values()
        )

    def _came_too_late(self) -> bool:
        """Whether lateness alone is why silence says nothing, and asking once more may help."""
        return (
            self._filtering_rounds < NAT_FILTERING_ROUNDS
            and not self._is_in_time()
            and self._of(Purpose.CONTROL)[-1].succeeded is True
            and any(
                self._of(purpose)[-1].succeeded is False and self._is_there(change)
                for purpose, change in CHANGES.items()
            )
        )

    def _is_there(self, change: ChangeRequest) -> bool:
        """Whether an address of the server that differs from the first one like this has answered us."""
        first = self._servers[0]
        return any(
            change == ChangeRequest(test.destination.host != first.host, test.destination.port != first.port)
            for test in self._of(Purpose.MAPPING)
            if test.mapped_address is not None
        )

    def _hairpinning(self) -> bool | None:
        tests = self._of(Purpose.HAIRPIN)
        if any(test.succeeded for test in tests):
            return True
        return None if not tests or any(test.running for test in tests) else False

    def _may_test_hairpin(self, behaviour: NatBehaviour) -> bool:
        """Whether mapped addresses mean something to others than the server, and both are known."""
        return (
            not self._of(Purpose.HAIRPIN)
            and behaviour.translated is True
            and behaviour.mapping is MappingBehaviour.ENDPOINT_INDEPENDENT
            and {observation.socket for observation in behaviour.observations} >= {_MAPPING_SOCKET, _FILTERING_SOCKET}
        )
