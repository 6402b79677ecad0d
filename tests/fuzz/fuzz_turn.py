"""Fuzz TURN framing and the allocation machine: ``python tests/fuzz/fuzz_turn.py [corpus] [-max_total_time=60]``."""

import sys

import atheris

with atheris.instrument_imports():
    from p2p.address import TransportAddress
    from p2p.errors import DecodeError
    from p2p.proto.turn import channel_data
    from p2p.proto.turn.client import AllocationClient
    from p2p.proto.turn.framing import StreamFramer

_SERVER = TransportAddress("198.51.100.10", 3478)
_PEER = TransportAddress("192.0.2.1", 1000)


def _zeros(size: int) -> bytes:
    return bytes(size)


def _frames(stream: bytes, chunk_bytes: int) -> tuple[list[bytes], bool]:
    framer = StreamFramer()
    found = []
    try:
        for start in range(0, len(stream), chunk_bytes):
            framer.receive_data(stream[start : start + chunk_bytes])
            while (frame := framer.next_frame()) is not None:
                found.append(frame)
    except DecodeError:
        return found, True
    return found, False


def test_one_input(data: bytes) -> None:
    """Cut the input in two ways, decode it as ChannelData, and let an allocation hear every frame of it."""
    whole, chopped = _frames(data, len(data) or 1), _frames(data, 3)
    assert whole == chopped
    try:
        channel, payload = channel_data.decode_untrusted(data)
    except DecodeError:
        pass
    else:
        assert data.startswith(channel_data.encode(channel, payload))
    # All transaction ids are zeros, so that a frame can be an answer; without credentials any answer is believed.
    client = AllocationClient(server=_SERVER, username="u", password="p", random_bytes=_zeros, reliable=True)
    client.bind_channel(_PEER, 0.0)
    client.start(0.0)
    now = 0.0
    for frame in (data, *whole[0]):
        now += 1.0
        client.receive_datagram(frame, _SERVER, now)
        client.datagrams_to_send(now)
        timer = client.get_timer()
        if timer is not None and timer <= now:
            client.handle_timer(now)
        while client.next_event() is not None:
            pass


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
