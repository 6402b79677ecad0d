"""The exposing side's end of flows of datagrams: a service that answers, is absent, moves, or has many addresses."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Callable

import pytest

from p2p.errors import ForwardError
from p2p.forward import resolve
from p2p.forward.datagram_flow import DatagramPort
from p2p.forward.target import ServiceDialer
from p2p.proto.tunnel.codes import StreamCode
from p2p.proto.tunnel.header import FlowKind, StreamHeader
from p2p.target import Target, TcpTarget, UdpTarget
from tests.support.forward_session import until

HEADER = StreamHeader("", kind=FlowKind.DATAGRAMS)


class Taker:
    """What a port tells its flow."""

    def __init__(self) -> None:
        self.got: list[tuple[bytes, int]] = []
        self.flushed = 0
        self.errors: list[ForwardError] = []

    def push(self, buffer: bytes, size: int) -> None:
        self.got.append((buffer, size))

    def flush(self) -> None:
        self.flushed += 1

    def unreachable(self, error: ForwardError) -> None:
        self.errors.append(error)


def service(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, port))
    sock.setblocking(False)
    return sock


async def dial(target: Target, taker: Taker, header: StreamHeader = HEADER) -> DatagramPort | StreamCode:
    results: list[DatagramPort | StreamCode] = []
    dialer = ServiceDialer({"": target}, asyncio.get_running_loop())
    dialer.dial_datagrams(header, taker, results.append)  # type: ignore[arg-type]
    await until(lambda: bool(results))
    return results[0]


async def opened(target: Target, taker: Taker) -> DatagramPort:
    port = await dial(target, taker)
    assert not isinstance(port, StreamCode)
    return port


async def recvfrom(sock: socket.socket) -> tuple[bytes, tuple[str, int]]:
    async with asyncio.timeout(5):
        return await asyncio.get_running_loop().sock_recvfrom(sock, 1 << 16)


async def test_datagrams_go_both_ways_and_strangers_are_not_heard() -> None:
    taker = Taker()
    with service() as server, service() as stranger:
        port = await opened(UdpTarget("127.0.0.1", server.getsockname()[1]), taker)
        assert port.send([b"one", b"", b"three"]) == 3
        (data, source), second, third = [await recvfrom(server) for _ in range(3)]
        assert (data, second[0], third[0]) == (b"one", b"", b"three")
        stranger.sendto(b"evil", ("127.0.0.1", source[1]))
        server.sendto(b"", source)
        server.sendto(b"answer", source)
        await until(lambda: len(taker.got) == 2)
        assert taker.got == [(b"", 0), (b"answer", 6)]
        assert taker.flushed
        port.close(reset=False)


async def test_a_service_that_is_absent_ends_nothing_and_may_come() -> None:
    taker = Taker()
    with service() as server:
        where = server.getsockname()
    port = await opened(UdpTarget(*where), taker)
    for _ in range(3):
        port.send([b"anybody?"])
        await asyncio.sleep(0.01)
    assert [error.code for error in taker.errors] == ["P2P-6111"]
    with service(*where) as server:
        port.send([b"now?"])
        data, source = await recvfrom(server)
        assert data == b"now?"
        server.sendto(b"yes", source)
        await until(lambda: taker.got == [(b"yes", 3)])
    for _ in range(3):
        port.send([b"gone again"])
        await asyncio.sleep(0.01)
    assert len(taker.errors) == 1
    port.close(reset=False)


async def test_the_next_address_is_tried_with_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with service("127.0.0.2") as server:
        number = server.getsockname()[1]
        addresses = [(socket.AF_INET, ("127.0.0.1", number)), (socket.AF_INET, ("127.0.0.2", number))]
        monkeypatch.setattr(resolve, "_look_up", lambda *_: addresses)
        taker = Taker()
        port = await opened(UdpTarget("service.test", number), taker)
        port.send([b"one", b"two"])
        assert {(await recvfrom(server))[0], (await recvfrom(server))[0]} == {b"one", b"two"}
        assert not taker.errors
        port.close(reset=False)


@pytest.mark.parametrize(
    ("target", "header", "code"),
    [
        (UdpTarget("nowhere.invalid", 1), HEADER, StreamCode.FORWARD_NAME_UNKNOWN),
        (TcpTarget("127.0.0.1", 1), HEADER, StreamCode.KIND_UNSUPPORTED),
        (UdpTarget("127.0.0.1", 1), StreamHeader("other", kind=FlowKind.DATAGRAMS), StreamCode.SERVICE_UNKNOWN),
        (UdpTarget("255.255.255.255", 1), HEADER, StreamCode.FORWARD_UNREACHABLE),
    ],
)
async def test_what_cannot_be_reached_is_told(target: Target, header: StreamHeader, code: StreamCode) -> None:
    assert await dial(target, Taker(), header) is code


async def test_a_stream_to_a_udp_service_is_refused() -> None:
    results: list[socket.socket | StreamCode] = []
    dialer = ServiceDialer({"": UdpTarget("127.0.0.1", 53)}, asyncio.get_running_loop())
    dialer.dial(StreamHeader(""), results.append)
    assert results == [StreamCode.KIND_UNSUPPORTED]


async def test_an_attempt_can_be_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[Callable[..., None]] = []
    monkeypatch.setattr(resolve.Resolver, "find", lambda self, host, port, kind, found: looked_up.append(found))
    results: list[DatagramPort | StreamCode] = []
    dialer = ServiceDialer({"": UdpTarget("service.test", 1)}, asyncio.get_running_loop())
    cancel = dialer.dial_datagrams(HEADER, Taker(), results.append)  # type: ignore[arg-type]
    cancel()
    looked_up[0]([(socket.AF_INET, ("127.0.0.1", 1))])
    assert not results


async def test_no_descriptors_left_is_told() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        assert await dial(UdpTarget("127.0.0.1", 1), Taker()) is StreamCode.TOO_MANY_FLOWS
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
