"""One relay in several processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from p2p.address import TransportAddress
from p2p.errors import ConfigError, DecodeError
from relay.config import PeerMode, RelayConfig
from relay.core.allocation import Neighbourhood
from relay.core.counters import RelayCounters
from relay.core.quotas import QuotaLimits
from relay.core.rates import RateLimit, RateLimits
from relay.parts import part_of
from relay.shell.mail import Mailroom
from relay.shell.plane import DataPlane
from relay.shell.share import PortParts, Share
from tests.support.ports import free_port
from tests.support.turn_client import EchoPeer, TurnClient

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux shares one port's clients among processes")

PARTS = PortParts(first=21_000, last=21_199, count=2)

_FILE = """
udp = ["127.0.0.1:{port}"]
tcp = ["127.0.0.1:{port}"]
workers = 2
drain_s = 0
control = "control.sock"
metrics_users = 1
shared_secret = "a secret of sixteen characters"
[users]
alice = "wonderland"
[peers]
danger_allow_loopback = true
[ports]
first = 21000
last = 21199
"""


@contextlib.asynccontextmanager
async def two_workers(folder: Path) -> AsyncIterator[tuple[TransportAddress, subprocess.Popen[bytes]]]:
    """Run a relay with two workers; yield its address and the parent process."""
    address = TransportAddress("127.0.0.1", free_port())
    file = folder / "relay.toml"
    file.write_text(_FILE.format(port=address.port))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "relay", "-c", str(file)], stdout=log, stderr=log)
        try:
            await eventually(lambda: len(children(process.pid)) == 2, "two workers")
            yield address, process
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            assert process.returncode == 0, (folder / "log").read_text()


async def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait with the patience that starting programs on a busy machine needs."""
    for _ in range(300):
        if condition():
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"never happened: {what}")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def in_each_worker(
    stack: contextlib.AsyncExitStack, address: TransportAddress
) -> list[tuple[TurnClient, TransportAddress]]:
    """Make allocations until there is one in each worker; return the clients with their relayed addresses."""
    found: dict[int | None, tuple[TurnClient, TransportAddress]] = {}
    while len(found) < 2:
        client = await stack.enter_async_context(TurnClient(address))
        relayed = await client.allocate()
        found.setdefault(PARTS.owner_of(relayed.port), (client, relayed))
    return [found[0], found[1]]


@linux_only
async def test_clients_of_two_workers_reach_each_other_and_one_outlives_the_other(tmp_path):
    async with two_workers(tmp_path) as (address, process), contextlib.AsyncExitStack() as stack, EchoPeer() as peer:
        (one, here), (two, there) = await in_each_worker(stack, address)
        await one.bind(there)
        await two.bind(here)
        for size in [1200] * 30 + [0, 7, 7, 900]:
            data = os.urandom(size)
            one.send(there, data)
            assert await two.receive() == (here, data)
            two.send(here, data)
            assert await one.receive() == (there, data)
        async with TurnClient(address, kind="tcp") as stream:
            elsewhere = await stream.allocate()
            for client, relayed in ((one, here), (two, there)):
                await client.bind(elsewhere)
                await stream.bind(relayed)
                client.send(elsewhere, b"over TCP")
                assert await stream.receive() == (relayed, b"over TCP")
        await one.bind(peer.address)
        await two.bind(peer.address)

        # A worker that dies is started again, serves the clients it had, and the other one does not notice.
        victim = next(pid for pid in children(process.pid) if PARTS.owner_of(port_of(pid)) == 1)
        os.kill(victim, signal.SIGKILL)
        await eventually(
            lambda: victim not in children(process.pid) and len(children(process.pid)) == 2, "a new worker"
        )
        one.send(peer.address, b"still here")
        assert await one.receive() == (peer.address, b"still here")
        again = await stack.enter_async_context(again_from(two, address))
        assert PARTS.owner_of((await again.allocate()).port) == 1


def port_of(pid: int) -> int:
    """A relayed port that a process has bound: the highest in the range, since both have the listeners."""
    inodes = {os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")}
    lines = (line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:])
    mine = [int(words[1].rpartition(":")[2], 16) for words in lines if f"socket:[{words[9]}]" in inodes]
    return next(port for port in mine if PARTS.owner_of(port) is not None)


@contextlib.asynccontextmanager
async def again_from(client: TurnClient, server: TransportAddress) -> AsyncIterator[TurnClient]:
    """A client with the address of another one, which is closed."""
    local = client.transport.get_extra_info("sockname")
    client.transport.abort()
    await asyncio.wait_for(client.lost.wait(), 5)
    fresh = TurnClient(server)
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: fresh, local_addr=local, remote_addr=server)
    try:
        yield fresh
    finally:
        await fresh.__aexit__()


