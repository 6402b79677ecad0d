from __future__ import annotations

import socket

import pytest

from p2p.aio import pair
from p2p.aio.pair import stream_pair


def test_the_two_ends_are_joined_and_non_blocking() -> None:
    near, far = stream_pair()
    with near, far:
        assert not near.getblocking()
        assert not far.getblocking()
        assert near.getpeername() == far.getsockname()
        near.setblocking(True)
        far.setblocking(True)
        near.sendall(b"there")
        far.sendall(b"and back")
        assert far.recv(100) == b"there"
        assert near.recv(100) == b"and back"


def test_a_stranger_who_is_faster_is_not_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    strangers = []
    create_connection = socket.create_connection

    def late(address: tuple[str, int], timeout: float) -> socket.socket:
        strangers.append(create_connection(address, timeout))
        return create_connection(address, timeout)

    monkeypatch.setattr(pair.socket, "create_connection", late)
    near, far = stream_pair()
    with near, far, strangers[0] as stranger:
        assert far.getpeername() == near.getsockname() != stranger.getsockname()
        assert stranger.recv(1) == b""


def test_without_loopback_it_is_a_pair_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> socket.socket:
        raise OSError("no loopback")

    monkeypatch.setattr(pair.socket, "create_server", fail)
    near, far = stream_pair()
    with near, far:
        assert near.family == socket.AF_UNIX
        near.send(b"there")
        assert far.recv(100) == b"there"
