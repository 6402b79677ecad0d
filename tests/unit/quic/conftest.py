"""The engines, and the four ways to pair them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from p2p.quic import ENGINE_NAMES, load_engine
from tests.support.quic_credentials import credentials, public_key
from tests.support.quic_world import World, make_world

PAIRINGS = [(client, server) for client in ENGINE_NAMES for server in ENGINE_NAMES]
MakeWorld = Callable[..., World]


@pytest.fixture(params=PAIRINGS, ids=[f"{client}-{server}" for client, server in PAIRINGS])
def make(request: pytest.FixtureRequest) -> MakeWorld:
    """Makes a client and a server, of each pairing of engines in turn."""
    client, server = request.param

    def make_pair(**options: Any) -> World:
        return make_world(load_engine(client), load_engine(server), credentials(), public_key(), **options)

    return make_pair


@pytest.fixture(params=ENGINE_NAMES)
def make_same(request: pytest.FixtureRequest) -> MakeWorld:
    """Makes two ends of one engine, of each engine in turn."""

    def make_pair(**options: Any) -> World:
        engine = load_engine(request.param)
        return make_world(engine, engine, credentials(), public_key(), **options)

    return make_pair
