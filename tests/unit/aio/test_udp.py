"""The UDP socket over loopback, on both kinds of event loop."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from p2p.address import TransportAddress
from p2p.aio import udp as module
from p2p.aio.udp import UdpSocket
from p2p.errors import ConnectivityError

LOOPBACK = TransportAddress("127.0.0.1", 0)
Scenario = Callable[[], Awaitable[None]]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    """Runs a coroutine on each kind of loop in turn."""
    factory = asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop

    def runner(scenario: Scenario) -> None:
        with asyncio.Runner(loop_factory=factory) as made:
            made.run(asyncio.wait_for(scenario(), 20))  # type: ignore[arg-type]

    return runner


class End:
    """A socket that remembers what came."""

    def __init__(self, local: TransportAddress = LOOPBACK, **options: Any) -> None:
        self.batches: list[tuple[bytes, int, TransportAddress]] = []
        self.drained = 0
        self.udp = UdpSocket(
            asyncio.get_running_loop(), local, on_batch=self.on_batch, on_drained=self.on_drained, **options
        )

    def on_batch(self, buffer: bytes, segment_size: int, source: TransportAddress, now: float) -> None:
        self.batches.append((buffer, segment_size, source))

    def on_drained(self, now: float) -> None:
        self.drained += 1

    @property
    def datagrams(self) -> list[bytes]:
        return [
            buffer[start : start + size] for buffer, size, _ in self.batches for start in range(0, len(buffer), size)
        ]

    async def wait_for(self, count: int) -> None:
        while len(self.datagrams) < count:
            await asyncio.sleep(0.001)


MIXED = [b"a" * 1200] * 70 + [b"b" * 300] + [b"c" * 1200] * 3 + [b"d" * 1300] * 2 + [b"e"] + [b"f" * 9000] * 9


@pytest.mark.parametrize("gro", [True, False])
@pytest.mark.parametrize("gso", [True, False])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_datagrams_of_mixed_sizes_keep_their_borders(
    run: Callable[[Scenario], None], gro: bool, gso: bool, host: str
) -> None:
    async def scenario() -> None:
        receiver, sender = End(TransportAddress(host, 0), gro=gro), End(TransportAddress(host, 0), gso=gso)
        assert sender.udp.send(MIXED, receiver.udp.local_address) == len(MIXED)
        await receiver.wait_for(len(MIXED))
        assert receiver.datagrams == MIXED
        assert {source for _, _, source in receiver.batches} == {sender.udp.local_address}
        assert receiver.drained >= 1
        stats = sender.udp.stats
        assert stats.sent_datagrams == len(MIXED)
        assert stats.sent_bytes == sum(map(len, MIXED)) == receiver.udp.stats.received_bytes
        if sender.udp.has_gso:
            assert stats.send_calls < 12
        if receiver.udp.has_gro and sender.udp.has_gso:
            assert len(receiver.batches) < 12
        receiver.udp.close()
        sender.udp.close()

    run(scenario)


def test_empty_and_large_datagrams(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        receiver, sender = End(), End()
        data = [b"", b"x" * 65_507, b"", b"y"]
        assert sender.udp.send(data, receiver.udp.local_address) == 4
        await receiver.wait_for(2)
        assert receiver.datagrams == [data[1], data[3]]
        receiver.udp.close()
        sender.udp.close()

    run(scenario)


def test_what_is_too_big_is_lost_and_the_rest_goes_on(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        receiver, sender = End(), End()
        assert sender.udp.send([b"a", b"b" * 65_536, b"c"], receiver.udp.local_address) == 3
        await receiver.wait_for(2)
        assert receiver.datagrams == [b"a", b"c"]
        assert (sender.udp.stats.send_errors, sender.udp.stats.send_too_big) == (1, 1)
        receiver.udp.close()
        sender.udp.close()

    run(scenario)


def test_no_route_and_wrong_family_are_counted_not_raised(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        sender = End()
        assert sender.udp.send([b"x"] * 3, TransportAddress("::1", 9)) == 3
        assert sender.udp.send([b"x"], TransportAddress("255.255.255.255", 9)) == 1
        assert sender.udp.stats.send_errors == 4
        sender.udp.close()

    run(scenario)


def test_unreachable_ports_do_not_stop_reading(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        receiver, sender = End(), End()
        nobody = End()
        address = nobody.udp.local_address
        nobody.udp.close()
        for _ in range(5):
            receiver.udp.send([b"knock"], address)
            await asyncio.sleep(0.001)
        sender.udp.send([b"hello"], receiver.udp.local_address)
        await receiver.wait_for(1)
        receiver.udp.close()
        sender.udp.close()

    run(scenario)


class BrokenSocket:
    """A socket whose system calls fail as told; the rest is real."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real
        self.sendmsg_errors: list[int] = []
        self.sendto_errors: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def sendmsg(self, *arguments: Any) -> int:
        if self.sendmsg_errors:
            raise OSError(self.sendmsg_errors.pop(0), "broken")
        return self._real.sendmsg(*arguments)

    def sendto(self, *arguments: Any) -> int:
        if self.sendto_errors and (number := self.sendto_errors.pop(0)):
            raise OSError(number, "broken")
        return self._real.sendto(*arguments)


