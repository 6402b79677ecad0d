"""What passed: exchanges of HTTP and other connections, as much of them as there is room for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

BODY_KEPT_BYTES: Final = 256 << 10
"""Of each body; the rest is counted only."""
MEMORY_MAX_BYTES: Final = 32 << 20
"""Of all bodies and headers; the oldest exchanges go first."""
EXCHANGES_MAX: Final = 1000

Headers: TypeAlias = list[tuple[str, str]]
_OVERHEAD_BYTES: Final = 1024


@dataclass(slots=True)
class Body:
    """A body, or its beginning."""

    kept: bytearray = field(default_factory=bytearray)
    size: int = 0
    """Of the whole, bytes."""

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        self.size += len(data)
        if (room := BODY_KEPT_BYTES - len(self.kept)) > 0:
            self.kept += data[:room]

    @property
    def is_whole(self) -> bool:
        """Whether nothing was left out."""
        return self.size == len(self.kept)


@dataclass(slots=True, kw_only=True)
class Exchange:
    """A request and its response, or a connection that is no HTTP."""

    number: int
    service: str
    visitor: str
    """The address of whose connection it is, as far as the other side tells."""
    began_wall: float
    """Unix seconds."""
    began_at: float
    """Monotonic."""
    method: str = ""
    """Empty for a connection that is no HTTP."""
    target: str = ""
    request_headers: Headers = field(default_factory=list)
    request: Body = field(default_factory=Body)
    status: int | None = None
    response_headers: Headers = field(default_factory=list)
    response: Body = field(default_factory=Body)
    first_byte_s: float | None = None
    took_s: float | None = None
    """None while it goes on."""
    note: str = ""
    """What else is to be said: switched to another protocol, broken off."""
    replay_of: int | None = None

    @property
    def cost_bytes(self) -> int:
        """About how much memory it takes."""
        headers = sum(len(name) + len(value) for name, value in [*self.request_headers, *self.response_headers])
        return _OVERHEAD_BYTES + headers + len(self.target) + len(self.request.kept) + len(self.response.kept)


class Recorder:
    """Keeps the newest exchanges within bounds.

    Args:
        memory_max_bytes: How much they may take together.
    """

    def __init__(self, memory_max_bytes: int = MEMORY_MAX_BYTES) -> None:
        self.listeners: set[Callable[[Exchange], None]] = set()
        """Told of each exchange that is new or has changed."""
        self._exchanges: OrderedDict[int, Exchange] = OrderedDict()
        self._costs: dict[int, int] = {}
        self._memory_max_bytes = memory_max_bytes
        self._memory_bytes = 0
        self._next = 1

    def __iter__(self) -> Iterator[Exchange]:
        yield from self._exchanges.values()

    def find(self, number: int) -> Exchange | None:
        """The exchange of a number, if it is still there."""
        return self._exchanges.get(number)

    def begin(self, *, service: str, visitor: str, now_wall: float, now: float) -> Exchange:
        """Begin an exchange.

        Args:
            service: Which service it is for.
            visitor: Whose it is.
            now_wall: Unix time.
            now: Monotonic time.
        """
        exchange = Exchange(number=self._next, service=service, visitor=visitor, began_wall=now_wall, began_at=now)
        self._next += 1
        self._exchanges[exchange.number] = exchange
        self.changed(exchange)
        return exchange

    def changed(self, exchange: Exchange) -> None:
        """Take note that an exchange has changed, and make room."""
        if exchange.number in self._exchanges:
            cost = exchange.cost_bytes
            self._memory_bytes += cost - self._costs.get(exchange.number, 0)
            self._costs[exchange.number] = cost
        while len(self._exchanges) > 1 and (
            self._memory_bytes > self._memory_max_bytes or len(self._exchanges) > EXCHANGES_MAX
        ):
            self._drop(next(iter(self._exchanges)))
        for listener in tuple(self.listeners):
            listener(exchange)

    def clear(self) -> None:
        """Forget all."""
        for number in tuple(self._exchanges):
            self._drop(number)

    def _drop(self, number: int) -> None:
        del self._exchanges[number]
        self._memory_bytes -= self._costs.pop(number, 0)
