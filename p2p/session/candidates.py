"""Which candidates two peers let each other know."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

from p2p.errors import DecodeError
from p2p.proto.ice import Candidate, CandidateType
from p2p.session.options import RelayPolicy

logger = logging.getLogger(__name__)


def shown(candidates: Sequence[Candidate], policy: RelayPolicy) -> tuple[Candidate, ...]:
    """Take those of our addresses that the user's policy lets the peer know."""
    match policy:
        case RelayPolicy.ALLOW:
            return tuple(candidates)
        case RelayPolicy.NEVER:
            return tuple(candidate for candidate in candidates if candidate.type is not CandidateType.RELAYED)
        case RelayPolicy.ONLY:
            # A relayed address is related to the one that it hides.
            relayed = (candidate for candidate in candidates if candidate.type is CandidateType.RELAYED)
            return tuple(replace(candidate, related=None) for candidate in relayed)


def write_lines(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Write candidates as the lines that ``read_lines`` reads at the other side."""
    return tuple(candidate.to_wire() for candidate in candidates)


def read_lines(lines: Sequence[str], *, session: str) -> Iterator[Candidate]:
    """Read the lines in which the peer names its addresses; unusable ones are skipped.

    Args:
        lines: What it sent.
        session: For the log.
    """
    for line in lines:
        try:
            yield Candidate.from_wire_untrusted(line)
        except DecodeError as error:
            logger.info("session %s: candidate skipped: %s", session, error)
