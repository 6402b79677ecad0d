"""What counts as news of the network."""

from __future__ import annotations

import struct

import pytest

from p2p.errors import DecodeError
from p2p.gather.rtnetlink import NetlinkMessage, NetlinkType, decode_messages_untrusted, tells_change_untrusted


def message(kind: int, payload: bytes = b"") -> bytes:
    return struct.pack("=IHHII", 16 + len(payload), kind, 0, 0, 0) + payload + bytes(-len(payload) % 4)


def route(prefix: int) -> bytes:
    return struct.pack("=BBBBBBBBI", 2, prefix, 0, 0, 254, 3, 0, 1, 0)


def test_messages_are_cut_at_their_lengths() -> None:
    data = message(20, b"abcde") + message(3) + message(NetlinkType.DELETED_ROUTE, route(0))
    assert decode_messages_untrusted(data) == (
        NetlinkMessage(20, b"abcde"),
        NetlinkMessage(3, b""),
        NetlinkMessage(25, route(0)),
    )


def test_the_last_message_needs_no_padding() -> None:
    assert decode_messages_untrusted(message(20, b"abcde")[:-3]) == (NetlinkMessage(20, b"abcde"),)


@pytest.mark.parametrize(
    "kind",
    [
        NetlinkType.NEW_LINK,
        NetlinkType.DELETED_LINK,
        NetlinkType.NEW_ADDRESS,
        NetlinkType.DELETED_ADDRESS,
    ],
)
def test_links_and_addresses_are_news(kind: NetlinkType) -> None:
    assert tells_change_untrusted(message(2) + message(kind, bytes(16)))


@pytest.mark.parametrize("kind", [NetlinkType.NEW_ROUTE, NetlinkType.DELETED_ROUTE])
@pytest.mark.parametrize(("prefix", "is_news"), [(0, True), (1, True), (2, False), (24, False), (128, False)])
def test_of_routes_only_the_widest_are_news(kind: NetlinkType, prefix: int, is_news: bool) -> None:
    assert tells_change_untrusted(message(kind, route(prefix))) is is_news


def test_other_messages_are_no_news() -> None:
    assert not tells_change_untrusted(message(2, bytes(4)) + message(3) + message(28, bytes(30)))
    assert not tells_change_untrusted(b"")


@pytest.mark.parametrize(
    "data",
    [
        b"\0",
        message(20)[:15],
        struct.pack("=IHHII", 15, 20, 0, 0, 0),
        struct.pack("=IHHII", 0, 20, 0, 0, 0),
        struct.pack("=IHHII", 17, 20, 0, 0, 0),
        message(20) + b"abc",
        message(NetlinkType.NEW_ROUTE, route(0)[:11]),
    ],
)
def test_what_is_cut_short_is_a_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        tells_change_untrusted(data)
