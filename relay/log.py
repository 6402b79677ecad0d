"""What a relay writes to its log: who got which relayed address, and why requests were refused. Never credentials."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, Final

from relay.config import LogFormat
from relay.core.allocation import Allocation
from relay.core.five_tuple import FiveTuple
from relay.core.request import RefusedError, StunError
from relay.core.table import EndReason
from relay.usage import UserTotals

logger = logging.getLogger("relay")

_EVERYDAY = (StunError.BAD_REQUEST, StunError.UNAUTHENTICATED, StunError.UNKNOWN_ATTRIBUTE, StunError.STALE_NONCE)
"""What anybody can provoke without credentials, and every client does with its first request."""
_TEXT_FORMAT: Final = "%(levelname)s %(name)s: %(message)s"
_FIELDS: Final = "fields"


def set_up(log_format: LogFormat, *, verbose: bool) -> None:
    """Send the log of this process to standard error.

    Args:
        log_format: Lines or objects.
        verbose: Whether refused requests and other details are written as well.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format is LogFormat.JSON else logging.Formatter(_TEXT_FORMAT))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


class JsonFormatter(logging.Formatter):
    """One JSON object a record: time, level, message, and the fields of the event."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record.

        Args:
            record: What was logged; ``fields`` in its ``extra`` become members.
        """
        content: dict[str, Any] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        return json.dumps(content, default=str)


class RelayLog:
    """Writes what happens to allocations."""

    def allocation_created(self, allocation: Allocation) -> None:
        """A client has got an allocation."""
        relayed = [str(socket.relayed_address) for socket in allocation.sockets.values()]
        logger.info(
            "%s: allocated %s for %r",
            allocation.five_tuple,
            ", ".join(relayed),
            allocation.owner,
            extra=_event("allocated", allocation.five_tuple, user=allocation.owner, relayed=relayed),
        )

    def allocation_ended(self, allocation: Allocation, reason: EndReason) -> None:
        """An allocation is gone."""
        logger.info(
            "%s: allocation of %r %s after %d datagrams, %d bytes",
            allocation.five_tuple,
            allocation.owner,
            reason.value,
            allocation.packets,
            allocation.relayed_bytes,
            extra=_event(
                "ended",
                allocation.five_tuple,
                user=allocation.owner,
                reason=reason.value,
                packets=allocation.packets,
                bytes=allocation.relayed_bytes,
            ),
        )

    def request_refused(self, five_tuple: FiveTuple, method: str, error: RefusedError) -> None:
        """A request was answered with an error."""
        level = logging.DEBUG if error.number in _EVERYDAY else logging.INFO
        if logger.isEnabledFor(level):  # strangers' requests come in floods
            fields = _event("refused", five_tuple, method=method, number=error.number.value, detail=error.detail)
            logger.log(level, "%s: %s refused, %s", five_tuple, method, error.detail, extra=fields)


def _event(name: str, five_tuple: FiveTuple, **fields: object) -> dict[str, dict[str, object]]:
    where = {"transport": five_tuple.transport.value, "client": str(five_tuple.client)}
    return {_FIELDS: {"event": name, **where, **fields}}


class WatchedLog(RelayLog):
    """The log, what users have sent, and an event for whoever waits for allocations to end.

    Attributes:
        ended: Set whenever an allocation ends; whoever waits for the next one clears it.
        totals: What users have sent.
    """

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.totals = UserTotals()

    def allocation_ended(self, allocation: Allocation, reason: EndReason) -> None:
        """Log it, count it, and wake up who waits."""
        super().allocation_ended(allocation, reason)
        self.totals.add(allocation)
        self.ended.set()
