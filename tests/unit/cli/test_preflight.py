"""Whether something listens on the target, without disturbing it."""

from __future__ import annotations

import socket

import pytest

from p2p.cli.preflight import look_for_target


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
        assert await look_for_target(dialled, server.getsockname()[1]) is None
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
async def test_silence_is_a_warning(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    warning = await look_for_target(host, port)
    assert warning is not None
    assert warning.code == "P2P-6190"
    assert f"{port} yet: no program has this port open" in warning.detail


async def test_unknown_name_is_a_warning() -> None:
    warning = await look_for_target("does-not-exist.invalid", 80)
    assert warning is not None
    assert "does-not-exist.invalid:80" in warning.detail


async def test_other_machine_is_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2p.cli.preflight._is_taken", lambda family, address: None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert await look_for_target("127.0.0.1", port) is None
    warning = await look_for_target("127.0.0.1", port)
    assert warning is not None
    assert "refused" in warning.detail.lower()
