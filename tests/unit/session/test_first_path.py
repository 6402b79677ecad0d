"""The exposer's first check to where a knock came from: after the dialer's own, for a session that still is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from p2p.address import TransportAddress
from p2p.defaults import KNOCK_CHECK_AFTER_S
from p2p.proto.ice import Candidate, CandidateType
from p2p.session import first_path
from p2p.session.first_path import check_knock

SOURCE = TransportAddress("198.51.100.7", 40_000)


@pytest.mark.parametrize("still_is", [True, False])
async def test_the_check_waits_for_the_dialers(monkeypatch: pytest.MonkeyPatch, still_is: bool) -> None:
    log: list[Any] = []

    async def sleep(wait_s: float) -> None:
        log.append(wait_s)

    monkeypatch.setattr(first_path, "asyncio", SimpleNamespace(sleep=sleep))
    session: Any = SimpleNamespace(session_id="5" * 32, add_remote=log.append)
    await check_knock(session, SOURCE, {session.session_id: session} if still_is else {})
    assert log.pop(0) == KNOCK_CHECK_AFTER_S
    candidates = [Candidate.from_wire_untrusted(line) for lines in log for line in lines]
    assert [(candidate.type, candidate.address) for candidate in candidates] == (
        [(CandidateType.SERVER_REFLEXIVE, SOURCE)] if still_is else []
    )
