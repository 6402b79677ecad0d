"""News of the network: any bytes are news, no news, or a DecodeError."""

import contextlib
import struct

from hypothesis import given
from hypothesis import strategies as st

from p2p.errors import DecodeError
from p2p.gather.rtnetlink import NetlinkMessage, decode_messages_untrusted, tells_change_untrusted

messages = st.builds(NetlinkMessage, st.integers(0, 0xFFFF), st.binary(max_size=60))


def encode(message: NetlinkMessage) -> bytes:
    padding = bytes(-len(message.payload) % 4)
    return struct.pack("=IHHII", 16 + len(message.payload), message.kind, 0, 0, 0) + message.payload + padding


@given(st.lists(messages, max_size=5))
def test_messages_come_back(sent: list[NetlinkMessage]) -> None:
    assert decode_messages_untrusted(b"".join(map(encode, sent))) == tuple(sent)


@given(st.binary(max_size=200) | st.lists(messages, max_size=3).map(lambda sent: b"".join(map(encode, sent))[:-1]))
def test_any_bytes_are_told_apart(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        assert tells_change_untrusted(data) in (True, False)