@linux_only
async def test_a_relay_that_cannot_serve_says_so_and_ends(tmp_path):
    file = tmp_path / "relay.toml"
    file.write_text(_FILE.format(port=free_port()).replace("[users]", 'relay_addresses = ["192.0.2.1"]\n[users]'))
    command = [sys.executable, "-m", "relay", "-c", str(file)]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 5, ended.stderr
    assert "192.0.2.1" in ended.stderr


# --- parts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_port_belongs_to_one_worker_and_pairs_stay_together(count):
    parts = PortParts(first=20_000, last=20_100, count=count)
    owned = [range(first, last + 1) for first, last in map(parts.part, range(count))]
    assert [port for ports in owned for port in ports] == list(range(20_000, 20_101))
    assert all(port in owned[parts.owner_of(port)] for port in range(20_000, 20_101))
    assert all(parts.owner_of(port) == parts.owner_of(port + 1) for port in range(20_000, 20_100, 2))
    assert parts.owner_of(19_999) is None
    assert parts.owner_of(20_101) is None


def test_a_worker_has_its_part_of_what_is_for_all():
    config = RelayConfig(
        udp=(TransportAddress("127.0.0.1", 3478),),
        users={"alice": "wonderland"},
        port_first=21_000,
        port_last=21_199,
        quotas=QuotaLimits(total=11, per_user=3),
        rates=RateLimits(total=RateLimit(bytes_per_s=1000.0), user=RateLimit(packets_per_s=7.0)),
        metrics=TransportAddress("127.0.0.1", 9000),
        control=Path("/run/relay.sock"),
        workers=2,
    )
    part = part_of(config, Share(index=1, ports=PARTS))
    assert (part.port_first, part.port_last) == (21_100, 21_199)
    assert (part.quotas.total, part.quotas.per_user) == (6, 3)
    assert (part.rates.total.bytes_per_s, part.rates.user.packets_per_s) == (500.0, 7.0)
    assert (part.metrics, part.control) == (TransportAddress("127.0.0.1", 9001), Path("/run/relay.sock.1"))


@linux_only
async def test_mail_that_makes_no_sense_is_dropped():
    import socket

    plane = DataPlane(asyncio.get_running_loop(), RelayCounters())
    mailboxes = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
    room = Mailroom(plane, Neighbourhood(frozenset({"192.0.2.1"})), Share(index=0, ports=PARTS, mailboxes=mailboxes))
    for data in (b"", b"\0" * 7, b"\1" + bytes(7) + b"x", bytes(6) + b"\0\5"):
        with pytest.raises(DecodeError):
            room._decode_untrusted(memoryview(data))
        mailboxes[0][1].send(data)
    mailboxes[0][1].send(bytes(6) + b"\0\5" + b"stranger")
    await eventually(lambda: sum(plane.counters.drops.values()) == 6, "the drops")
    room.close()
    plane.close()
    for pair in mailboxes:
        for sock in pair:
            sock.close()


@linux_only
async def test_the_operator_sees_and_moves_all_workers_as_one(tmp_path):
    command = [sys.executable, "-c", "from p2p.cli.main import run; run()", "relay"]

    async def relay(*arguments: str) -> str:
        given = [*command, *arguments, "-c", str(tmp_path / "relay.toml")]
        process = await asyncio.create_subprocess_exec(
            *given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=Path(__file__).resolve().parents[2]
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output
        return output.decode()

    async with two_workers(tmp_path) as (address, process), contextlib.AsyncExitStack() as stack, EchoPeer() as peer:
        await eventually(lambda: len(list(tmp_path.glob("control.sock.*"))) == 2, "both control sockets")
        for client, _ in await in_each_worker(stack, address):
            await client.bind(peer.address)
            client.send(peer.address, b"12345")
            await client.receive()
        status = json.loads(await relay("status", "--json"))
        assert sorted(status["pids"]) == sorted(children(process.pid))
        assert status["allocations"]["udp"] >= 2
        assert status["bytes"] == {"to_peers": 10, "to_clients": 10}
        assert status["users"] == [{"user": "alice", "bytes": 20}]
        assert status["ports"]["127.0.0.1"]["of"] == 200
        assert status["listeners"]["udp"] == [str(address)]
        assert "processes" in await relay("status")
        file = tmp_path / "relay.toml"
        file.write_text(file.read_text().replace("wonderland", "looking glass"))
        assert "read again" in await relay("reload")
        assert json.loads(await relay("status", "--json"))["allocations"]["udp"] == 0
        assert "draining" in await relay("drain")
        await asyncio.get_running_loop().run_in_executor(None, process.wait, 10)
        assert process.returncode == 0


def test_what_needs_one_process_is_refused_with_several():
    for changes in ({"tcp_to_peers": True}, {"peer_mode": PeerMode.KNOWN}):
        with pytest.raises(ConfigError, match="workers"):
            RelayConfig(udp=(TransportAddress("127.0.0.1", 3478),), users={"a": "b"}, workers=2, **changes)
