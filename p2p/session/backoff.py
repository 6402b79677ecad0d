"""How long to wait before something that failed is tried again."""

from __future__ import annotations

import random
from typing import Final

_DOUBLINGS_MAX: Final = 16


def wait_after_s(failures: int, *, least_s: float, most_s: float) -> float:
    """Choose a wait at random, so that many programs do not try again in step.

    Args:
        failures: How many there were in a row, from 1.
        least_s: The shortest wait.
        most_s: Where the doubling of the longest wait ends.
    """
    longest_s = min(most_s, least_s * 2.0 ** min(failures, _DOUBLINGS_MAX))
    return random.uniform(least_s, longest_s)  # noqa: S311 -- spreads load, protects nothing
