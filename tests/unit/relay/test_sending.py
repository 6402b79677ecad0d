"""Runs of datagrams through one socket: how they are cut, and what a kernel may refuse."""

import errno
import socket
import struct

import pytest

from p2p.address import TransportAddress
from p2p.aio import udp_options
from relay.core.counters import Drop, RelayCounters
from relay.shell.legs import DatagramLeg
from relay.shell.sending import RunSender

PEER = TransportAddress("192.0.2.1", 5000)


class FakeSocket:
    """Cuts like a kernel does, and refuses what it is told to."""

    def __init__(self) -> None:
        self.calls: list[list[bytes]] = []
        self.errors: list[int] = []
        self.joined_errors: list[int] = []

    def getsockopt(self, level: int, option: int) -> int:
        return 0

    def sendto(self, data: bytes, address: TransportAddress) -> int:
        return self.sendmsg([data], [], 0, address)

    def send(self, data: bytes) -> int:
        return self.sendmsg([data])

    def sendmsg(self, parts, ancillary=(), flags=0, address=None) -> int:
        data = b"".join(parts)
        errors = self.joined_errors if ancillary else self.errors
        if errors and (code := errors.pop(0)):
            raise OSError(code, "refused")
        size = struct.unpack("=H", ancillary[0][2])[0] if ancillary else len(data)
        if ancillary:
            assert len(data) <= 65_000
            assert -(-len(data) // size) <= 64
        self.calls.append([data[at : at + size] for at in range(0, len(data), size or 1)] or [b""])
        return len(data)

    @property
    def datagrams(self) -> list[bytes]:
        return [datagram for call in self.calls for datagram in call]


@pytest.fixture
def counters() -> RelayCounters:
    return RelayCounters()


@pytest.fixture
def sock() -> FakeSocket:
    return FakeSocket()


@pytest.fixture
def sender(sock, counters, monkeypatch) -> RunSender:
    monkeypatch.setattr("relay.shell.sending.has_gso", lambda _: True)
    return RunSender(sock, counters)


def run_of(count: int, size: int, last: int | None = None) -> list[bytes]:
    payloads = [bytes([number % 256]) * size for number in range(count)]
    if last is not None:
        payloads[-1] = payloads[-1][:last]
    return payloads


@pytest.mark.parametrize(
    ("count", "size", "last", "calls"),
    [(1, 1200, None, 1), (2, 1200, 1, 1), (54, 1200, None, 1), (55, 1200, 7, 2), (64, 100, None, 1), (129, 100, 99, 3)],
)
def test_a_run_goes_out_in_as_few_calls_as_the_kernel_allows(sender, sock, count, size, last, calls):
    payloads = run_of(count, size, last)
    sender.send_run(payloads, 1, size, PEER)
    assert sock.datagrams == payloads
    assert len(sock.calls) == calls


def test_empty_datagrams_are_sent_one_by_one(sender, sock):
    sender.send_run([b"", b""], 1, 0, PEER)
    assert sock.datagrams == [b"", b""]


@pytest.mark.parametrize("code", [errno.EIO, errno.EOPNOTSUPP, errno.EINVAL, errno.EMSGSIZE])
def test_what_the_kernel_will_not_cut_is_sent_one_by_one_for_ever(sender, sock, counters, code):
    sock.joined_errors = [code, code]
    payloads = run_of(130, 100)
    sender.send_run(payloads, 1, 100, PEER)
    assert sock.datagrams == payloads
    assert not sender.has_gso
    sender.send_run(payloads, 1, 100, PEER)
    assert sock.datagrams == payloads * 2
    assert len(sock.calls) == 260
    assert not counters.drops


def test_a_segment_that_exceeds_the_mtu_does_not_cost_smaller_ones_their_batches(sender, sock):
    sock.joined_errors = [errno.EMSGSIZE] * 2
    sender.send_run(run_of(4, 1476), 1, 1476, PEER)
    assert len(sock.calls) == 4
    sender.send_run(run_of(4, 1476), 1, 1476, PEER)
    assert len(sock.calls) == 8
    sender.send_run(run_of(4, 1472), 1, 1472, PEER)
    assert len(sock.calls) == 9


def test_a_full_buffer_is_a_counted_drop(sender, sock, counters):
    sock.joined_errors = [errno.EAGAIN]
    sock.errors = [errno.EAGAIN]
    sender.send_run(run_of(10, 100), 1, 100, PEER)
    sender.send(b"x", PEER)
    assert counters.drops[Drop.SOCKET_BUFFER_FULL] == 11
    assert sender.has_gso


def test_a_refused_datagram_is_counted_and_the_others_go_on(sender, sock, counters):
    sock.joined_errors = [errno.EMSGSIZE] * 2
    sock.errors = [0, errno.EMSGSIZE, errno.EMSGSIZE, 0]
    sender.send_run(run_of(3, 1476), 1, 1476, PEER)
    assert len(sock.datagrams) == 2
    assert counters.drops[Drop.SEND_FAILED] == 1


@pytest.mark.parametrize("code", [errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.EMSGSIZE, errno.ENOPROTOOPT])
@pytest.mark.parametrize("destination", [PEER, None])
def test_news_of_an_earlier_datagram_costs_neither_this_one_nor_batches(sender, sock, counters, code, destination):
    sock.errors = [code]
    sender.send(b"x", destination)
    assert sock.datagrams == [b"x"]
    sock.joined_errors = [code]
    sender.send_run(run_of(4, 100), 1, 100, destination)
    assert (len(sock.calls), sender.has_gso) == (2, True)
    assert not counters.drops
    sock.errors = [code, code]
    sender.send(b"y", destination)
    assert counters.drops[Drop.SEND_FAILED] == 1


def test_without_gso_everything_goes_one_by_one(sock, counters):
    sender = RunSender(sock, counters, gso=False)
    sender.send_run(run_of(3, 100), 1, 100, PEER)
    assert len(sock.calls) == 3


@pytest.mark.parametrize("last", [1, 100])
def test_channel_data_gets_its_headers(sender, sock, last):
    payloads = run_of(70, 100, last)
    DatagramLeg(sender, PEER).send_channel_data(0x4001, payloads)
    assert sock.datagrams == [b"\x40\x01" + len(data).to_bytes(2, "big") + data for data in payloads]
    assert len(sock.calls) == 2


def test_a_real_socket_tells_whether_it_can(counters):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as real:
        assert RunSender(real, counters).has_gso == udp_options.has_gso(real)