def broken(end: End) -> BrokenSocket:
    wrapped = BrokenSocket(end.udp._socket)
    end.udp._socket = wrapped  # type: ignore[assignment]
    end.udp._gso = True
    return wrapped


def test_a_device_that_cannot_cut_is_asked_once(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        receiver, sender = End(), End()
        broken(sender).sendmsg_errors = [errno.EIO] * 9
        data = [bytes([n]) * 1000 for n in range(100)]
        assert sender.udp.send(data, receiver.udp.local_address) == 100
        await receiver.wait_for(100)
        assert receiver.datagrams == data
        assert not sender.udp.has_gso
        assert sender.udp.stats.gso_failures == 1
        receiver.udp.close()
        sender.udp.close()

    run(scenario)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EMSGSIZE])
def test_a_batch_that_fails_is_sent_one_by_one(run: Callable[[Scenario], None], number: int) -> None:
    async def scenario() -> None:
        receiver, sender = End(), End()
        broken(sender).sendmsg_errors = [number]
        data = [bytes([n]) * 1000 for n in range(10)]
        assert sender.udp.send(data, receiver.udp.local_address) == 10
        assert sender.udp.has_gso, "one failure may be the destination's"
        await receiver.wait_for(10)
        assert receiver.datagrams == data
        broken(sender).sendmsg_errors = [number] * 50
        for _ in range(9):
            sender.udp.send(data[:2], receiver.udp.local_address)
        assert not sender.udp.has_gso, "that many are the socket's"
        await receiver.wait_for(28)
        receiver.udp.close()
        sender.udp.close()

    run(scenario)


