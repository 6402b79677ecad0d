"""PCP and NAT-PMP messages as RFC 6887 and RFC 6886 draw them, and the rules for a router's clock."""

import pytest

from p2p.address import TransportAddress
from p2p.errors import DecodeError
from p2p.proto.portmap import natpmp, pcp
from p2p.proto.portmap.epoch import NatPmpEpoch, PcpEpoch
from p2p.proto.portmap.mapping import MappingProtocol, PortMapping, is_public

NONCE = bytes(range(12))


def test_pcp_map_request_is_laid_out_as_in_the_rfc() -> None:
    data = pcp.encode_map(
        "192.168.1.7",
        nonce=NONCE,
        internal_port=5000,
        lifetime_s=3600,
        suggested=TransportAddress("0.0.0.0", 6000),
    )
    assert data.hex(" ", -4) == (
        "02010000 00000e10 00000000 00000000 0000ffff c0a80107 00010203 04050607 08090a0b 11000000 13881770 "
        "00000000 00000000 0000ffff 00000000"
    )


def test_pcp_map_request_without_a_wish_has_the_family_of_the_client() -> None:
    assert pcp.encode_map("2001:db8::7", nonce=NONCE, internal_port=1, lifetime_s=0)[-16:] == bytes(16)


def test_pcp_map_response_is_read() -> None:
    data = bytes.fromhex(
        "02810000 00000258 00000007 00000000 00000000 00000000 00010203 04050607 08090a0b 11000000 13881770 "
        "00000000 00000000 0000ffff 08080808"
    )
    response = pcp.decode_response_untrusted(data)
    assert response == pcp.PcpResponse(
        pcp.PcpOpcode.MAP, 0, 600, 7, pcp.PcpMap(NONCE, 5000, TransportAddress("8.8.8.8", 6000))
    )
    assert pcp.encode_map_response(response) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(24),
        bytes.fromhex("0281") + bytes(1100),
        bytes.fromhex("02010000") + bytes(20),
        bytes.fromhex("02810000") + bytes(20),
        bytes.fromhex("02810000") + bytes(21),
        bytes.fromhex("02810000 00000258 00000007") + bytes(24) + bytes.fromhex("06000000") + bytes(20),
        bytes.fromhex("02810000 00000258 00000007") + bytes(24) + bytes.fromhex("11000000 13880000") + bytes(16),
    ],
    ids=["empty", "version", "long", "request", "no mapping", "odd", "tcp", "no port"],
)
def test_what_is_no_pcp_response_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        pcp.decode_response_untrusted(data)


def test_results_have_names() -> None:
    assert pcp.result_name(2) == "NOT_AUTHORIZED"
    assert pcp.result_name(200) == "200"
    assert natpmp.result_name(4) == "OUT_OF_RESOURCES"
    assert natpmp.result_name(77) == "77"


def test_nat_pmp_requests_are_laid_out_as_in_the_rfc() -> None:
    assert natpmp.encode_address_request() == b"\0\0"
    request = natpmp.encode_map_request(internal_port=5000, suggested_port=6000, lifetime_s=3600)
    assert request.hex(" ", -4) == "00010000 13881770 00000e10"


def test_nat_pmp_responses_are_read() -> None:
    address = natpmp.decode_response_untrusted(bytes.fromhex("00800000 00000007 08080808"))
    assert address == natpmp.NatPmpAddress(7, "8.8.8.8")
    mapped = natpmp.decode_response_untrusted(bytes.fromhex("00810000 00000007 13881770 00000e10"))
    assert mapped == natpmp.NatPmpMapped(7, 5000, 6000, 3600)
    refused = natpmp.decode_response_untrusted(bytes.fromhex("00810002 00000007"))
    assert refused == natpmp.NatPmpRefused(7, 2, is_about_port=True)


def test_a_router_without_pcp_is_understood_whatever_opcode_it_repeats() -> None:
    refused = natpmp.decode_response_untrusted(bytes.fromhex("00 9f 0001 00000000"))
    assert refused == natpmp.NatPmpRefused(0, natpmp.NatPmpResult.UNSUPPORTED_VERSION, is_about_port=False)


@pytest.mark.parametrize(
    "data", ["0080", "0080000000000007", "008000000000000700000000", "00810000000000071388000000000e10", "00820000" * 3]
)
def test_what_is_no_nat_pmp_response_is_refused(data: str) -> None:
    with pytest.raises(DecodeError):
        natpmp.decode_response_untrusted(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("first", "second", "is_valid"),
    [
        ((100, 0.0), (160, 60.0), True),
        ((100, 0.0), (99, 0.1), True),
        ((100, 0.0), (98, 0.1), False),
        ((100, 0.0), (0, 60.0), False),
        # A sixteenth and two seconds of disagreement, either way.
        ((0, 0.0), (1000, 936.0), True),
        ((0, 0.0), (1000, 930.0), False),
        ((0, 0.0), (936, 1000.0), True),
        ((0, 0.0), (930, 1000.0), False),
        # Asleep, our clock stood still.
        ((100, 0.0), (4000, 5.0), False),
    ],
)
def test_pcp_epoch(first: tuple[int, float], second: tuple[int, float], is_valid: bool) -> None:
    epoch = PcpEpoch()
    assert epoch.is_valid(*first)
    assert epoch.is_valid(*second) is is_valid
    # What was heard last is what the next is held against.
    assert epoch.is_valid(second[0] + 1, second[1] + 1)


def test_nat_pmp_epoch_may_be_slow_or_ahead_but_not_back() -> None:
    for seconds, is_valid in ((870, True), (872, True), (5000, True), (870 - 5, False), (0, False)):
        epoch = NatPmpEpoch()
        assert epoch.is_valid(0, 0.0)
        assert epoch.is_valid(seconds, 996.0) is is_valid, seconds


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1", True),
        ("10.0.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("198.51.100.1", False),
        ("192.0.0.1", False),
        ("127.0.0.1", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("0.0.0.0", False),
        ("fe80::1", False),
        ("fd00::1", False),
    ],
)
def test_public_addresses(host: str, expected: bool) -> None:
    assert is_public(host) is expected


def test_a_mapping_that_translates_nothing_is_a_pinhole() -> None:
    inside = TransportAddress("2606:4700::1", 5000)
    assert PortMapping(MappingProtocol.PCP, inside, inside, 60).is_pinhole
    assert not PortMapping(MappingProtocol.PCP, inside, TransportAddress("2606:4700::2", 5000), 60).is_pinhole
