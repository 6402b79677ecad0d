"""Fuzz the relay's control plane and its streams: ``python tests/fuzz/fuzz_relay.py [corpus] [-max_total_time=60]``."""

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the fakes live beside the tests

with atheris.instrument_imports():
    from p2p.errors import P2PError
    from p2p.proto.stun.attributes import (
        CHANNEL_NUMBER,
        CONNECTION_ID,
        MOBILITY_TICKET,
        REQUESTED_TRANSPORT,
        XOR_PEER_ADDRESS,
    )
    from p2p.proto.stun.message import Method
    from relay.core import http_probe
    from relay.core.five_tuple import ClientTransport
    from relay.core.nonces import NonceSource
    from relay.core.policy import PeerPolicy
    from relay.shell.runs import runs_of
    from tests.unit.relay import test_runs
    from tests.unit.relay.support import PEER, Client, Relay
    from tests.unit.relay.test_streams import Fixture

_POLICY = PeerPolicy(is_own=lambda address: False)
_METHODS = (
    Method.REFRESH,
    Method.CREATE_PERMISSION,
    Method.CHANNEL_BIND,
    Method.ALLOCATE,
    Method.CONNECT,
    Method.CONNECTION_BIND,
)
_NONCES = NonceSource(b"key")


def test_one_input(data: bytes) -> None:
    """Give the input to a relay as a stranger's, as a client's, signed by a client, as a stream, and as a nonce."""
    relay = Relay()
    client = Client(relay, transport=ClientTransport.TCP)
    client.raw(data)
    client.allocate()
    client.raw(data)
    # As the attributes of a request that is signed, so that it reaches the handlers.
    for method in _METHODS:
        signed = client.encoded(method, *_attributes(data))
        client.raw(signed)
    relay.advance(4000.0)
    assert len(relay.server.table) == 0
    http_probe.answer(b"GET " + data, 0.0)
    _datagrams(data)
    whole, chopped = _stream(data, len(data) or 1), _stream(data, 3)
    assert whole == chopped
    try:
        _NONCES.check(data.decode("utf-8", "replace"), PEER, 0.0)
    except P2PError:
        pass
    else:
        raise AssertionError("a forged nonce was accepted")


def _datagrams(data: bytes) -> None:
    """Let the input be a joined message of a client; what comes of it must be what its datagrams mean one by one."""
    size, message = data[0] % 40 + 1 if data else 1, data[1:60_000]
    if not message:
        return
    cutter, _, others = test_runs.cutter_and_others()
    allocation = test_runs.FakeAllocation()
    for run in runs_of(test_runs.put([message], [size]), None, [0]):
        cutter.take(allocation, run)
    datagrams = [message[at : at + size] for at in range(0, len(message), size)]
    assert allocation.sent == [found for found in map(test_runs.naive, datagrams) if found is not None]
    assert others == [datagram for datagram in datagrams if not 0x40 <= datagram[0] <= 0x7F]


def _attributes(data: bytes) -> list:
    host = ".".join(str(byte) for byte in data[:4].ljust(4, b"\1"))
    peer = PEER._replace(host=host, port=int.from_bytes(data[4:6], "big"))
    return [
        XOR_PEER_ADDRESS(peer),
        CHANNEL_NUMBER(int.from_bytes(data[6:8], "big")),
        REQUESTED_TRANSPORT(data[8:9] == b""),
        CONNECTION_ID(int.from_bytes(data[9:13], "big")),
        MOBILITY_TICKET(data[13:]),
    ]


def _stream(data: bytes, chunk_bytes: int) -> tuple[list, bool]:
    fixture = Fixture()
    fixture.allocate_and_bind()
    for start in range(0, len(data), chunk_bytes):
        fixture.stream.data_received(data[start : start + chunk_bytes])
    return fixture.sent if len(fixture.relay.server.table) else [], fixture.transport.is_aborted


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
