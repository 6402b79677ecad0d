"""The end of a connection: told once to everybody, with its reason, and nothing left behind."""

from __future__ import annotations

import pytest

from p2p.errors import LocalProtocolError, SessionClosedError
from p2p.quic import ConnectionClosedError
from tests.unit.quic.conftest import MakeWorld


@pytest.mark.parametrize("closer", ["client", "server"])
def test_the_reason_reaches_the_other_side(make: MakeWorld, closer: str) -> None:
    world = make().connect()
    other = "server" if closer == "client" else "client"
    getattr(world, closer).close(7, "no more service")
    world.loop.run_for(0.05)
    [theirs] = getattr(world, f"{other}_handler").errors
    assert isinstance(theirs, SessionClosedError)
    assert isinstance(theirs, ConnectionClosedError)
    assert (theirs.reason, theirs.close_code, theirs.by_peer) == ("no more service", 7, True)
    [ours] = getattr(world, f"{closer}_handler").errors
    assert isinstance(ours, ConnectionClosedError)
    assert not ours.by_peer
    world.loop.run_for(5)
    assert world.loop.pending == 0
    assert not world.client.connection_ids
    assert not world.server.connection_ids


def test_what_was_queued_before_the_end_still_arrives(make: MakeWorld) -> None:
    world = make().connect()
    stream_id = world.client.open_stream()
    world.client.send(stream_id, b"goodbye", end=True)
    world.client.close(0, "")
    world.loop.run_for(1)
    assert world.server_handler.data[stream_id] == b"goodbye"


def test_an_answer_to_what_arrives_together_with_the_end_is_for_nothing(make: MakeWorld) -> None:
    world = make().connect()
    packets: list[bytes] = []
    world.up.deliver = packets.append
    stream_id = world.client.open_stream()
    world.client.send(stream_id, b"last words")
    world.client.close(5, "gone")
    world.loop.run_for(0.02)

    def answer(*_: object) -> None:
        world.server.send(stream_id, b"answer", end=True)
        world.server.send(world.server.open_stream(), b"more")

    world.server_handler.on_data = answer
    now = world.loop.time()
    for packet in packets:
        world.server.receive(packet, len(packet), now)
    world.server.after_receive(now)
    world.loop.run_for(0.1)
    assert world.server_handler.data[stream_id] == b"last words"
    [error] = world.server_handler.errors
    assert isinstance(error, ConnectionClosedError)
    assert (error.close_code, error.by_peer) == (5, True)


def test_a_lost_close_is_repeated_to_whoever_still_sends(make: MakeWorld) -> None:
    world = make().connect()
    world.down.is_up = False
    world.server.close(3, "really")
    world.loop.run_for(0.02)
    world.down.is_up = True
    stream_id = world.client.open_stream()
    world.client.send(stream_id, b"are you there?")
    world.loop.run_for(0.1)
    [error] = world.client_handler.errors
    assert isinstance(error, ConnectionClosedError)
    assert error.reason == "really"


def test_closing_twice_is_closing_once(make: MakeWorld) -> None:
    world = make().connect()
    world.client.close(1, "first")
    world.client.close(2, "second")
    world.server.close(3, "third")
    world.loop.run_for(5)
    assert [str(error) for error in world.client_handler.errors] == [
        "this side closed the connection: first [P2P-6201]"
    ]
    assert len(world.server_handler.errors) == 1


def test_closing_before_the_handshake(make: MakeWorld) -> None:
    world = make()
    world.server.start()
    world.client.start()
    world.client.close(0, "changed my mind")
    world.loop.run_for(12)
    assert len(world.client_handler.errors) == 1
    # The server cannot always read why, but it does not wait for ever.
    assert len(world.server_handler.errors) == 1
    assert world.loop.pending == 0


def test_closing_before_the_start(make: MakeWorld) -> None:
    world = make()
    world.client.close(0, "never mind")
    world.client.start()
    world.loop.run_for(1)
    assert len(world.client_handler.errors) == 1
    assert world.up.sent == 0
    assert world.loop.pending == 0


def test_a_closed_connection_refuses_work(make: MakeWorld) -> None:
    world = make().connect()
    stream_id = world.client.open_stream()
    world.client.close(0, "")
    for call in (
        lambda: world.client.open_stream(),
        lambda: world.client.send(stream_id, b"x"),
        lambda: world.client.send_datagram(b"x"),
    ):
        with pytest.raises(LocalProtocolError, match="closed"):
            call()
    world.client.reset(stream_id, 1)
    world.client.stop(stream_id, 1)


def test_a_failing_handler_closes_the_connection(make: MakeWorld) -> None:
    world = make().connect()

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    world.server_handler.on_data = fail
    stream_id = world.client.open_stream()
    world.client.send(stream_id, b"x")
    world.loop.run_for(0.1)
    assert isinstance(world.server_handler.errors[0], LocalProtocolError)
    assert isinstance(world.client_handler.errors[0], ConnectionClosedError)


def test_a_failing_feeder_closes_the_connection(make: MakeWorld) -> None:
    world = make().connect()

    def fail() -> bool:
        raise RuntimeError("a bug")

    world.client_handler.feed = fail
    world.client.kick()
    world.loop.run_for(0.1)
    assert isinstance(world.client_handler.errors[0], LocalProtocolError)
    assert len(world.server_handler.errors) == 1


def test_a_handler_that_comes_late_hears_everything(make: MakeWorld) -> None:
    world = make().connect()
    late = world.server_handler
    world.server._dispatcher.handler = None
    stream_id = world.client.open_stream()
    world.client.send(stream_id, b"early")
    world.loop.run_for(0.1)
    assert not late.data
    world.server.handler = late
    world.loop.run_for(0.1)
    assert late.data[stream_id] == b"early"


def test_a_handler_that_comes_after_the_end_hears_of_it(make: MakeWorld) -> None:
    world = make()
    late = world.client_handler
    world.client._dispatcher.handler = None
    world.client.start()
    world.client.close(0, "gone")
    world.loop.run_for(5)
    world.client.handler = late
    world.loop.run_for(0.1)
    assert len(late.errors) == 1


async def test_waiting_for_the_end(make: MakeWorld) -> None:
    world = make().connect()
    world.client.close(0, "")
    assert world.client.is_closed
    world.loop.run_for(5)
    await world.client.wait_closed()
    await world.server.wait_closed()
