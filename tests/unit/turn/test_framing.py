import pytest

from p2p.errors import DecodeError
from p2p.proto.stun.attributes import DATA
from p2p.proto.stun.message import Message, MessageClass, Method, encode
from p2p.proto.turn import channel_data
from p2p.proto.turn.framing import StreamFramer

STUN = encode(Message(MessageClass.INDICATION, Method.DATA, b"abcdefghijkl", (DATA(b"hello"),)))
EMPTY_STUN = encode(Message(MessageClass.REQUEST, Method.BINDING, b"abcdefghijkl"))
FRAMES = [
    STUN,
    channel_data.encode(0x4000, b""),
    EMPTY_STUN,
    *(channel_data.encode(0x4FFF, b"x" * n) for n in range(6)),
]
STREAM = b"".join(frame + bytes(-len(frame) % 4) for frame in FRAMES)


def frames_of(framer):
    found = []
    while (frame := framer.next_frame()) is not None:
        found.append(frame)
    return found


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 7, 19, len(STREAM)])
def test_any_chunking_gives_the_same_frames(chunk):
    framer = StreamFramer()
    found = []
    for start in range(0, len(STREAM), chunk):
        framer.receive_data(STREAM[start : start + chunk])
        found += frames_of(framer)
    assert found == FRAMES
    assert framer.buffered_bytes == 0


@pytest.mark.parametrize(
    "garbage", [b"SSH-2.0-", b"\x04\0\0\0", b"\x50\0\0\0", b"\0\1\0\3", b"\0\1\0\0\x21\x12\xa4\x43"]
)
def test_garbage_comes_after_the_good_frames_and_is_final(garbage):
    framer = StreamFramer()
    framer.receive_data(STREAM + garbage)
    found = []
    with pytest.raises(DecodeError):
        while (frame := framer.next_frame()) is not None:
            found.append(frame)
    assert found == FRAMES
    framer.receive_data(STREAM)
    assert framer.buffered_bytes == 0
    with pytest.raises(DecodeError):
        framer.next_frame()


def test_the_largest_frames():
    large = channel_data.encode(0x4000, bytes(65535), padded=True)
    framer = StreamFramer()
    framer.receive_data(large[:-1])
    assert framer.next_frame() is None
    assert framer.buffered_bytes == 65539
    framer.receive_data(large[-1:] + STUN)
    assert frames_of(framer) == [large[:-1], STUN]


def test_memoryviews_are_taken():
    framer = StreamFramer()
    framer.receive_data(memoryview(STUN))
    assert frames_of(framer) == [STUN]
