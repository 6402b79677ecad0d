import pytest

from p2p.errors import DecodeError, LocalProtocolError
from p2p.proto.turn import channel_data


@pytest.mark.parametrize(
    ("data", "padded", "wire"),
    [
        (b"", False, "40010000"),
        (b"abc", False, "40010003616263"),
        (b"abc", True, "4001000361626300"),
        (b"abcd", True, "4001000461626364"),
    ],
)
def test_layout(data, padded, wire):
    encoded = channel_data.encode(0x4001, data, padded=padded)
    assert encoded.hex() == wire
    assert channel_data.is_channel_data(encoded)
    assert channel_data.decode_untrusted(encoded) == (0x4001, data)


@pytest.mark.parametrize("data", [b"", b"\x40\0\0", b"\x3f\xff\0\0", b"\x50\0\0\0", b"\x40\0\0\1"])
def test_garbage(data):
    with pytest.raises(DecodeError):
        channel_data.decode_untrusted(data)


@pytest.mark.parametrize(("channel", "size"), [(0x3FFF, 0), (0x5000, 0), (0x4000, 65536)])
def test_what_does_not_fit(channel, size):
    with pytest.raises(LocalProtocolError):
        channel_data.encode(channel, bytes(size))


@pytest.mark.parametrize("first", [0x00, 0x3F, 0x50, 0x80])
def test_others_are_told_apart(first):
    assert not channel_data.is_channel_data(bytes((first, 0, 0, 0)))
