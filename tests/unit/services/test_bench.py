from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from p2p.proto.bench import REPORT_BYTES, BenchMode, BenchRequest, decode_reports_untrusted, encode_request
from p2p.services.bench import BenchService


@pytest.fixture
async def service() -> AsyncIterator[BenchService]:
    service = BenchService(asyncio.get_running_loop(), max_streams=2)
    yield service
    service.close()
    assert service.open_count == 0


async def begin(service: BenchService, mode: BenchMode, seconds: int = 5) -> socket.socket:
    sock = service.connect()
    assert sock is not None
    await asyncio.get_running_loop().sock_sendall(sock, encode_request(BenchRequest(mode, seconds)))
    return sock


async def read(sock: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length and (more := await asyncio.get_running_loop().sock_recv(sock, length - len(data))):
        data += more
    return data


async def closed(service: BenchService) -> None:
    async with asyncio.timeout(5):
        while service.open_count:
            await asyncio.sleep(0)


async def test_an_echo_sends_back_what_it_reads_in_pieces_of_any_size(service: BenchService) -> None:
    loop = asyncio.get_running_loop()
    with await begin(service, BenchMode.ECHO) as sock:
        for size in (1, 64, 5_000_000):
            payload = bytes(range(256)) * (size // 256 + 1)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(loop.sock_sendall(sock, payload))
                answer = tasks.create_task(read(sock, len(payload)))
            assert answer.result() == payload
    await closed(service)


async def test_a_source_sends_until_nobody_reads(service: BenchService) -> None:
    with await begin(service, BenchMode.SOURCE) as sock:
        assert len(await read(sock, 3_000_000)) == 3_000_000
        assert service.open_count == 1
    await closed(service)


async def test_a_sink_tells_at_the_end_how_much_has_come(service: BenchService) -> None:
    loop = asyncio.get_running_loop()
    with await begin(service, BenchMode.SINK) as sock:
        await loop.sock_sendall(sock, bytes(1_000_000))
        sock.shutdown(socket.SHUT_WR)
        data = await read(sock, 100 * REPORT_BYTES)
    report, rest = decode_reports_untrusted(data)
    assert rest == b""
    assert report is not None
    assert report.size_bytes == 1_000_000
    await closed(service)


async def test_a_sink_whose_reports_nobody_reads_goes_on_and_ends(service: BenchService) -> None:
    with await begin(service, BenchMode.SINK) as sock:
        sock.shutdown(socket.SHUT_WR)
        await closed(service)


async def test_a_request_may_come_in_pieces(service: BenchService) -> None:
    sock = service.connect()
    assert sock is not None
    loop = asyncio.get_running_loop()
    with sock:
        for byte in encode_request(BenchRequest(BenchMode.ECHO, 1)) + b"x":
            await loop.sock_sendall(sock, bytes((byte,)))
            await asyncio.sleep(0)
        assert await read(sock, 1) == b"x"


async def test_nonsense_ends_the_stream(service: BenchService) -> None:
    sock = service.connect()
    assert sock is not None
    with sock:
        await asyncio.get_running_loop().sock_sendall(sock, b"GET / HTTP/1.1\r\n")
        with pytest.raises(ConnectionResetError):
            await read(sock, 1)
    assert service.open_count == 0


async def test_there_are_only_so_many_at_once(service: BenchService) -> None:
    first, second = service.connect(), service.connect()
    assert first is not None
    assert second is not None
    assert service.connect() is None
    first.close()
    while service.open_count == 2:
        await asyncio.sleep(0)
    third = service.connect()
    assert third is not None
    second.close()
    third.close()


async def test_time_is_bounded_by_the_exposer_too() -> None:
    service = BenchService(asyncio.get_running_loop(), max_s=0.05)
    silent, asking = service.connect(), await begin(service, BenchMode.ECHO, seconds=65_535)
    assert silent is not None
    with silent, asking:
        assert await read(silent, 1) == b""
        assert await read(asking, 1) == b""
    assert service.open_count == 0


class Flow:
    """A flow of datagrams that notes what is sent back."""

    def __init__(self) -> None:
        self.pushed: list[bytes] = []
        self.flushed = 0

    def push(self, buffer: bytes, size: int) -> None:
        assert len(buffer) == size
        self.pushed.append(buffer)

    def flush(self) -> None:
        self.flushed += 1


async def test_datagrams_are_sent_back_for_a_bounded_time() -> None:
    service = BenchService(asyncio.get_running_loop(), max_streams=1, max_s=0.05)
    flow = Flow()
    port = service.echo(flow)
    assert port is not None
    assert service.echo(Flow()) is None
    assert service.connect() is None
    assert port.send([b"a", b"bb"]) == 2
    assert (flow.pushed, flow.flushed) == ([b"a", b"bb"], 1)
    await asyncio.sleep(0.06)
    assert port.send([b"late"]) == 1
    assert flow.pushed == [b"a", b"bb"]
    port.close(reset=True)
    assert service.open_count == 0
    service.close()
