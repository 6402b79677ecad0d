"""Find out what a router does to UDP: a small observer on the server, a prober on a host, in the manner of RFC 5780.

Both live in this process: a socket belongs to the namespace it was made in, whoever uses it. A question is
``LABQ``, 8 bytes of identity, and the index of the observer's socket that is to answer; an answer is ``LABA``, the same
identity, and the address that the question came from as text.
"""

from __future__ import annotations

import itertools
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, NamedTuple

from .errors import LabError
from .kinds import Dependence

_QUESTION: Final = b"LABQ"
_ANSWER: Final = b"LABA"
_IDENTITY_BYTES: Final = 8
# A busy machine pauses for longer than packets travel: ask again this often, and believe that no UDP gets through only
# after this long.
_RETRY_S: Final = 0.2
_PATIENCE_S: Final = 1.0
# Labs under test have no delay. An answer that was sent before another one, and is not here this long after it, does
# not come.
_GRACE_S: Final = 0.1
_STOP_CHECK_S: Final = 0.1

# Index of an observer's socket: two addresses with two ports each, and one more of each address: the stranger is asked
# by nobody before it has probed, the reserve is asked by the second host only.
SAME: Final = 0
OTHER_PORT: Final = 1
OTHER_ADDRESS: Final = 2
OTHER_BOTH: Final = 3
STRANGER: Final = 4
RESERVE: Final = 5
_PORTS: Final = (3478, 3479, 3480)

Entered = Callable[[], AbstractContextManager[None]]


class Endpoint(NamedTuple):
    """An address and a port, as a socket names them."""

    host: str
    port: int


def _udp_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    udp = socket.socket(family, socket.SOCK_DGRAM)
    try:
        udp.bind((host, port))
    except OSError:
        udp.close()
        raise
    return udp


class Observer:
    """Answers questions in a thread, from the socket that a question names.

    Args:
        where: Enters the namespace to be in.
        addresses: Two addresses of that namespace.
    """

    def __init__(self, where: Entered, addresses: Sequence[str]) -> None:
        first, second = addresses
        self._names = [
            Endpoint(first, _PORTS[0]),
            Endpoint(first, _PORTS[1]),
            Endpoint(second, _PORTS[0]),
            Endpoint(second, _PORTS[1]),
            Endpoint(second, _PORTS[2]),
            Endpoint(first, _PORTS[2]),
        ]
        with where():
            self._sockets = [_udp_socket(*name) for name in self._names]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="observer")

    def __enter__(self) -> Observer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        for udp in self._sockets:
            udp.close()

    def endpoint(self, index: int) -> Endpoint:
        """Where one of its sockets is reached."""
        return self._names[index]

    def probe(self, index: int, destination: Endpoint) -> None:
        """Send something that nobody asked for."""
        self._sockets[index].sendto(b"unasked", destination)

    def _serve(self) -> None:
        while not self._stop.is_set():
            for udp in select.select(self._sockets, [], [], _STOP_CHECK_S)[0]:
                try:
                    question, source = udp.recvfrom(2048)
                except OSError:
                    # An ICMP error that belongs to an earlier answer.
                    continue
                if question.startswith(_QUESTION) and len(question) == len(_QUESTION) + _IDENTITY_BYTES + 1:
                    identity, index = question[len(_QUESTION) : -1], question[-1]
                    answer = _ANSWER + identity + f"{source[0]} {source[1]}".encode()
                    self._sockets[index].sendto(answer, source)


