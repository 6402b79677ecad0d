"""What was learned of the NAT in each network, kept for the next time: a program knows its NAT before it has asked.

One small JSON file in the user's cache folder, for this user's eyes only. Whatever is wrong with it, it is as if it
were empty: nothing depends on it.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import platformdirs

from p2p.defaults import NAT_CACHE_AGE_S, NAT_CACHE_BYTES, NAT_CACHE_NETWORKS, NAT_LIFETIME_LIMIT_MAX_S
from p2p.errors import DecodeError
from p2p.gather.interfaces import network_state
from p2p.gather.network_key import neighbours, network_key
from p2p.proto.path.reason import NatFacts
from p2p.proto.stun.nat import FilteringBehaviour, MappingBehaviour, PortAllocation

logger = logging.getLogger(__name__)

_APPLICATION: Final = "p2p"
_FILE_NAME: Final = "networks.json"
_OWNER_ONLY: Final = 0o600
_OWNER_ONLY_FOLDER: Final = 0o700
_CLOCK_SLACK_S: Final = 60.0
_MOST_LIFETIME_S: Final = 2 * NAT_LIFETIME_LIMIT_MAX_S
_KEPT: Final = ("mapping", "filtering", "dependent", "udp_blocked", "port_preserving", "allocation", "port_step")
_UNKNOWN: Final = (None, MappingBehaviour.UNKNOWN, FilteringBehaviour.UNKNOWN, PortAllocation.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Recalled:
    """What is remembered of a network.

    Attributes:
        facts: Without the user's wishes.
        age_s: How old they are, in seconds.
        lifetime: After how many seconds without traffic a mapping was still there, and after how many it was gone,
            None if it never was; None where that was not found out.
    """

    facts: NatFacts
    age_s: float
    lifetime: tuple[float, float | None] | None = None


def here() -> str | None:
    """Name the network that this host is in now; None where there is no way out, or it cannot be told."""
    try:
        return network_key(network_state(), neighbours())
    except OSError:
        return None


class KnownNetwork(NamedTuple):
    """An entry of the file.

    Attributes:
        at: When the network was examined, in Unix time.
        facts: What was found.
        lifetime: See ``Recalled``.
    """

    at: float
    facts: NatFacts
    lifetime: tuple[float, float | None] | None = None


class NatCache:
    """The file, read and written as a whole each time: it has a few kilobytes, and other programs write it too.

    Concurrency: any number of processes; of two that write at once the later one wins, and what the other one
    learned is learned again.

    Args:
        path: The file; None means the one in the platform's cache folder.
        now_wall: The Unix clock.
    """

    def __init__(self, path: Path | None = None, *, now_wall: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now_wall = now_wall

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._path or platformdirs.user_cache_path(_APPLICATION, appauthor=False) / _FILE_NAME

    def recall(self, network: str) -> Recalled | None:
        """Look up a network.

        Args:
            network: From ``here``.

        Returns:
            None when nothing is remembered, or it is too old.
        """
        entry = self._load().get(network)
        return None if entry is None else Recalled(entry.facts, max(0.0, self._now_wall() - entry.at), entry.lifetime)

    def remember(self, network: str, facts: NatFacts, lifetime: tuple[float, float | None] | None = None) -> None:
        """Keep what was learned of a network; what is not worth it, or cannot be written, is not kept.

        Args:
            network: From ``here``.
            facts: Of a network that lets UDP through: of one that does not a wrong memory would cost too much.
            lifetime: See ``Recalled``; None leaves what is remembered, unless it is of another NAT.
        """
        if facts.udp_blocked is not False or not (facts.is_dependent or facts.is_independent):
            return
        known = self._load()
        before = known.get(network)
        if lifetime is None and before is not None and complete(facts, before.facts) is not None:
            lifetime = before.lifetime
        known[network] = KnownNetwork(self._now_wall(), facts, lifetime)
        newest = sorted(known.items(), key=lambda item: item[1].at, reverse=True)[:NAT_CACHE_NETWORKS]
        networks = {key: _to_json(entry) for key, entry in newest}
        try:
            self._write(json.dumps({"networks": networks}, indent=1))
        except OSError as error:
            logger.info("what was learned of the network is not kept: %s", error)

    def _load(self) -> dict[str, KnownNetwork]:
        try:
            with self.path.open("rb") as file:
                data = file.read(NAT_CACHE_BYTES + 1)
            return decode_networks_untrusted(data, self._now_wall())
        except FileNotFoundError:
            return {}
        except (OSError, DecodeError) as error:
            logger.info("what was learned of networks is lost: %s", error)
            return {}

    def _write(self, text: str) -> None:
        path = self.path
        path.parent.mkdir(mode=_OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise


def _to_json(entry: KnownNetwork) -> dict[str, Any]:
    facts = {name: entry.facts.to_wire()[name] for name in _KEPT}
    return {"at": round(entry.at), "facts": facts, "lifetime": entry.lifetime and list(entry.lifetime)}


def decode_networks_untrusted(data: bytes, now_wall: float) -> dict[str, KnownNetwork]:
    """Read the file's content. Entries that are wrong or too old are left out.

    Args:
        data: At most ``NAT_CACHE_BYTES``.
        now_wall: The Unix time.

    Returns:
        What is known of each network.

    Raises:
        DecodeError: It is no such file at all.
    """
    if len(data) > NAT_CACHE_BYTES:
        raise DecodeError("too long for a list of networks")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"no JSON: {error}") from error
    networks = value.get("networks") if isinstance(value, Mapping) else None
    if not isinstance(networks, Mapping):
        raise DecodeError("no list of networks")
    found = {}
    for key, entry in networks.items():
        at = entry.get("at") if isinstance(entry, Mapping) else None
        if isinstance(at, bool) or not isinstance(at, int) or not -_CLOCK_SLACK_S <= now_wall - at <= NAT_CACHE_AGE_S:
            continue
        try:
            facts = NatFacts.from_wire_untrusted(entry.get("facts"))
        except DecodeError:
            continue
        facts = replace(facts, direct_disabled=False, birthday_disabled=False)
        found[key] = KnownNetwork(float(at), facts, _lifetime(entry.get("lifetime")))
    return found


def _lifetime(value: object) -> tuple[float, float | None] | None:
    """Read a lifetime; one that makes no sense is none."""
    match value:
        case [int() | float() as least_s, None] if 0 <= least_s <= _MOST_LIFETIME_S:
            return float(least_s), None
        case [int() | float() as least_s, int() | float() as most_s] if 0 <= least_s <= most_s <= _MOST_LIFETIME_S:
            return float(least_s), float(most_s)
    return None


def complete(measured: NatFacts, remembered: NatFacts) -> NatFacts | None:
    """Fill in what was not measured yet from what is remembered.

    Args:
        measured: What is known by now; its unknown fields are filled in.
        remembered: From the cache.

    Returns:
        None when the two contradict each other: then nothing that is remembered can be trusted.
    """
    filled: dict[str, Any] = {}
    for name in _KEPT:
        now, before = getattr(measured, name), getattr(remembered, name)
        if now in _UNKNOWN:
            filled[name] = before
        elif before not in _UNKNOWN and now != before:
            return None
    return replace(measured, **filled)
