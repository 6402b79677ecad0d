"""Answers of the one-shot command ``p2p ping``, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from p2p.address import TransportAddress
from p2p.session.status import PathKind, PathTransport, milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class PingReply:
    """One answer of the peer."""

    sequence: int
    """Number of the question, from 1."""
    path: PathKind
    """How question and answer travelled."""
    transport: PathTransport = PathTransport.UDP
    """What carried them on our side."""
    address: TransportAddress | None = None
    """Where the question was sent."""
    rtt_s: float | None = None
    """Round-trip time in seconds; None when no answer came in time."""

    def to_json(self) -> dict[str, Any]:
        """The reply as JSON values, ready for one line of output."""
        return {
            "event": "ping",
            "sequence": self.sequence,
            "path": self.path,
            "transport": self.transport,
            "address": None if self.address is None else str(self.address),
            "rtt_ms": milliseconds(self.rtt_s),
        }
