from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from p2p.address import TransportAddress
from p2p.errors import DecodeError
from p2p.proto.tunnel.control import ControlBroken, ControlChannel, Role, State
from p2p.proto.tunnel.datagrams import (
    TRAIN_MAX_DATAGRAMS,
    DatagramReader,
    TrainBuilder,
    decode_train_untrusted,
    frame_datagram,
)
from p2p.proto.tunnel.fields import (
    VARINT_MAX,
    decode_fields_untrusted,
    decode_varint_untrusted,
    encode_fields,
    encode_varint,
)
from p2p.proto.tunnel.frames import (
    AuthRequest,
    AuthResult,
    Credit,
    Drain,
    Drained,
    End,
    Goodbye,
    Hello,
    OfferedService,
    Ping,
    Pong,
    decode_frame_untrusted,
    encode_frame,
    frame_length_untrusted,
)
from p2p.proto.tunnel.header import (
    StreamHeader,
    decode_header_untrusted,
    encode_header,
    header_length_untrusted,
)

varints = st.integers(0, VARINT_MAX)
texts = st.text(max_size=60).filter(str.isprintable)
addresses = st.builds(
    TransportAddress,
    st.ip_addresses().filter(lambda ip: not getattr(ip, "scope_id", None)).map(str),
    st.integers(0, 65535),
)
headers = st.builds(StreamHeader, texts, st.none() | addresses, st.none() | addresses, st.integers(0, 255))
hellos = st.builds(
    Hello,
    st.lists(varints, min_size=1, max_size=16).map(tuple),
    texts,
    st.frozensets(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789-", max_size=32), max_size=64),
    st.lists(st.builds(OfferedService, texts, st.integers(0, 255)), max_size=8).map(tuple),
    st.lists(texts, max_size=4).map(tuple),
)
requests = st.builds(AuthRequest, st.binary(min_size=1, max_size=200), texts, st.none() | st.binary(max_size=64))
running_frames = st.one_of(
    st.builds(Credit, varints, varints),
    st.builds(End, varints, varints),
    st.builds(Ping, varints),
    st.builds(Pong, varints),
    st.builds(Drain),
    st.builds(Drained),
)
frames = st.one_of(
    hellos, requests, st.builds(AuthResult, varints, texts), running_frames, st.builds(Goodbye, varints, texts)
)


@given(varints)
def test_varint_round_trip(value: int) -> None:
    encoded = encode_varint(value)
    assert decode_varint_untrusted(encoded, 0) == (value, len(encoded))


@given(st.dictionaries(varints, st.binary(max_size=100), max_size=10))
def test_fields_round_trip(fields: dict[int, bytes]) -> None:
    assert decode_fields_untrusted(encode_fields(fields.items())) == fields


@given(frames)
def test_frame_round_trip(frame: object) -> None:
    encoded = encode_frame(frame)  # type: ignore[arg-type]
    assert frame_length_untrusted(encoded) == len(encoded)
    assert decode_frame_untrusted(encoded) == frame


@given(headers)
def test_header_round_trip(header: StreamHeader) -> None:
    encoded = encode_header(header)
    assert header_length_untrusted(encoded) == len(encoded)
    assert decode_header_untrusted(encoded) == header


@given(st.binary(max_size=600))
def test_any_bytes_are_a_value_or_a_decode_error(data: bytes) -> None:
    for decode in (decode_frame_untrusted, decode_header_untrusted, decode_fields_untrusted, frame_length_untrusted):
        with contextlib.suppress(DecodeError):
            decode(data)


@given(st.integers(0, 9), st.binary(max_size=100))
def test_any_payload_is_a_frame_or_a_decode_error(frame_type: int, payload: bytes) -> None:
    with contextlib.suppress(DecodeError):
        decode_frame_untrusted(bytes((frame_type,)) + len(payload).to_bytes(2, "big") + payload)


@given(st.lists(running_frames, max_size=20), st.data())
def test_events_do_not_depend_on_chunking(sent: list[object], data: st.DataObject) -> None:
    stream = b"".join(
        encode_frame(frame)  # type: ignore[arg-type]
        for frame in (Hello((1,)), AuthResult(0), *sent, Goodbye(0, "end"))
    )
    whole, pieces = ControlChannel(Role.DIALER, Hello((1,))), ControlChannel(Role.DIALER, Hello((1,)))
    whole.receive(stream, 0.0)
    expected = list(iter(whole.next_event, None))
    heard = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        pieces.receive(stream[:size], 0.0)
        stream = stream[size:]
        heard += list(iter(pieces.next_event, None))
    assert heard == expected
    assert pieces.data_to_send() == whole.data_to_send()


@given(st.sampled_from(Role), st.lists(st.binary(max_size=60) | frames.map(encode_frame), max_size=20))  # type: ignore[arg-type]
def test_nothing_raises_out_of_a_channel(role: Role, pieces: list[bytes]) -> None:
    channel = ControlChannel(role, Hello((1,)))
    if role is Role.DIALER:
        channel.authenticate(AuthRequest(b"proof", "web"))
    broken = 0
    for piece in pieces:
        channel.receive(piece, 0.0)
        while (event := channel.next_event()) is not None:
            broken += isinstance(event, ControlBroken)
            if channel.state is State.JUDGING:
                channel.accept()
        channel.data_to_send()
    assert broken <= 1
    assert not broken or channel.state is State.CLOSED


@st.composite
def batches(draw: st.DrawFn) -> tuple[bytes, int]:
    """What one receive of a socket gives: datagrams of one size, the last possibly shorter; or one empty one."""
    size = draw(st.integers(0, 1500))
    if not size:
        return b"", 0
    count = draw(st.integers(1, 130))
    last = draw(st.integers(1, size))
    return draw(st.randoms(use_true_random=False)).randbytes((count - 1) * size + last), size


def cut(buffer: bytes, size: int) -> list[bytes]:
    return [buffer[start : start + size] for start in range(0, len(buffer), size)] if size else [b""]


@given(varints, st.lists(batches(), max_size=8), st.integers(0, 1600))
def test_trains_bring_every_datagram_once_and_in_order(
    stream_id: int, received: list[tuple[bytes, int]], room: int
) -> None:
    builder = TrainBuilder(stream_id)
    for buffer, size in received:
        builder.add(buffer, size)
    packed, large = builder.take(room)
    sent = [datagram for buffer, size in received for datagram in cut(buffer, size)]
    arrived: list[bytes] = []
    for payload in packed:
        assert len(payload) <= room
        train = decode_train_untrusted(payload)
        assert train.stream_id == stream_id
        assert 1 <= len(train.datagrams) <= TRAIN_MAX_DATAGRAMS
        arrived += train.datagrams
    overhead = len(encode_varint(stream_id)) + 1
    assert arrived == [datagram for datagram in sent if len(datagram) + overhead <= room]
    assert large == [datagram for datagram in sent if len(datagram) + overhead > room]
    assert builder.take(room) == ([], [])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_train_or_a_decode_error(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        train = decode_train_untrusted(data)
        assert sum(map(len, train.datagrams)) < len(data)


@given(st.lists(st.binary(max_size=300), max_size=10), st.data())
def test_framed_datagrams_do_not_depend_on_the_pieces_they_come_in(datagrams: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(frame_datagram, datagrams))
    reader = DatagramReader()
    arrived: list[bytes] = []
    offset = 0
    while offset < len(stream):
        step = data.draw(st.integers(1, len(stream) - offset))
        arrived += reader.feed(stream[offset : offset + step])
        offset += step
    assert arrived == datagrams
    assert reader.is_between_datagrams
