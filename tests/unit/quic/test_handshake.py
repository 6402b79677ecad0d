"""Handshakes: how long they take, whom they let through, and how they fail."""

from __future__ import annotations

import pytest

from p2p.errors import ConnectivityError, IdentityError, LocalProtocolError
from p2p.identity import proof
from p2p.quic import EngineConfig, ServerCredentials, load_engine
from tests.support.quic_credentials import credentials, identity, public_key
from tests.support.quic_world import make_world
from tests.unit.quic.conftest import PAIRINGS, MakeWorld


def test_a_handshake_takes_one_round_trip(make: MakeWorld) -> None:
    world = make(delay_s=0.01).connect()
    assert world.client_handler.connected_at == pytest.approx(1000.020, abs=0.002)
    assert world.server_handler.connected_at == pytest.approx(1000.030, abs=0.002)
    assert world.client.stats.guarded_errors == world.server.stats.guarded_errors == 0


def test_both_ends_have_the_same_channel_binding_and_each_session_its_own(make: MakeWorld) -> None:
    worlds = [make().connect() for _ in range(2)]
    bindings = [(world.client.channel_binding(), world.server.channel_binding()) for world in worlds]
    assert [len(client) for client, _ in bindings] == [32, 32]
    assert all(client == server for client, server in bindings)
    assert bindings[0] != bindings[1]


def test_there_is_no_channel_binding_before_the_handshake(make: MakeWorld) -> None:
    with pytest.raises(LocalProtocolError):
        make().client.channel_binding()


def test_a_lost_first_packet_costs_one_retransmission(make: MakeWorld) -> None:
    world = make()
    losses = iter([None])
    world.up.tap = lambda data: next(losses, data)
    world.connect()
    assert world.client_handler.connected_at is not None
    assert world.client_handler.connected_at < 1000.5


def test_a_handshake_survives_heavy_loss(make: MakeWorld) -> None:
    make(loss=0.2).connect()


@pytest.mark.parametrize(("client", "server"), PAIRINGS)
def test_a_server_with_another_key_is_refused(client: str, server: str) -> None:
    world = make_world(load_engine(client), load_engine(server), credentials(1), public_key(0))
    world.server.start()
    world.client.start()
    world.loop.run_for(5)
    assert [type(error) for error in world.client_handler.errors] == [IdentityError]
    assert world.client_handler.connected_at is None
    # The impostor learns why, and never gets a byte.
    assert [type(error) for error in world.server_handler.errors] == [IdentityError]
    assert not world.server_handler.data
    assert world.loop.pending == 0


def test_a_relayed_proof_is_refused(make: MakeWorld) -> None:
    """A man in the middle who terminates TLS on both sides cannot pass the client's proof on."""
    # He shows the client a certificate of his own, which a client that skipped pinning accepts ...
    towards_client = make_world(load_engine(), load_engine(), credentials(1), public_key(1)).connect()
    # ... and connects to the real server himself.
    towards_server = make().connect()
    client, server_id = identity(2), identity(0).peer_id
    stolen = proof.make(client, towards_client.client.channel_binding(), server_id)
    with pytest.raises(IdentityError):
        proof.verify(stolen, towards_server.server.channel_binding(), server_id)
    honest = proof.make(client, towards_server.client.channel_binding(), server_id)
    assert proof.verify(honest, towards_server.server.channel_binding(), server_id) == client.peer_id


def test_a_silent_server_times_out(make: MakeWorld) -> None:
    world = make(handshake_timeout_s=3.0)
    world.client.start()  # the server is not: it ignores what arrives
    world.loop.run_for(2.9)
    assert not world.client_handler.errors
    world.loop.run_for(0.2)
    [error] = world.client_handler.errors
    assert isinstance(error, ConnectivityError)
    assert error.code == "P2P-4112"
    world.loop.run_for(5)
    assert world.loop.pending == 0


def test_a_server_waits_no_longer_than_a_client(make: MakeWorld) -> None:
    world = make(handshake_timeout_s=3.0)
    world.server.start()
    world.loop.run_for(3.1)
    [error] = world.server_handler.errors
    assert error.code == "P2P-4112"
    world.loop.run_for(5)
    assert world.loop.pending == 0


def test_an_initial_for_nobody_is_dropped(make: MakeWorld) -> None:
    world, stranger = make(), make()
    world.server.start()
    stranger.up.deliver = world.up.deliver
    stranger.client.start()
    world.loop.run_for(1)
    stranger.loop.run_for(1)
    assert world.server_handler.connected_at is None
    assert world.down.sent == 0, "not even an answer"


def test_a_client_must_pin_and_a_server_must_not() -> None:
    engine = load_engine()
    with pytest.raises(LocalProtocolError):
        make_world(engine, engine, credentials(), None)  # type: ignore[arg-type]


def test_unusable_credentials_are_named() -> None:
    for name in ("qh3", "aioquic"):
        with pytest.raises(IdentityError, match="unusable"):
            load_engine(name).server(EngineConfig(), ServerCredentials(b"no", b"pem"), bytes(8))
