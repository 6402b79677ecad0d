"""Whether something listens on the target, without disturbing it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from p2p.cli.preflight import look_for_targets
from p2p.target import TcpTarget, UdpTarget, UnixTarget


@pytest.mark.parametrize(
    ("family", "bound", "dialled"),
    [
        (socket.AF_INET, "127.0.0.1", "localhost"),
        (socket.AF_INET, "0.0.0.0", "127.0.0.1"),
        (socket.AF_INET6, "::1", "::1"),
        (socket.AF_INET6, "::", "::1"),
    ],
)
async def test_listening_service_is_seen_and_left_alone(family: socket.AddressFamily, bound: str, dialled: str) -> None:
    with socket.create_server((bound, 0), family=family) as server:
        server.setblocking(False)
        assert await look_for_targets([TcpTarget(dialled, server.getsockname()[1])]) is None
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
async def test_silence_is_a_warning(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    warning = await look_for_targets([TcpTarget(host, port)])
    assert warning is not None
    assert warning.code == "P2P-6190"
    assert f"{port} yet: no program has this port open" in warning.detail


async def test_unknown_name_is_a_warning() -> None:
    warning = await look_for_targets([TcpTarget("does-not-exist.invalid", 80)])
    assert warning is not None
    assert "does-not-exist.invalid:80" in warning.detail


async def test_other_machine_is_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2p.cli.preflight._is_taken", lambda family, address: None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert await look_for_targets([TcpTarget("127.0.0.1", port)]) is None
    warning = await look_for_targets([TcpTarget("127.0.0.1", port)])
    assert warning is not None
    assert "refused" in warning.detail.lower()


async def test_udp_services_are_seen_and_never_asked() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        target = UdpTarget("localhost", server.getsockname()[1])
        assert await look_for_targets([target]) is None
        with pytest.raises(BlockingIOError):
            server.recv(1)
    warning = await look_for_targets([target])
    assert warning is not None
    assert f"{target} yet: no program has this port open" in warning.detail


async def test_unix_sockets_are_looked_for(tmp_path: Path) -> None:
    path = str(tmp_path / "service")
    warning = await look_for_targets([UnixTarget("@anything"), UnixTarget(path)])
    assert warning is not None
    assert "no such file" in warning.detail
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        assert await look_for_targets([UnixTarget(path)]) is None