class Prober:
    """A UDP socket of a host that asks an observer.

    Args:
        where: Enters the host's namespace.
        observer: Whom to ask.
        port: The source port, or 0 for any.

    Attributes:
        observer: Whom it asks.
        port: Its source port.
    """

    def __init__(self, where: Entered, observer: Observer, port: int = 0) -> None:
        self.observer = observer
        host = "::" if ":" in observer.endpoint(SAME).host else "0.0.0.0"  # noqa: S104 - inside a namespace
        with where():
            self._socket = _udp_socket(host, port)
        self.port: int = self._socket.getsockname()[1]
        # Answers that came while others were waited for.
        self._early: dict[bytes, Endpoint] = {}

    def __enter__(self) -> Prober:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, questions: Sequence[tuple[int, int]]) -> list[Endpoint | None]:
        """Ask several questions at once, again where no answer comes.

        Args:
            questions: For each, the index of the observer's socket to send it to and of the one that is to answer.

        Returns:
            For each, the address the observer saw, or None where no answer came.
        """
        seen: dict[bytes, Endpoint] = {}
        identities = [secrets.token_bytes(_IDENTITY_BYTES) for _ in questions]
        until = time.monotonic() + _PATIENCE_S
        while len(seen) < len(questions) and time.monotonic() < until:
            for identity, (destination, answerer) in zip(identities, questions, strict=True):
                if identity not in seen:
                    self._send(identity, destination, answerer)
            self._listen(seen, identities, _RETRY_S)
        return [seen.get(identity) for identity in identities]

    def answered_from(self, answerers: Sequence[int]) -> list[bool]:
        """Ask the observer's first socket to have others answer.

        That socket's own answer is the last to be sent. Once it is here, the others are here or were kept out.

        Args:
            answerers: The sockets that are to answer.

        Returns:
            For each, whether its answer got in.

        Raises:
            LabError: Not even the first socket's own answer came.
        """
        seen: dict[bytes, Endpoint] = {}
        identities = [secrets.token_bytes(_IDENTITY_BYTES) for _ in answerers]
        for _ in range(2):
            for identity, answerer in zip(identities, answerers, strict=True):
                self._send(identity, SAME, answerer)
            if self.ask([(SAME, SAME)]) == [None]:
                raise LabError("a socket that answered before answers no more", "Is the machine very busy?")
            self._listen(seen, identities, _GRACE_S)
        return [identity in seen for identity in identities]

    def send(self, destination: Endpoint) -> None:
        """Send something that nobody answers."""
        self._socket.sendto(b"unasked", destination)

    def hears(self, wait_s: float) -> bool:
        """Tell whether something comes that is no answer to a question, within that many seconds."""
        until = time.monotonic() + wait_s
        while (left_s := until - time.monotonic()) > 0 and select.select([self._socket], [], [], left_s)[0]:
            try:
                if not self._socket.recv(2048).startswith(_ANSWER):
                    return True
            except OSError:
                # An ICMP error that belongs to something sent earlier.
                continue
        return False

    def _send(self, identity: bytes, destination: int, answerer: int) -> None:
        self._socket.sendto(_QUESTION + identity + bytes([answerer]), self.observer.endpoint(destination))

    def _listen(self, seen: dict[bytes, Endpoint], wanted: Sequence[bytes], wait_s: float) -> None:
        """Read answers until all that are wanted are here, or time is up."""
        until = time.monotonic() + wait_s
        seen.update((identity, self._early.pop(identity)) for identity in wanted if identity in self._early)
        while any(identity not in seen for identity in wanted) and (left_s := until - time.monotonic()) > 0:
            if not select.select([self._socket], [], [], left_s)[0]:
                return
            try:
                answer = self._socket.recv(2048)
            except OSError:
                # An ICMP error: as good as no answer.
                continue
            if not answer.startswith(_ANSWER):
                continue
            start = len(_ANSWER)
            identity = answer[start : start + _IDENTITY_BYTES]
            host, _, port = answer[start + _IDENTITY_BYTES :].decode().partition(" ")
            (seen if identity in wanted else self._early)[identity] = Endpoint(host, int(port))


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingVerdict:
    """How a router maps one inside endpoint.

    Attributes:
        mapping: What the outside port depends on; None where no UDP gets out.
        keeps_port: Whether it always is the inside port.
        step: The distance between successive mappings where it is always the same, else None.
        ports: All outside ports that were seen.
        keeps_parity: Whether they all are even, or all odd, as the inside port is.
        outside: The outside endpoint seen by the observer's first socket.
    """

    mapping: Dependence | None
    keeps_port: bool
    step: int | None
    outside: Endpoint | None
    ports: tuple[int, ...] = ()
    keeps_parity: bool = False


def judge_mapping(
    prober: Prober, order: Sequence[int] = (SAME, OTHER_PORT, OTHER_ADDRESS, OTHER_BOTH)
) -> MappingVerdict:
    """Ask sockets of the observer, and compare what they saw (RFC 5780, section 4.3).

    Args:
        prober: Who asks.
        order: The sockets, first to last: at least two of each address.

    Raises:
        LabError: Some were answered and some were not.
    """
    answers = prober.ask([(index, index) for index in order])
    seen = [endpoint for endpoint in answers if endpoint is not None]
    if not seen:
        return MappingVerdict(mapping=None, keeps_port=False, step=None, outside=None)
    if len(seen) < len(order):
        raise LabError(f"only {len(seen)} of {len(order)} questions were answered", "Is the machine very busy?")
    by_address: dict[str, set[Endpoint]] = {}
    for index, endpoint in zip(order, seen, strict=True):
        by_address.setdefault(prober.observer.endpoint(index).host, set()).add(endpoint)
    if len(set(seen)) == 1:
        mapping = Dependence.ENDPOINT_INDEPENDENT
    elif all(len(endpoints) == 1 for endpoints in by_address.values()):
        mapping = Dependence.ADDRESS_DEPENDENT
    else:
        mapping = Dependence.ADDRESS_AND_PORT_DEPENDENT
    steps = {after.port - before.port for before, after in itertools.pairwise(seen)}
    return MappingVerdict(
        mapping=mapping,
        keeps_port=all(endpoint.port == prober.port for endpoint in seen),
        step=steps.pop() if mapping is Dependence.ADDRESS_AND_PORT_DEPENDENT and len(steps) == 1 else None,
        outside=seen[0],
        ports=tuple(endpoint.port for endpoint in seen),
        keeps_parity=all(endpoint.port % 2 == prober.port % 2 for endpoint in seen),
    )


def judge_filtering(prober: Prober) -> Dependence | None:
    """Ask one socket of the observer to have others answer (RFC 5780, section 4.4).

    Args:
        prober: One that has asked nothing yet.

    Returns:
        On what it depends whether an answer gets in; None where no UDP gets out.

    Raises:
        LabError: Another address got in where another port of the same address did not.
    """
    (first,) = prober.ask([(SAME, SAME)])
    if first is None:
        return None
    other_port, other_address = prober.answered_from((OTHER_PORT, OTHER_ADDRESS))
    if not other_port and not other_address:
        return Dependence.ADDRESS_AND_PORT_DEPENDENT
    if not other_address:
        return Dependence.ADDRESS_DEPENDENT
    if not other_port:
        raise LabError("another address got in, but not another port of the same address", "This is a bug in a rule.")
    return Dependence.ENDPOINT_INDEPENDENT
