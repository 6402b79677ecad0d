"""Which ports a NAT will give, or has given, by what servers saw of it."""

from __future__ import annotations

from collections.abc import Sequence

from p2p.defaults import BIRTHDAY_SAMPLES, GUESS_PORT_FIRST, GUESS_PORT_LAST, GUESS_WINDOW_PORTS

_MARGIN_PORTS = 2
_RANGE_MARGIN = 8


def is_in_a_row(before: int, after: int) -> bool:
    """Tell whether two ports, seen before and after a few packets, were given one after the other."""
    return 0 < abs(after - before) <= GUESS_WINDOW_PORTS


def window(before: int | None, after: int | None, count: int, step: int | None) -> tuple[int, ...]:
    """Name the ports of ``count`` mappings that were made between two that a server saw, the likeliest first.

    When others took ports in between, the window is wider than ``count``. When the NAT went back to the start of its
    range in between, or only one of the two is known, it is counted from each known end.

    Args:
        before: The port of the mapping before them.
        after: The port of the mapping after them.
        count: How many there are.
        step: The NAT's step as measured earlier, with its sign; None when it is not known.
    """
    if before is not None and after is not None and is_in_a_row(before, after):
        direction = 1 if after > before else -1
        stride = abs(step or 1)
        between = range(before + direction, after, direction)
        return tuple(sorted(between, key=lambda port: ((port - before) % stride != 0, abs(port - before))))
    step = step or 1
    far = count + _MARGIN_PORTS
    up = [] if before is None else [before + step * n for n in range(1, far + 1)]
    down = [] if after is None else [after - step * n for n in range(1, far + 1)]
    return tuple(port for port in dict.fromkeys((*up, *down)) if GUESS_PORT_FIRST <= port <= GUESS_PORT_LAST)


def next_ports(last: int, count: int, step: int) -> tuple[int, ...]:
    """Name the ports of the next mappings.

    A port beyond the end of the range is none: the caller measures again, when the NAT has gone round.

    Args:
        last: The port of the latest mapping.
        count: How many.
        step: The NAT's step, with its sign.
    """
    ports = (last + step * n for n in range(1, count + 1))
    return tuple(port for port in ports if GUESS_PORT_FIRST <= port <= GUESS_PORT_LAST)


def port_range(seen: Sequence[int]) -> tuple[int, int]:
    """Estimate the range that a NAT takes its ports from at random.

    Of n ports out of a range, the outermost two leave a share of 1/n of it outside; a little more is added.

    Args:
        seen: Ports it gave; with few of them the whole range is taken.

    Returns:
        The lowest and the highest port.
    """
    if len(seen) < BIRTHDAY_SAMPLES // 2:
        return GUESS_PORT_FIRST, GUESS_PORT_LAST
    return widened(min(seen), max(seen))


def widened(low: int, high: int) -> tuple[int, int]:
    """Add to a range that was seen what a dozen or two of samples leave out.

    Args:
        low: The lowest port seen.
        high: The highest port seen.
    """
    margin = (high - low) // _RANGE_MARGIN + 1
    return max(low - margin, GUESS_PORT_FIRST), min(high + margin, GUESS_PORT_LAST)
