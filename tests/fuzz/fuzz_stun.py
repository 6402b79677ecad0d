"""Fuzz STUN messages and whoever reads them: ``python tests/fuzz/fuzz_stun.py [corpus] [-max_total_time=60]``."""

import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import count

import atheris

with atheris.instrument_imports():
    from p2p.address import TransportAddress
    from p2p.errors import DecodeError, IntegrityError
    from p2p.proto.stun.behaviour import BehaviourDiscovery
    from p2p.proto.stun.client import BindingClient
    from p2p.proto.stun.integrity import verify
    from p2p.proto.stun.lifetime import LifetimeSearch
    from p2p.proto.stun.message import Message, decode_untrusted, encode
    from p2p.proto.stun.responder import BindingResponder

_SERVERS = [TransportAddress(host, port) for host in ("198.51.100.10", "198.51.100.20") for port in (3478, 3479)]
_LOCAL = [TransportAddress("192.0.2.1", port) for port in (40000, 40001)]
_NOT_REPEATABLE = {"FINGERPRINT", "SOFTWARE", "ERROR-CODE", "ADDRESS-ERROR-CODE"}
_RESPONDER = BindingResponder(_SERVERS)


def _ids() -> Callable[[int], bytes]:
    """Give transaction ids that the fuzzer finds: 0, 1, 2, ..."""
    numbers = count()
    return lambda size: next(numbers).to_bytes(size, "big")


def test_one_input(data: bytes) -> None:
    """Decode the input; what decodes must survive a round trip, be answered, and be heard by the clients."""
    try:
        message = decode_untrusted(data)
    except DecodeError:
        assert _RESPONDER.respond(data, _LOCAL[0], _SERVERS[0]) is None
        return
    with suppress(IntegrityError):
        verify(message, b"key")
    again = Message(message.message_class, message.method, message.transaction_id, message.attributes)
    # Text that is read leniently grows when its bad bytes are replaced, and a fingerprint holds for the old bytes only.
    if not any(attribute.name in _NOT_REPEATABLE for attribute, _ in again.attributes):
        assert decode_untrusted(encode(again)).attributes == message.attributes
    reply = _RESPONDER.respond(data, _LOCAL[0], _SERVERS[0])
    if reply is not None:
        assert len(reply.data) <= len(data) + 72
        decode_untrusted(reply.data)
    client = BindingClient(_SERVERS[0], _ids())
    client.start(0.0)
    client.receive_datagram(data, _SERVERS[0], 0.1)
    discovery = BehaviourDiscovery(_SERVERS[:1], _LOCAL, _ids())
    discovery.start(0.0)
    discovery.receive_datagram(data, _SERVERS[0], 0.1, len(data) // 4 % 2)
    search = LifetimeSearch(_SERVERS[0], _ids(), limit_s=60.0)
    search.start(0.0)
    search.receive_datagram(data, _SERVERS[0], 0.1, len(data) // 4 % 2)
    search.handle_timer(1.0)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
