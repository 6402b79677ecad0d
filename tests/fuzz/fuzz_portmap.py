"""Fuzz what routers send: ``python tests/fuzz/fuzz_portmap.py [corpus] [-max_total_time=60]``."""

import sys
from contextlib import suppress

import atheris

with atheris.instrument_imports():
    from p2p.address import TransportAddress
    from p2p.errors import DecodeError
    from p2p.proto.portmap import natpmp, pcp, soap, ssdp
    from p2p.proto.portmap.announcement import decode_announcement_untrusted
    from p2p.proto.portmap.control import PortControlClient
    from p2p.proto.portmap.device import decode_description_untrusted, url_on_host_untrusted

_ROUTER = TransportAddress("192.168.1.1", 5351)
_INTERNAL = TransportAddress("192.168.1.7", 5000)
_LOCATION = "http://192.168.1.1:5000/rootDesc.xml"


def test_one_input(data: bytes) -> None:
    """Read the input as everything that a router may send, and let a client hear it."""
    with suppress(DecodeError):
        assert pcp.decode_response_untrusted(pcp.encode_map_response(pcp.decode_response_untrusted(data)))
    with suppress(DecodeError):
        response = natpmp.decode_response_untrusted(data)
        assert natpmp.decode_response_untrusted(natpmp.encode_response(response)) is not None
    with suppress(DecodeError):
        assert decode_announcement_untrusted(data).epoch_s >= 0
    with suppress(DecodeError):
        url_on_host_untrusted(ssdp.decode_answer_untrusted(data).location, _ROUTER.host)
    with suppress(DecodeError):
        soap.decode_reply_untrusted(data, "AddPortMapping")
    with suppress(DecodeError):
        for service in decode_description_untrusted(data, location=_LOCATION, host=_ROUTER.host):
            assert service.control_url.startswith("http://192.168.1.1:")
    client = PortControlClient(_ROUTER, _INTERNAL, nonce=bytes(12), random_bytes=bytes)
    client.start(0.0)
    client.receive_datagram(data, _ROUTER, 0.1)
    client.handle_timer(0.2)
    client.receive_announcement(data, _ROUTER.host, 0.3)
    client.handle_timer(0.4)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
