from __future__ import annotations

import pytest

from p2p.errors import RemoteProtocolError
from p2p.forward.streams import PeerStreams
from p2p.proto.tunnel.control import Role


def test_streams_may_begin_in_any_order_but_only_once() -> None:
    streams = PeerStreams(Role.EXPOSER, 100)
    assert [streams.is_new(stream_id) for stream_id in (12, 4, 4, 8, 12, 16)] == [True, True, False, True, False, True]


@pytest.mark.parametrize("stream_id", [0, 1, 2, 3, 5])
def test_streams_an_exposer_does_not_accept(stream_id: int) -> None:
    assert not PeerStreams(Role.EXPOSER, 100).is_new(stream_id)


@pytest.mark.parametrize(("stream_id", "is_new"), [(0, False), (1, True), (3, False), (4, False), (5, True)])
def test_streams_a_dialer_accepts(stream_id: int, is_new: bool) -> None:
    assert PeerStreams(Role.DIALER, 100).is_new(stream_id) is is_new


def test_a_gap_wider_than_all_streams_is_a_lie() -> None:
    streams = PeerStreams(Role.EXPOSER, 10)
    assert streams.is_new(44)
    with pytest.raises(RemoteProtocolError):
        streams.is_new(52)
