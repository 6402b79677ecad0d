"""The relay's data plane on loopback: batches, clients with sockets of their own, and systems that offer less."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
import sys

import pytest

from p2p.address import TransportAddress
from p2p.aio.udp_options import SOL_UDP, UDP_SEGMENT, has_gso
from p2p.defaults import RELAY_ICMP_BURST, RELAY_ICMP_PER_S
from p2p.errors import ConnectivityError
from p2p.proto.stun.attributes import ICMP, XOR_PEER_ADDRESS
from p2p.proto.stun.message import decode_untrusted, is_stun
from relay.core.counters import RelayCounters
from relay.core.relayed_ports import RelayHost
from relay.service import RelayService
from relay.shell.arena import ReceiveArena
from relay.shell.client_sockets import ClientSockets
from relay.shell.plane import DataPlane
from relay.shell.poller import EpollPoller, LoopPoller, Poller
from relay.shell.relayed import RelayedUdpSocket
from tests.integration.test_relay import client_of, eventually
from tests.support.relay import loopback_config
from tests.support.turn_client import EchoPeer, TurnClient

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="UDP_SEGMENT and connected client sockets are Linux's")


def free_udp_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


async def exchange(client: TurnClient, peer: TransportAddress, sizes: list[int]) -> None:
    """Send datagrams through the relay to an echoing peer, a few at a time, and check that all come back in order."""
    for start in range(0, len(sizes), 100):
        payloads = [
            struct.pack("!I", index) + os.urandom(size) for index, size in enumerate(sizes[start : start + 100])
        ]
        for payload in payloads:
            client.send(peer, payload)
        assert [(await client.receive())[1] for _ in payloads] == payloads


def own_sockets(service: RelayService) -> ClientSockets:
    return next(iter(service._datagrams.values()))._client_sockets


@linux_only
async def test_a_busy_client_gets_a_socket_of_its_own_and_gives_it_back():
    service, peer = RelayService(loopback_config()), EchoPeer()
    async with service, peer, client_of(service) as client, client_of(service) as quiet:
        for each in (client, quiet):
            await each.allocate()
            await each.bind(peer.address)
        await exchange(client, peer.address, [1200] * 1500)
        await eventually(lambda: len(own_sockets(service)) == 1, "a socket for the busy client")
        await exchange(quiet, peer.address, [100] * 10)
        await exchange(client, peer.address, [1200] * 100 + [3, 900, 900, 20] * 25)
        await client.bind(peer.address)  # requests reach the relay through it as well
        await client.release()
        await eventually(lambda: not len(own_sockets(service)), "the end of the socket")
        assert service.allocations == 1
        await exchange(quiet, peer.address, [100] * 10)


@linux_only
async def test_nobody_else_can_share_the_relays_port():
    async with RelayService(loopback_config()) as service, EchoPeer() as peer, client_of(service) as client:
        await client.allocate()
        await client.bind(peer.address)
        await exchange(client, peer.address, [1200] * 1500)
        await eventually(lambda: len(own_sockets(service)) == 1, "a socket for the busy client")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                thief.bind(service.udp_addresses[0])


@linux_only
async def test_what_others_sent_into_a_fresh_client_socket_is_not_lost(monkeypatch):
    """Between binding and connecting, the newest socket of an address gets everybody's datagrams."""
    service, peer = RelayService(loopback_config()), EchoPeer()
    async with service, peer, client_of(service) as busy, client_of(service) as other:
        for each in (busy, other):
            await each.allocate()
            await each.bind(peer.address)
        connect = socket.socket.connect

        def late(self: socket.socket, address: object) -> None:
            for index in range(20):
                other.send(peer.address, b"into the wrong socket %d" % index)
            connect(self, address)

        monkeypatch.setattr(socket.socket, "connect", late)
        peer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        await exchange(busy, peer.address, [1200] * 1500)
        await eventually(lambda: len(own_sockets(service)) == 1, "a socket for the busy client")
        received = [(await other.receive())[1] for _ in range(20)]
        assert received == [b"into the wrong socket %d" % index for index in range(20)]