def test_datagrams_too_long_for_their_path_do_not_end_batching(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        sender, receiver = End(), End()
        for _ in range(20):
            wrapped = broken(sender)
            wrapped.sendmsg_errors, wrapped.sendto_errors = [errno.EMSGSIZE], [errno.EMSGSIZE] * 3
            assert sender.udp.send([bytes(1000)] * 3, receiver.udp.local_address) == 3
        assert sender.udp.has_gso
        assert sender.udp.stats.send_too_big == 60
        receiver.udp.close()
        sender.udp.close()

    run(scenario)


def test_a_full_kernel_buffer_returns_the_rest(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        receiver, sender = End(), End()
        wrapped = broken(sender)
        data = [bytes([n]) * (100 + n) for n in range(5, 0, -1)]
        wrapped.sendto_errors = [0, 0, errno.EAGAIN]
        sender.udp._gso = False
        assert sender.udp.send(data, receiver.udp.local_address) == 2
        assert sender.udp.stats.send_blocked == 1
        # A batch that has to be resent can be blocked in its middle too.
        sender.udp._gso = True
        wrapped.sendmsg_errors, wrapped.sendto_errors = [errno.EINVAL], [errno.EAGAIN]
        equal = [b"z" * 50] * 3
        assert sender.udp.send(equal, receiver.udp.local_address) == 0
        called: list[int] = []
        sender.udp.call_when_writable(lambda: called.append(1))
        sender.udp.call_when_writable(lambda: called.append(2))
        while len(called) < 2:
            await asyncio.sleep(0.001)
        assert called == [1, 2]
        assert sender.udp.send(data[2:], receiver.udp.local_address) == 3
        await receiver.wait_for(5)
        assert receiver.datagrams == data
        receiver.udp.close()
        sender.udp.close()

    run(scenario)


def test_a_refused_batch_counts_every_datagram(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        sender = End()
        broken(sender).sendmsg_errors = [errno.EPERM]
        assert sender.udp.send([b"x" * 10] * 4, LOOPBACK._replace(port=9)) == 4
        assert sender.udp.stats.send_errors == 4
        broken(sender).sendmsg_errors = [errno.EINVAL]
        broken(sender).sendto_errors = [errno.ENETUNREACH] * 2
        assert sender.udp.send([b"x" * 10] * 4, LOOPBACK._replace(port=9)) == 4
        assert sender.udp.stats.send_errors >= 6
        sender.udp.close()

    run(scenario)


def test_under_load_packets_gather(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        receiver, sender = End(poll_delay_s=0.001), End()
        loop = asyncio.get_running_loop()
        end = loop.time() + 0.2
        sent = 0
        while loop.time() < end:
            sent += sender.udp.send([b"x" * 100] * 20, receiver.udp.local_address)
            await asyncio.sleep(0)
        await receiver.wait_for(sent)
        assert receiver.udp.stats.delayed_polls > 3
        assert receiver.udp.stats.received_datagrams == sent
        receiver.udp.close()
        sender.udp.close()

    run(scenario)


def test_one_wake_up_reads_no_more_than_its_budget(
    run: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UDP_WAKEUP_BUDGET_BYTES", 3000)

    async def scenario() -> None:
        receiver, sender = End(gro=False), End()
        sender.udp.send([b"x" * 1000] * 30, receiver.udp.local_address)
        await receiver.wait_for(30)
        assert receiver.drained >= 10
        receiver.udp.close()
        sender.udp.close()

    run(scenario)


def test_closing_inside_a_callback_and_twice(run: Callable[[Scenario], None]) -> None:
    async def scenario() -> None:
        sender = End()
        receiver = End(gro=False)
        heard: list[int] = []

        def close(buffer: bytes, segment_size: int, source: TransportAddress, now: float) -> None:
            heard.append(len(buffer))
            receiver.udp.close()

        receiver.udp._on_batch = close
        sender.udp.send([b"one"] * 3, receiver.udp.local_address)
        while not heard:
            await asyncio.sleep(0.001)
        assert heard == [3]
        assert not receiver.drained
        assert receiver.udp.is_closed
        receiver.udp.close()
        assert receiver.udp.send([b"late"], sender.udp.local_address) == 1
        receiver.udp.call_when_writable(lambda: heard.append(-1))
        sender.udp.call_when_writable(lambda: heard.append(-2))
        sender.udp.close()
        await asyncio.sleep(0.01)
        assert heard == [3]

    run(scenario)


def test_closing_leaves_nothing_with_the_loop() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        registered = set(loop._selector.get_map())  # type: ignore[attr-defined]
        end = End(poll_delay_s=0.5)
        end.udp.call_when_writable(lambda: None)
        end.udp._is_busy = True
        end.udp._moderate(loop.time())  # looks away, with a timer that would read again
        end.udp.close()
        assert set(loop._selector.get_map()) == registered  # type: ignore[attr-defined]
        assert all(handle.cancelled() for handle in loop._scheduled)  # type: ignore[attr-defined]

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(scenario())


async def test_an_address_that_is_taken_or_not_ours() -> None:
    end = End()
    for address in (end.udp.local_address, TransportAddress("192.0.2.1", 0)):
        with pytest.raises(ConnectivityError, match="cannot bind") as caught:
            End(address)
        assert caught.value.code == "P2P-4101"
    end.udp.close()


async def test_a_loop_that_cannot_watch_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", refuse)
    with pytest.raises(ConnectivityError) as caught:
        End()
    assert caught.value.code == "P2P-4102"


async def test_an_ipv6_socket_leaves_ipv4_alone() -> None:
    v6 = End(TransportAddress("::", 0))
    v4 = End(TransportAddress("0.0.0.0", v6.udp.local_address.port))
    v4.udp.close()
    v6.udp.close()


async def test_a_socket_that_never_fragments() -> None:
    for host in ("127.0.0.1", "::1"):
        end = End(TransportAddress(host, 0), dont_fragment=True)
        level, option = (socket.IPPROTO_IPV6, 23) if ":" in host else (socket.IPPROTO_IP, 10)
        assert end.udp._socket.getsockopt(level, option) == 3
        end.udp.close()


@pytest.mark.parametrize(
    ("sizes", "runs"),
    [
        ([10, 10, 10], [3]),
        ([10, 10, 5, 10], [3, 1]),
        ([10, 20], [1, 1]),
        ([5, 10, 10, 10, 4, 4], [1, 4, 1]),
        ([10] * 65, [64, 1]),
        ([30_000] * 5, [2, 2, 1]),
        ([0, 0, 10, 0], [1, 1, 1, 1]),
    ],
)
def test_runs_of_equal_sizes(sizes: list[int], runs: list[int]) -> None:
    datagrams = [bytes(size) for size in sizes]
    found = []
    start = 0
    while start < len(datagrams):
        found.append(module._run_length(datagrams, start))
        start += found[-1]
    assert found == runs


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what it dropped")
async def test_what_the_kernel_dropped_is_counted() -> None:
    receiver, sender = End(gro=False, buffer_bytes=4096), End(gso=False)
    sender.udp.send([b"x" * 1000] * 100, receiver.udp.local_address)
    await receiver.wait_for(1)
    # The count comes with a packet that was queued after the loss.
    sender.udp.send([b"y"], receiver.udp.local_address)
    while b"y" not in receiver.datagrams:
        await asyncio.sleep(0.001)
    stats = receiver.udp.stats
    assert stats.kernel_drops > 0
    assert stats.kernel_drops + stats.received_datagrams == 101
    receiver.udp.close()
    sender.udp.close()
