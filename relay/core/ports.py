"""Which ports relayed addresses may have, and which of them are free."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from p2p.defaults import RELAY_PORT_REST_S


class PortPool:
    """The free ports of one relay address, handed out in an order that nobody can guess.

    A port that was given back rests for a while, so that its next owner does not get the last one's packets. When
    nothing else is left, the port that has rested longest is used all the same.

    Args:
        first: The lowest port.
        last: The highest port, itself included.
        random_bytes: Source of randomness.
        rest_s: How long a port rests, in seconds.

    Source: RFC 8656 section 7.2 (the range and the random choice), RFC 6056.
    """

    def __init__(
        self,
        first: int,
        last: int,
        *,
        random_bytes: Callable[[int], bytes],
        rest_s: float = RELAY_PORT_REST_S,
    ) -> None:
        self._random_bytes = random_bytes
        self._rest_s = rest_s
        ports = range(first, last + 1)
        self._free = (_Bag(port for port in ports if port % 2 == 0), _Bag(port for port in ports if port % 2))
        self._resting: deque[tuple[float, int]] = deque()

    def __len__(self) -> int:
        """How many ports are not in use; those at rest count."""
        return len(self._free[0]) + len(self._free[1]) + len(self._resting)

    def take(self, now: float, *, rather: int | None = None) -> int | None:
        """Take a port.

        Args:
            now: Monotonic instant in seconds.
            rather: The port to take if it is free; otherwise chance decides.

        Returns:
            The port, or None when all are in use.
        """
        self._wake(now)
        even, odd = self._free
        if rather is not None and rather in self._free[rather % 2]:
            self._free[rather % 2].remove(rather)
            return rather
        if len(even) + len(odd):
            index = self._random_below(len(even) + len(odd))
            bag, index = (even, index) if index < len(even) else (odd, index - len(even))
            return bag.pop_at(index)
        return self._resting.popleft()[1] if self._resting else None

    def take_even(self, now: float, *, with_next: bool) -> int | None:
        """Take an even port, if wanted together with the odd one above it.

        Args:
            now: Monotonic instant in seconds.
            with_next: Whether the next port must be free too; it is taken as well.

        Returns:
            The even port, or None when there is none.
        """
        self._wake(now)
        even, odd = self._free
        if not len(even):
            return None
        start = self._random_below(len(even))
        for step in range(len(even)):
            index = (start + step) % len(even)
            if not with_next or even[index] + 1 in odd:
                port = even.pop_at(index)
                if with_next:
                    odd.remove(port + 1)
                return port
        return None

    def give_back(self, port: int, now: float) -> None:
        """Let a port rest, then be free again."""
        self._resting.append((now + self._rest_s, port))

    def _wake(self, now: float) -> None:
        while self._resting and self._resting[0][0] <= now:
            port = self._resting.popleft()[1]
            self._free[port % 2].add(port)

    def _random_below(self, limit: int) -> int:
        # Eight bytes against at most 65,536 ports: the bias of the remainder is below 2**-47.
        return int.from_bytes(self._random_bytes(8), "big") % limit


class _Bag:
    """A set whose elements have positions, so that a random one can be taken at once."""

    def __init__(self, values: Iterable[int]) -> None:
        self._values: list[int] = list(values)
        self._positions = {value: index for index, value in enumerate(self._values)}

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, value: int) -> bool:
        return value in self._positions

    def __getitem__(self, index: int) -> int:
        return self._values[index]

    def add(self, value: int) -> None:
        self._positions[value] = len(self._values)
        self._values.append(value)

    def pop_at(self, index: int) -> int:
        value, last = self._values[index], self._values.pop()
        if last != value:
            self._values[index] = last
            self._positions[last] = index
        del self._positions[value]
        return value

    def remove(self, value: int) -> None:
        self.pop_at(self._positions[value])