@linux_only
async def test_clients_that_batch():
    """Joined ChannelData of several sizes and channels, and a request in between."""
    service, one, two = RelayService(loopback_config()), EchoPeer(), EchoPeer()
    async with service, one, two, client_of(service) as client:
        await client.allocate()
        numbers = [await client.bind(peer.address) for peer in (one, two)]
        sock = client.transport.get_extra_info("socket")
        sock = socket.socket(fileno=os.dup(sock.fileno()))
        if not has_gso(sock):
            pytest.skip("this kernel cannot cut batches")
        frames = [
            struct.pack("!HH", numbers[index // 10 % 2], 500) + struct.pack("!H", index) * 250 for index in range(60)
        ]
        frames.append(struct.pack("!HH", numbers[1], 7) + b"the end")
        with sock:
            sock.sendmsg(frames, [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", 504))])
        received = [await client.receive() for _ in frames]
        for peer, number in ((one, numbers[0]), (two, numbers[1])):
            wanted = [frame[4:] for frame in frames if struct.unpack_from("!H", frame)[0] == number]
            assert [data for source, data in received if source == peer.address] == wanted


async def test_empty_datagrams_pass():
    async with RelayService(loopback_config()) as service, EchoPeer() as peer, client_of(service) as client:
        await client.allocate()
        await client.bind(peer.address)
        for data in (b"", b"x", b""):
            client.send(peer.address, data)
        await eventually(lambda: len(peer.heard) == 3, "all three")
        relayed = peer.heard[0][0]
        with socket.socket(fileno=os.dup(peer.transport.get_extra_info("socket").fileno())) as sock:
            sock.sendto(b"", relayed)  # asyncio's own transports do not send them
        assert sorted([(await client.receive())[1] for _ in range(2)]) == [b"", b"x"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("uses_recvmmsg", [True, False])
async def test_the_relay_works_on_systems_that_offer_less(monkeypatch, host, uses_recvmmsg):
    """No epoll, no UDP_SEGMENT, no UDP_GRO, no sockets of clients; with and without recvmmsg."""

    def make_poller(loop: asyncio.AbstractEventLoop, arena: ReceiveArena) -> Poller:
        return LoopPoller(loop)

    monkeypatch.setattr("relay.shell.plane.make_poller", make_poller)
    monkeypatch.setattr("relay.shell.sending.has_gso", lambda _: False)
    monkeypatch.setattr("relay.shell.plane.enable", lambda *_: False)
    monkeypatch.setattr("relay.shell.client_sockets._can_connect", lambda _: False)
    if not uses_recvmmsg:
        monkeypatch.setattr("p2p.aio.recvmmsg.find", lambda: None)
    config = loopback_config(udp=(TransportAddress(host, 0),), tcp=(), tls=())
    async with RelayService(config) as service, EchoPeer(host) as peer, client_of(service) as client:
        client.machine._address_family = 2 if ":" in host else 1
        await client.allocate()
        await client.bind(peer.address)
        await exchange(client, peer.address, [1200] * 300 + [10, 20, 30] * 10)


@pytest.mark.parametrize("uses_recvmmsg", [True, False])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_batches_are_the_same_with_and_without_recvmmsg(uses_recvmmsg, host):
    """And the segment size of one batch is not taken for that of the next."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    arena = ReceiveArena(8, use_recvmmsg=uses_recvmmsg)
    with socket.socket(family, socket.SOCK_DGRAM) as receiver, socket.socket(family, socket.SOCK_DGRAM) as sender:
        receiver.setblocking(False)
        receiver.bind((host, 0))
        sender.bind((host, 0))
        sender.connect(receiver.getsockname())
        if sys.platform == "linux":
            receiver.setsockopt(SOL_UDP, 104, 1)
        source = TransportAddress.from_socket(sender.getsockname())
        assert arena.receive_many(receiver, 8) is None
        for _ in range(2):
            if sys.platform == "linux" and has_gso(sender):
                sender.sendmsg([b"a" * 2500], [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", 1000))])
                batch = arena.receive_many(receiver, 8)
                assert batch is not None
                assert (batch.lengths, batch.sizes) == ([2500], [1000])
            for size in (700, 0, 700):
                sender.send(b"b" * size)
            batch = arena.receive_many(receiver, 8)
            assert batch is not None
            assert (batch.lengths, batch.sizes) == ([700, 0, 700], None)
            keys = arena.keys(batch, is_ipv6=":" in host)
            assert {arena.address_of(key) for key in keys} == {source}
            assert arena.slot_view(2, 0, 700) == b"b" * 700


@linux_only
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_datagram_goes_whole_or_the_size_of_the_path_is_told(host):
    plane = DataPlane(asyncio.get_running_loop(), RelayCounters())
    port = free_udp_port(host)
    relayed = RelayedUdpSocket(plane, RelayHost(bind_host=host, public_host=host), port)
    level, option = (socket.IPPROTO_IPV6, 23) if ":" in host else (socket.IPPROTO_IP, 10)
    usual = relayed.socket.getsockopt(level, option)
    async with EchoPeer(host) as peer:
        assert relayed.send_whole(b"whole", peer.address) is None
        await eventually(lambda: len(peer.heard) == 1, "the datagram")
        # One byte more than an IP packet can have beside its headers on loopback.
        assert relayed.send_whole(bytes(65_536), peer.address) in (65_535, 65_536)
        assert relayed.socket.getsockopt(level, option) == usual
    relayed.close()
    relayed.close()
    plane.close()


@linux_only
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("uses_channel", [True, False])
async def test_a_client_hears_that_nobody_listens_at_a_peer(host, uses_channel):
    told = []

    class Listening(TurnClient):
        def _take(self, data: bytes) -> None:
            message = decode_untrusted(data) if is_stun(data) else None
            if message is not None and (icmp := message.get(ICMP)) is not None:
                told.append((message.get(XOR_PEER_ADDRESS), icmp.type, icmp.code))
            super()._take(data)

    # Taken, so that nobody else gets it, and deaf to all but one.
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind((host, 0))
        deaf.connect((host, 9))
        nobody = TransportAddress(host, deaf.getsockname()[1])
        address = TransportAddress(host, 0)
        async with (
            RelayService(loopback_config(udp=(address,), tcp=(), tls=())) as service,
            Listening(service.udp_addresses[0], address_family=2 if ":" in host else None) as client,
            EchoPeer(host) as peer,
        ):
            await client.allocate()
            await client.permit(nobody)
            if uses_channel:
                await client.bind(nobody)
            await client.permit(peer.address)
            for number in range(200):
                # What goes to others meanwhile is not lost by the errors.
                client.send(nobody, bytes(300))
                client.send(peer.address, b"%d" % number)
                assert (await client.receive())[1] == b"%d" % number
            await eventually(lambda: told, "an ICMP error")
            assert set(told) == {(nobody, 1, 4) if ":" in host else (nobody, 3, 3)}
            # A peer that has gone costs its client a few datagrams a second.
            assert len(told) <= RELAY_ICMP_BURST + RELAY_ICMP_PER_S * 30
            assert not service.counters.drops


@linux_only
async def test_a_relay_without_descriptors_says_that_it_is_full(monkeypatch):
    async with RelayService(loopback_config()) as service, client_of(service) as first:
        await first.allocate()
        async with client_of(service) as second:
            make = socket.socket

            def none_left(*arguments: object, **options: object) -> socket.socket:
                raise OSError(errno.EMFILE, "Too many open files")

            monkeypatch.setattr("p2p.aio.udp_options.socket.socket", none_left)
            try:
                assert await second.refusal() == 508
            finally:
                monkeypatch.setattr("p2p.aio.udp_options.socket.socket", make)


@pytest.mark.parametrize("has_epoll", [True, False])
async def test_a_loop_that_cannot_watch_sockets_is_told_so(monkeypatch, has_epoll):
    def refuse(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", refuse)
    if not has_epoll:
        monkeypatch.setattr("relay.shell.plane.make_poller", lambda loop, arena: LoopPoller(loop))
    with pytest.raises(ConnectivityError) as caught:
        async with RelayService(loopback_config(tcp=(), tls=())):
            pass
    assert caught.value.code == "P2P-4102"


@linux_only
async def test_a_socket_that_fails_does_not_stop_the_others():
    loop = asyncio.get_running_loop()
    errors: list[str] = []
    loop.set_exception_handler(lambda _, context: errors.append(str(context["exception"])))
    plane = DataPlane(loop, RelayCounters())
    served: list[str] = []
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(3)]
    for number, (ours, theirs) in enumerate(pairs):

        def serve(number: int = number, ours: socket.socket = ours) -> None:
            ours.recv(100)
            if number == 0:
                raise ValueError("a bug")
            served.append(f"socket {number}")

        theirs.send(b"x")
        plane.poller.add(ours.fileno(), serve)
    await eventually(lambda: len(served) == 2, "the other two")
    assert errors == ["a bug"]
    plane.close()
    for ours, theirs in pairs:
        ours.close()
        theirs.close()


@linux_only
async def test_a_busy_socket_does_not_keep_others_waiting():
    """Each ready socket is served once a round."""
    loop = asyncio.get_running_loop()
    plane = DataPlane(loop, RelayCounters())
    assert isinstance(plane.poller, EpollPoller)
    order: list[str] = []
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
    for name, (ours, theirs) in zip(("busy", "quiet"), pairs, strict=True):
        ours.setblocking(False)

        def serve(name: str = name, ours: socket.socket = ours) -> None:
            order.append(name)
            ours.recv(100)

        for _ in range(20 if name == "busy" else 3):
            theirs.send(b"x")
        plane.poller.add(ours.fileno(), serve)
    await eventually(lambda: len(order) == 23, "all")
    assert order[:6].count("quiet") == 3
    plane.close()
    for ours, theirs in pairs:
        ours.close()
        theirs.close()
