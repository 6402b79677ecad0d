"""What a pair of kinds must come to: a direct path, the relay with a reason, or either of the two."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from .kinds import Dependence, Kind

# The names by which the programs under test give their reasons; "here" is the dialer's side, which is asked.
REASON_BLOCKED_HERE: Final = "udp-blocked-here"
REASON_BLOCKED_THERE: Final = "udp-blocked-there"
REASON_BOTH_DEPENDENT: Final = "both-mappings-dependent"
REASON_PORT_FILTER_HERE: Final = "dependent-mapping-meets-port-filtering-here"
REASON_PORT_FILTER_THERE: Final = "dependent-mapping-meets-port-filtering-there"
REASON_POOL_HERE: Final = "address-pool-here"
REASON_POOL_THERE: Final = "address-pool-there"
REASON_NO_COMMON_ADDRESS: Final = "no-common-address"
REASON_UNANSWERED: Final = "checks-unanswered"
# What the relay is spoken to over where UDP is blocked.
_NOT_UDP: Final = frozenset({"tcp", "tls"})


class Path(enum.Enum):
    """Where a session ends up."""

    DIRECT = "direct"
    RELAY = "relay"
    EITHER = "either"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a pair must come to.

    Attributes:
        path: Where the session must end up; `Path.EITHER` where only port prediction or luck leads to a direct path.
        reason: The reason that is right where it ends up on the relay; None where it must not.
        needs_guess: Whether a direct path takes a guess, which may take its time.
        transports: What the dialer may speak to its relay over; empty for anything.
    """

    path: Path
    reason: str | None = None
    needs_guess: bool = False
    transports: frozenset[str] = frozenset()

    def complaint(self, path: Path | None, reason: str | None, transport: str = "") -> str:
        """Compare with what a session came to.

        Args:
            path: Where it ended up; None when there was no session.
            reason: Why it is on the relay, if it is and if a reason was given.
            transport: What its first path ran over; empty where that is not known.

        Returns:
            A sentence, empty when all is as expected.
        """
        if path is None:
            return "not connected"
        if self.path is not Path.EITHER and path is not self.path:
            because = f" ({reason})" if reason else ""
            return f"{path.value}{because} instead of {self.path.value}"
        if path is Path.RELAY and reason != self.reason:
            return f"relay because of {reason or 'nothing that was said'}, not {self.reason}"
        if self.transports and transport and transport not in self.transports:
            return f"over {transport}, not {' or '.join(sorted(self.transports))}"
        return ""


def expect(dialer: Kind, exposer: Kind, *, hard: Path = Path.DIRECT) -> Expectation:
    """Tell what two kinds must come to by what RFC 4787 behaviour allows.

    Two mappings that depend on nothing meet by plain checks, whatever the filters. One that depends on the
    destination meets another side whose filter does not look at ports: that side takes the port from the first packet
    it hears. Everything else needs the other side's next port, which is guessed: a random one only for a mapping that
    depends on nothing.

    Args:
        dialer: The dialer's kind.
        exposer: The exposer's kind.
        hard: What to expect of pairs that need a guess and can have one.

    Source: RFC 4787, sections 4.1 and 5; RFC 5128, section 3.3.
    """
    if dialer.mapping is None or exposer.mapping is None:
        # Where it is blocked on both sides, the side that is asked comes first: that one can be helped here.
        if dialer.mapping is None:
            return Expectation(Path.RELAY, REASON_BLOCKED_HERE, transports=_NOT_UDP)
        return Expectation(Path.RELAY, REASON_BLOCKED_THERE)
    independent = Dependence.ENDPOINT_INDEPENDENT
    by_port = Dependence.ADDRESS_AND_PORT_DEPENDENT
    if dialer.mapping is independent and exposer.mapping is independent:
        return Expectation(Path.DIRECT)
    if dialer.mapping is not independent and exposer.mapping is not independent:
        # Where one of the ports is random, each guess at it uses up a prediction of the other.
        guessable = dialer.step is not None and exposer.step is not None
        return Expectation(hard if guessable else Path.RELAY, REASON_BOTH_DEPENDENT, guessable)
    easy = exposer if exposer.mapping is independent else dialer
    difficult = dialer if easy is exposer else exposer
    if difficult.keeps_port and easy.filtering is not independent:
        # Its port is no secret; it is the address that changes, and nobody guesses addresses.
        return Expectation(Path.RELAY, REASON_POOL_HERE if difficult is dialer else REASON_POOL_THERE)
    if easy.filtering is not by_port:
        return Expectation(Path.DIRECT)
    reason = REASON_PORT_FILTER_THERE if easy is exposer else REASON_PORT_FILTER_HERE
    return Expectation(hard, reason, needs_guess=True)
