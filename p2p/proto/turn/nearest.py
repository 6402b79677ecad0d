"""Which of several relays to try first, by how far they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from p2p.defaults import RELAY_NEARER_BY_S


def nearest_first(hosts: Sequence[str], round_trips_s: Mapping[str, float]) -> list[str]:
    """Order relays: the nearest, those that are hardly farther, the others by distance, and then the silent ones.

    Args:
        hosts: The relays in the order of their operator, each once.
        round_trips_s: How far those are that have answered, in seconds.

    Returns:
        The same hosts. Those within ``RELAY_NEARER_BY_S`` of the nearest, and those that have not answered, keep
        the operator's order among themselves.
    """
    measured = sorted((host for host in hosts if host in round_trips_s), key=lambda host: round_trips_s[host])
    if not measured:
        return list(hosts)
    limit_s = round_trips_s[measured[0]] + RELAY_NEARER_BY_S
    near = [host for host in hosts if round_trips_s.get(host, float("inf")) <= limit_s]
    far = [host for host in measured if round_trips_s[host] > limit_s]
    silent = [host for host in hosts if host not in round_trips_s]
    return [*near, *far, *silent]
