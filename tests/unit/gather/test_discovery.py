"""Whose word on the NAT counts."""

import pytest

from p2p.address import TransportAddress
from p2p.gather.discovery import servers_to_test

V4 = (TransportAddress("192.0.2.1", 3478), TransportAddress("192.0.2.2", 3478))
V6 = (TransportAddress("2001:db8::1", 3478), TransportAddress("2001:db8::2", 3478))


@pytest.mark.parametrize(
    ("servers", "families", "chosen"),
    [
        ((*V6, *V4), {False, True}, V4),
        ((*V6, *V4), {False}, V4),
        ((*V6, *V4), {True}, V6),
        (V6, {False, True}, V6),
        (V4, {True}, V4),
        ((*V6, *V4), set(), V4),
    ],
)
def test_servers_of_a_family_that_we_have_tell_of_the_nat(servers, families, chosen):
    assert servers_to_test(servers, families) == list(chosen)
