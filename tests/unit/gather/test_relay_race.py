"""Which relay is tried when, and how long the better one's head start is."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from p2p import defaults
from p2p.gather import relay as relay_module
from p2p.gather.relay import allocate_first
from p2p.gather.relay_server import RelayServer

URLS = ("turn:192.0.2.1:3478?transport=udp", "turn:192.0.2.1:3478?transport=tcp", "turn:192.0.2.1:80?transport=tcp")
SERVERS = [RelayServer.from_url(url, "user", "password") for url in URLS]


@pytest.mark.parametrize(
    ("is_blocked", "passes", "order", "spacing_s"),
    [
        (False, 0, [0], defaults.RELAY_RACE_SPACING_S),
        (False, 2, [0, 1, 2], defaults.RELAY_RACE_SPACING_S),
        (True, 2, [1, 2], defaults.RELAY_RACE_SPACING_BLOCKED_S),
        (True, 0, [1, 2, 0], defaults.RELAY_RACE_SPACING_BLOCKED_S),
    ],
)
async def test_silent_relays_are_passed(
    monkeypatch: pytest.MonkeyPatch, is_blocked: bool, passes: int, order: list[int], spacing_s: float
) -> None:
    tried: list[int] = []
    waits: list[float | None] = []
    wait = asyncio.wait

    async def allocate(endpoint: object, server: RelayServer, **_: object) -> Any:
        tried.append(SERVERS.index(server))
        if tried[-1] != passes:
            await asyncio.Event().wait()
        return SimpleNamespace(server=server)

    async def no_waiting(tasks: Any, *, timeout: float | None, return_when: str) -> Any:
        waits.append(timeout)
        for _ in range(5):
            await asyncio.sleep(0)
        return await wait(tasks, timeout=timeout and 0.0, return_when=return_when)

    monkeypatch.setattr(relay_module, "allocate", allocate)
    monkeypatch.setattr(relay_module.asyncio, "wait", no_waiting)
    endpoint: Any = None
    found: Any = await allocate_first(endpoint, SERVERS, udp_is_blocked=is_blocked)
    assert SERVERS.index(found.server) == passes
    assert tried == order
    assert {spacing for spacing in waits if spacing is not None} <= {spacing_s}
