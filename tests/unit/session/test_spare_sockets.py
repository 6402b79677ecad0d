"""Sockets of one session alone: their ports are even, so that a NAT that keeps parity gives them ports of one row."""

from types import SimpleNamespace

import pytest

from p2p.address import TransportAddress
from p2p.errors import ConnectivityError
from p2p.session.spare_sockets import SpareSockets


class Endpoint:
    """Gives the ports it is told to where any will do; some are taken."""

    def __init__(self, *chosen, taken=()):
        self._chosen = list(chosen)
        self._taken = set(taken)
        self.open = {}

    def open_socket(self, local, *, is_spare):
        assert is_spare
        port = local.port or self._chosen.pop(0)
        if port in self._taken:
            raise ConnectivityError("in use")
        base_id = 1 + max(self.open, default=0)
        self.open[base_id] = port
        return SimpleNamespace(base_id=base_id, local_address=TransportAddress("0.0.0.0", port))

    def remove(self, base_id):
        del self.open[base_id]


@pytest.mark.parametrize(
    ("chosen", "taken", "port"), [(40000, (), 40000), (40001, (), 40000), (40001, (40000,), 40001)]
)
def test_ports_are_even_where_they_can_be(chosen, taken, port):
    endpoint, taker = Endpoint(chosen, taken=taken), object()
    spare = SpareSockets(endpoint)
    base = spare.open(taker)
    assert list(endpoint.open.values()) == [port] == [base.local_address.port]
    assert spare.taker(base.base_id) is taker
    spare.close(base.base_id)
    assert not endpoint.open
    assert spare.taker(base.base_id) is None


def test_no_socket_at_all_is_an_error():
    with pytest.raises(ConnectivityError):
        SpareSockets(Endpoint(40001, taken=(40001,))).open(object())
