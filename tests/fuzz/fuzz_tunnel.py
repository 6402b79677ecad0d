"""Fuzz what the tunnel reads from a peer: frames, stream headers, and the control channel as a whole.

Run: ``python tests/fuzz/fuzz_tunnel.py -max_total_time=60``
"""

from __future__ import annotations

import contextlib
import sys

import atheris

with atheris.instrument_imports():
    from p2p.errors import DecodeError
    from p2p.proto.tunnel.control import ControlBroken, ControlChannel, Role, State
    from p2p.proto.tunnel.datagrams import DatagramReader, TrainBuilder, decode_train_untrusted
    from p2p.proto.tunnel.frames import (
        AuthRequest,
        AuthResult,
        Hello,
        decode_frame_untrusted,
        encode_frame,
        frame_length_untrusted,
    )
    from p2p.proto.tunnel.header import decode_header_untrusted, encode_header, header_length_untrusted

HELLO = Hello((1,), "fuzz")
LET_IN = encode_frame(HELLO) + encode_frame(AuthResult(0))


def test_one_input(data: bytes) -> None:
    """Feed one input to every decoder; anything but a value or ``DecodeError`` is a finding."""
    _codecs(data)
    _datagrams(data)
    _channel(ControlChannel(Role.EXPOSER, HELLO), data)
    for prefix in (b"", LET_IN):
        dialer = ControlChannel(Role.DIALER, HELLO)
        dialer.authenticate(AuthRequest(b"proof", "web"))
        dialer.receive(prefix, 0.0)
        _channel(dialer, data)


def _codecs(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        length = frame_length_untrusted(data)
        if length is not None and length <= len(data) and (frame := decode_frame_untrusted(data[:length])):
            again = decode_frame_untrusted(encode_frame(frame))
            assert again == frame, (again, frame)
    with contextlib.suppress(DecodeError):
        length = header_length_untrusted(data)
        if length is not None and length <= len(data):
            header = decode_header_untrusted(data[:length])
            assert decode_header_untrusted(encode_header(header)) == header


def _datagrams(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        train = decode_train_untrusted(data)
        builder = TrainBuilder(train.stream_id)
        for datagram in train.datagrams:
            builder.add(datagram, len(datagram))
        packed, _ = builder.take(1 << 20)
        assert [one for payload in packed for one in decode_train_untrusted(payload).datagrams] == train.datagrams
    whole, pieces = DatagramReader(), DatagramReader()
    step = 1 + (data[0] if data else 0)
    arrived = [one for start in range(0, len(data), step) for one in pieces.feed(data[start : start + step])]
    assert arrived == whole.feed(data)


def _channel(channel: ControlChannel, data: bytes) -> None:
    step = 1 + (data[0] % 64 if data else 0)
    for start in range(0, len(data), step):
        channel.receive(data[start : start + step], 0.0)
        while (event := channel.next_event()) is not None:
            assert not isinstance(event, ControlBroken) or channel.state is State.CLOSED
            if channel.state is State.JUDGING:
                channel.accept()
        channel.data_to_send()


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
