"""What routers send: any bytes are a value or a DecodeError, and what is written is read again."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from p2p.address import TransportAddress
from p2p.errors import DecodeError
from p2p.proto.portmap import natpmp, pcp, soap, ssdp
from p2p.proto.portmap.announcement import decode_announcement_untrusted
from p2p.proto.portmap.control import PortControlClient
from p2p.proto.portmap.device import WAN_SERVICES, decode_description_untrusted, url_on_host_untrusted
from p2p.proto.portmap.xml import read_xml_untrusted

ROUTER = TransportAddress("192.168.1.1", 5351)
INTERNAL = TransportAddress("192.168.1.7", 5000)

u16, u32 = st.integers(1, 0xFFFF), st.integers(0, 0xFFFFFFFF)
hosts = st.ip_addresses().filter(lambda ip: not ip.is_unspecified and getattr(ip, "ipv4_mapped", None) is None).map(str)
pcp_responses = st.builds(
    pcp.PcpResponse,
    st.just(1),
    st.integers(0, 255),
    u32,
    u32,
    st.builds(pcp.PcpMap, st.binary(min_size=12, max_size=12), u16, st.builds(TransportAddress, hosts, u16)),
) | st.builds(pcp.PcpResponse, st.just(0), st.integers(0, 255), u32, u32)
nat_pmp_responses = (
    st.builds(natpmp.NatPmpAddress, u32, st.ip_addresses(v=4).filter(lambda ip: not ip.is_unspecified).map(str))
    | st.builds(natpmp.NatPmpMapped, u32, u16, u16, u32)
    | st.builds(natpmp.NatPmpRefused, u32, st.integers(1, 0xFFFF), st.booleans())
)
tags = st.sampled_from(
    ["a", "service", "serviceType", "controlURL", "URLBase", "s:Fault", "errorCode", "u:XResponse", "!DOCTYPE a"]
)
pieces = st.one_of(
    tags.map(lambda tag: f"<{tag}>"),
    tags.map(lambda tag: f"</{tag}>"),
    st.sampled_from([*WAN_SERVICES, "&amp;", "&b;", "http://192.168.1.1/", "//10.0.0.5/", "718"]),
    st.text(max_size=8),
)
documents = st.binary(max_size=300) | st.lists(pieces, max_size=30).map(lambda parts: "".join(parts).encode())


@given(pcp_responses)
def test_pcp_comes_back(response: pcp.PcpResponse) -> None:
    assert pcp.decode_response_untrusted(pcp.encode_map_response(response)) == response


@given(nat_pmp_responses)
def test_nat_pmp_comes_back(response: natpmp.NatPmpAddress | natpmp.NatPmpMapped | natpmp.NatPmpRefused) -> None:
    assert natpmp.decode_response_untrusted(natpmp.encode_response(response)) == response


@given(st.binary(max_size=70) | st.binary(max_size=60).map(b"\x02\x81\0\0".__add__))
def test_any_bytes_are_told_apart(data: bytes) -> None:
    for decode in (
        pcp.decode_response_untrusted,
        natpmp.decode_response_untrusted,
        ssdp.decode_answer_untrusted,
        decode_announcement_untrusted,
    ):
        with contextlib.suppress(DecodeError):
            decode(data)  # type: ignore[operator]


@given(documents)
def test_any_document_is_told_apart(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        read_xml_untrusted(data)
    with contextlib.suppress(DecodeError):
        soap.decode_reply_untrusted(data, "X")
    with contextlib.suppress(DecodeError):
        for service in decode_description_untrusted(data, location="http://192.168.1.1:5000/x", host=ROUTER.host):
            assert service.control_url.startswith("http://192.168.1.1:")


@given(st.text(max_size=60) | st.text("htp:/@.0123456789[]#?\\", max_size=40).map("http://".__add__))
def test_a_url_leads_to_the_router_or_is_refused(url: str) -> None:
    with contextlib.suppress(DecodeError):
        assert url_on_host_untrusted(url, ROUTER.host).startswith("http://192.168.1.1:")


steps = st.lists(
    st.tuples(
        st.sampled_from(["answer", "announce", "time", "check", "refused", "stop", "start"]),
        pcp_responses.map(pcp.encode_map_response)
        | nat_pmp_responses.map(natpmp.encode_response)
        | st.binary(max_size=70),
        st.floats(0, 5000),
    ),
    max_size=30,
)


@given(steps, st.binary(min_size=12, max_size=12))
def test_the_machine_survives_any_router(script: list[tuple[str, bytes, float]], nonce: bytes) -> None:
    client = PortControlClient(ROUTER, INTERNAL, nonce=nonce, random_bytes=lambda size: bytes(size))
    now = 0.0
    client.start(now)
    for what, data, wait_s in script:
        now += wait_s
        match what:
            case "answer":
                # Right in all that makes it ours; the rest is the script's.
                data = data[:24] + nonce + data[36:40] + (5000).to_bytes(2, "big") + data[42:]
                client.receive_datagram(data, ROUTER, now)
            case "announce":
                client.receive_announcement(data, ROUTER.host, now)
            case "check":
                client.check(now)
            case "refused":
                client.refused(now)
            case "stop":
                client.stop(now)
            case "start":
                client.start(now)
            case "time":
                client.handle_timer(now)
        for datagram in client.datagrams_to_send(now):
            assert datagram.destination == ROUTER
        while client.next_event() is not None:
            pass
        # A timer that is due is dealt with by one call, or the loop would spin.
        client.handle_timer(now)
        assert (at := client.get_timer()) is None or at > now
