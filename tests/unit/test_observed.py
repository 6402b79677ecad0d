import ipaddress

import pytest

from p2p.address import TransportAddress
from p2p.proto.observed import is_within, observed_address

PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128"))
CLIENT = TransportAddress("203.0.113.7", 5000)
PROXY = TransportAddress("10.0.0.1", 40000)


@pytest.mark.parametrize(
    ("socket_address", "header", "expected"),
    [
        (CLIENT, None, CLIENT),
        (CLIENT, "198.51.100.1", CLIENT),
        (PROXY, None, PROXY),
        (PROXY, "", PROXY),
        (PROXY, "198.51.100.1", ("198.51.100.1", 0)),
        (PROXY, "198.51.100.1:1234", ("198.51.100.1", 1234)),
        (PROXY, "[2001:db8::1]:1234", ("2001:db8::1", 1234)),
        (PROXY, "2001:db8::1", ("2001:db8::1", 0)),
        (PROXY, "6.6.6.6, 198.51.100.1", ("198.51.100.1", 0)),
        (PROXY, "6.6.6.6, 198.51.100.1, 10.0.0.2", ("198.51.100.1", 0)),
        (PROXY, "10.0.0.3, 10.0.0.2", ("10.0.0.3", 0)),
        (PROXY, "198.51.100.1, unknown", PROXY),
        (PROXY, "nonsense", PROXY),
    ],
)
def test_the_header_is_believed_as_far_as_trusted_proxies_wrote_it(
    socket_address: TransportAddress, header: str | None, expected: tuple[str, int]
) -> None:
    assert observed_address(socket_address, header, PROXIES) == expected


def test_without_trusted_proxies_the_socket_counts() -> None:
    assert observed_address(PROXY, "198.51.100.1", ()) == PROXY


def test_what_is_no_address_is_within_nothing() -> None:
    assert not is_within("rv.example.com", PROXIES)
    assert not is_within("", PROXIES)
