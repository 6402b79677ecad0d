"""Signals that the rendezvous refuses for now."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from p2p.defaults import SIGNAL_REPEATS_S
from p2p.errors import SignallingError
from p2p.proto.path.reason import NatFacts
from p2p.proto.signalling.bodies import Answer, PeerBody, Trickle
from p2p.session import delivery as delivery_module
from p2p.session.delivery import SignalDelivery
from p2p.session.outbox import renewed
from p2p.signalling.errors import CODE_NOT_ALLOWED, CODE_PEER_OFFLINE, CODE_RATE_LIMITED

OLD, NEW = "candidate:old", "candidate:new"
TRICKLE = Trickle(session="5" * 32, candidates=(OLD,), gone=(NEW,), guess={"kind": "range"})


class World:
    """A rendezvous that refuses, and a clock that only notes what it is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *refusals: Any) -> None:
        self.refusals = list(refusals)
        self.waits: list[float] = []
        self.node: Any = SimpleNamespace(signalling=self, facts=NatFacts(udp_blocked=False))
        self.session: Any = SimpleNamespace(
            session_id=TRICKLE.session, peer="peer", peer_instance="", knock=None, local_candidates=lambda: (self,)
        )
        self.delivery = SignalDelivery()
        monkeypatch.setattr(delivery_module, "asyncio", SimpleNamespace(sleep=self.sleep))

    def to_wire(self) -> str:
        return NEW

    async def sleep(self, wait_s: float) -> None:
        self.waits.append(wait_s)
        await asyncio.sleep(0)

    async def send(self, peer: str, data: bytes, *, instance: str, knock: bytes | None) -> None:
        code = self.refusals.pop(0) if self.refusals else None
        if code is not None:
            raise SignallingError("refused", code=code)

    async def deliver(self, body: PeerBody) -> PeerBody | None:
        return await self.delivery.send(self.node, self.session, body)


async def test_what_arrives_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    assert await world.deliver(TRICKLE) is None
    assert not world.waits


@pytest.mark.parametrize("code", [CODE_PEER_OFFLINE, CODE_RATE_LIMITED])
async def test_news_are_sent_again_as_things_are_by_then(monkeypatch: pytest.MonkeyPatch, code: Any) -> None:
    world = World(monkeypatch, code)
    again = await world.deliver(TRICKLE)
    assert isinstance(again, Trickle)
    assert (again.candidates, again.gone, again.guess) == ((NEW,), (), TRICKLE.guess)
    assert again.nat is not None
    assert again.nat["udp_blocked"] is False
    assert world.waits == [SIGNAL_REPEATS_S[0]]


async def test_an_answer_is_sent_again_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, CODE_PEER_OFFLINE)
    answer = Answer(session=TRICKLE.session, ice={})
    assert await world.deliver(answer) is answer


async def test_a_peer_that_stays_away_is_given_up_until_something_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, *[CODE_PEER_OFFLINE] * (len(SIGNAL_REPEATS_S) + 1), None, CODE_PEER_OFFLINE)
    for _ in SIGNAL_REPEATS_S:
        assert await world.deliver(TRICKLE) is not None
    assert await world.deliver(TRICKLE) is None
    assert world.waits == list(SIGNAL_REPEATS_S)
    assert await world.deliver(TRICKLE) is None, "it arrives"
    assert await world.deliver(TRICKLE) is not None
    assert world.waits[-1] == SIGNAL_REPEATS_S[0]


async def test_another_refusal_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await World(monkeypatch, CODE_NOT_ALLOWED).deliver(TRICKLE) is None


def test_what_we_are_gone_from_and_have_again_is_not_gone() -> None:
    lost = Trickle(session="5" * 32, candidates=("a",), gone=("b", "c"), end=True)
    assert renewed(lost, ("b",), {}) == Trickle(session="5" * 32, candidates=("b",), gone=("c",), end=True, nat={})
