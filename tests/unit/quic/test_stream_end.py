"""The end of a stream arrives whatever the order of the packets."""

from __future__ import annotations

import itertools

import pytest
from aioquic.quic.packet import QuicStreamFrame

from p2p.quic import EngineConfig, ServerCredentials, load_engine
from p2p.quic.aioquic_tuned import EndKeepingReceiver
from p2p.quic.engine import StreamDataReceived
from tests.support.quic_credentials import credentials

PIECES = ((0, b"abc", False), (3, b"def", False), (6, b"", True))


@pytest.mark.parametrize("order", list(itertools.permutations(PIECES)))
@pytest.mark.parametrize("repeats", [1, 2])
def test_the_end_is_told_once_in_any_order(order: tuple[tuple[int, bytes, bool], ...], repeats: int) -> None:
    receiver = EndKeepingReceiver(0, True)
    heard, ends = b"", 0
    for offset, data, fin in order * repeats:
        event = receiver.handle_frame(QuicStreamFrame(data=data, fin=fin, offset=offset))
        if event is not None:
            assert not ends
            heard += event.data
            ends += event.end_stream
    assert (heard, ends) == (b"abcdef", 1)
    assert receiver.is_finished


@pytest.mark.parametrize("receiver", ["qh3", "aioquic"])
@pytest.mark.parametrize("sender", ["qh3", "aioquic"])
def test_an_end_that_overtakes_the_data_is_not_forgotten(sender: str, receiver: str) -> None:
    key_and_certificate: ServerCredentials = credentials()
    client = load_engine(sender).client(EngineConfig())
    server = load_engine(receiver).server(EngineConfig(), key_and_certificate, client.initial_destination_cid)
    now = 0.0
    client.start(now)
    server.start(now)
    for _ in range(10):
        now += 0.01
        for one, other in ((client, server), (server, client)):
            for datagram in one.poll(now, 100):
                other.receive(datagram, len(datagram), now)
        while client.next_event():
            pass
        while server.next_event():
            pass
    stream_id = client.open_stream()
    client.send(stream_id, b"x" * 500)
    data = client.poll(now + 0.01, 100)
    client.send(stream_id, b"", end=True)
    end = client.poll(now + 0.02, 100)
    heard, ends = b"", 0
    for datagram in (*end, *data):
        server.receive(datagram, len(datagram), now + 0.03)
        while (event := server.next_event()) is not None:
            if isinstance(event, StreamDataReceived):
                heard += event.data
                ends += event.end
    assert (heard, ends) == (b"x" * 500, 1)
