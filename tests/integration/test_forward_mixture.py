"""Many flows that behave differently at the same time: whatever arrives is right, and nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import time

import pytest

from p2p.forward import ServiceDialer, StreamListenerForward
from p2p.target import TcpTarget
from tests.support.forward_session import connect, until
from tests.support.loopback import LoopbackSession
from tests.support.loops import on_every_loop
from tests.support.tcp_services import TcpService, pattern

FLOWS = 60
ABORT = struct.pack("ii", 1, 0)


class Script:
    """What one flow does, from a seed: sizes, pauses, and who breaks off where."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.seed = seed
        self.up = pattern(chance.choice((0, 1, 100, 70_000, 400_000)), 2 * seed)
        self.down = pattern(chance.choice((0, 1, 100, 70_000, 400_000)), 2 * seed + 1)
        self.piece = chance.choice((1 << 10, 1 << 14, 1 << 18))
        self.pause_s = chance.choice((0.0, 0.0, 0.001, 0.01)) * self.piece / (1 << 18)
        self.client_aborts_at = chance.choice((None, None, None, len(self.down) // 2))
        self.service_aborts_at = chance.choice((None, None, None, len(self.up) // 2))

    @property
    def is_orderly(self) -> bool:
        return self.client_aborts_at is None and self.service_aborts_at is None


async def play(
    sock: socket.socket, out: bytes, expected: int, script: Script, abort_at: int | None
) -> tuple[bytes, bool]:
    """Send and receive at once; give what came, and whether it ended in order."""
    loop = asyncio.get_running_loop()
    received = bytearray()

    async def send() -> None:
        for start in range(0, len(out), script.piece):
            await loop.sock_sendall(sock, out[start : start + script.piece])
            await asyncio.sleep(script.pause_s)
        sock.shutdown(socket.SHUT_WR)

    async def receive() -> None:
        while data := await loop.sock_recv(sock, script.piece):
            received.extend(data)
            if abort_at is not None and len(received) >= abort_at:
                raise ConnectionAbortedError

    in_order = True
    try:
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            group.create_task(send())
            group.create_task(receive())
    except* OSError as errors:
        in_order = False
        if errors.subgroup(ConnectionAbortedError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    finally:
        sock.close()
    return bytes(received), in_order and len(received) == expected


@pytest.mark.parametrize("engine", ["qh3", "aioquic"])
@pytest.mark.parametrize("seed", [1, 2])
@on_every_loop
async def test_flows_of_all_kinds_at_once(engine: str, seed: int) -> None:
    loop = asyncio.get_running_loop()
    scripts = [Script(1000 * seed + number) for number in range(FLOWS)]
    at_service: dict[int, tuple[bytes, bool]] = {}

    def serve(sock: socket.socket) -> None:
        number = struct.unpack("!H", sock.recv(2, socket.MSG_WAITALL))[0]
        sock.setblocking(False)
        script = scripts[number]
        at_service[number] = asyncio.run(play(sock, script.down, len(script.up), script, script.service_aborts_at))

    def ask(number: int) -> tuple[bytes, bool]:
        script = scripts[number]
        time.sleep(script.pause_s)
        sock = connect(listener)
        sock.sendall(struct.pack("!H", number))
        sock.setblocking(False)
        return asyncio.run(play(sock, script.up, len(script.down), script, script.client_aborts_at))

    with TcpService(serve) as service:
        acceptor = ServiceDialer({"": service.target}, loop)
        async with (
            StreamListenerForward(TcpTarget("127.0.0.1", 0), loop=loop) as listener,
            LoopbackSession(acceptor, dialer_engine=engine, exposer_engine=engine) as session,
        ):
            listener.attach(session.dialer)
            at_client = await asyncio.gather(*(asyncio.to_thread(ask, number) for number in range(FLOWS)))
            with contextlib.suppress(TimeoutError):
                await until(lambda: not session.dialer.flow_snapshots() and not session.exposer.flow_snapshots(), 10.0)
            assert session.dialer.flow_snapshots() == session.exposer.flow_snapshots() == ()
            assert session.dialer_observer.errors == session.exposer_observer.errors == []
            assert session.dialer._table.pool.free_bytes == session.dialer._table.pool.total_bytes
            assert session.exposer._table.pool.free_bytes == session.exposer._table.pool.total_bytes
    for number, script in enumerate(scripts):
        down, client_in_order = at_client[number]
        up, service_in_order = at_service.get(number, (b"", False))
        assert script.down.startswith(down)
        assert script.up.startswith(up)
        if script.is_orderly:
            assert client_in_order, script.seed
            assert service_in_order, script.seed
