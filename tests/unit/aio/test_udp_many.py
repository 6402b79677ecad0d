"""Many datagrams in one call: joined where they are alike, and told apart where they are not."""

from __future__ import annotations

import asyncio
import socket

import pytest

from p2p.address import TransportAddress
from p2p.aio import udp_many
from p2p.aio.udp import UdpSocket
from p2p.defaults import UDP_RECEIVE_MANY
from tests.support.forward_session import until


class Taker:
    def __init__(self, host: str = "127.0.0.1", *, buffer_bytes: int = 1 << 20) -> None:
        self.batches: list[tuple[bytes, int, TransportAddress]] = []
        self.socket = UdpSocket(
            asyncio.get_running_loop(),
            TransportAddress(host, 0),
            on_batch=lambda data, size, source, now: self.batches.append((data, size, source)),
            on_drained=lambda now: None,
            buffer_bytes=buffer_bytes,
            takes_empty=True,
            joins=True,
        )

    @property
    def datagrams(self) -> list[bytes]:
        found: list[bytes] = []
        for data, size, _ in self.batches:
            found += [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
        return found


def client(taker: Taker) -> socket.socket:
    family = socket.AF_INET6 if taker.socket.local_address.is_ipv6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.connect(taker.socket.local_address)
    return sock


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_equal_ones_of_a_source_are_joined(host: str) -> None:
    taker = Taker(host)
    with client(taker) as one, client(taker) as two:
        sent = [bytes((number,)) * size for number, size in enumerate((200, 200, 200, 100, 0, 0, 1, 1, 1500, 65_507))]
        for datagram in sent:
            one.send(datagram)
        two.send(b"x" * 200)
        await until(lambda: len(taker.datagrams) == len(sent) + 1)
        assert taker.datagrams == [*sent, b"x" * 200]
        sources = [source for _, _, source in taker.batches]
        assert sources[0] == TransportAddress.from_socket(one.getsockname())
        assert sources[-1] == TransportAddress.from_socket(two.getsockname())
        assert taker.batches[0][:2] == (b"".join(sent[:3]), 200)
    taker.socket.close()


async def test_more_than_one_call_takes_arrive_in_order() -> None:
    taker = Taker()
    with client(taker) as sock:
        for number in range(3 * UDP_RECEIVE_MANY):
            sock.send(number.to_bytes(2, "big"))
        await until(lambda: len(taker.datagrams) == 3 * UDP_RECEIVE_MANY)
        assert taker.datagrams == [number.to_bytes(2, "big") for number in range(3 * UDP_RECEIVE_MANY)]
        assert taker.socket.stats.receive_calls < UDP_RECEIVE_MANY
    taker.socket.close()


async def test_what_the_kernel_drops_is_counted() -> None:
    taker = Taker(buffer_bytes=4096)
    with client(taker) as sock:
        for _ in range(200):
            sock.send(bytes(1000))
        await until(lambda: bool(taker.batches) and taker.socket.stats.kernel_drops > 0)
        assert taker.socket.stats.kernel_drops + len(taker.datagrams) == 200
    taker.socket.close()


async def test_without_the_call_all_is_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2p.aio.udp.many_receiver", lambda sock: None)
    taker = Taker()
    with client(taker) as sock:
        sock.send(b"one")
        sock.send(b"")
        await until(lambda: len(taker.batches) == 2)
        assert taker.datagrams == [b"one", b""]
    taker.socket.close()


def test_a_system_that_does_not_tell_drops_has_none() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        assert udp_many.dropped_by_kernel(sock) == 0
