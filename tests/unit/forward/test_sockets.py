from __future__ import annotations

import resource
import socket

import pytest

from p2p.aio.descriptors import raise_descriptor_limit
from p2p.forward import sockets
from tests.support.forward_session import tcp_pair


def test_the_limit_of_descriptors_is_raised_to_what_is_allowed() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft // 2, hard))
        assert raise_descriptor_limit() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_limit_that_cannot_be_raised_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_descriptor_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_only_ip_connections_have_addresses() -> None:
    one, other = tcp_pair()
    remote, local = sockets.socket_addresses(one)
    assert remote == other.getsockname()
    assert local == one.getsockname()
    sockets.close(other, reset=True)
    with pytest.raises(ConnectionResetError):
        one.recv(1)
    one.close()
    left, right = socket.socketpair()
    with left, right:
        assert sockets.socket_addresses(left) == (None, None)


def test_a_connection_that_is_gone_has_no_addresses() -> None:
    one, other = tcp_pair()
    other.close()
    one.close()
    fresh = socket.socket()
    with fresh:
        assert sockets.socket_addresses(fresh) == (None, None)
