"""The choice of a path, as a table."""

import pytest

from p2p import defaults
from p2p.address import TransportAddress
from p2p.proto.ice import RelayProtocol
from p2p.proto.path import Path, PathKind, PathView, SelectionReason, choose, choose_second

V4 = TransportAddress("192.0.2.1", 1)
V6 = TransportAddress("2001:db8::1", 1)


def direct(base_id=0, remote=V4):
    return Path(base_id, remote, PathKind.DIRECT)


def relay(base_id=1, protocol=RelayProtocol.UDP):
    return Path(base_id, V4, PathKind.RELAY, protocol)


OPTIMISTIC = Path(1, V4, PathKind.RELAY, validated=False)
UDP, TCP, TLS = (relay(10 + n, protocol) for n, protocol in enumerate(RelayProtocol))


@pytest.mark.parametrize(
    ("views", "current", "path", "reason"),
    [
        # nothing present
        ([PathView(UDP, 0.01)], None, UDP, SelectionReason.FIRST),
        ([PathView(UDP, 0.01)], OPTIMISTIC, UDP, SelectionReason.FIRST),
        ([PathView(UDP, 0.01), PathView(direct(), 0.5)], None, direct(), SelectionReason.FIRST),
        ([PathView(TLS, 0.01), PathView(TCP, 0.02), PathView(UDP, 0.3)], None, UDP, SelectionReason.FIRST),
        ([PathView(TLS, 0.01), PathView(TCP, 0.02)], None, TCP, SelectionReason.FIRST),
        # a better kind at once, whatever the round-trip time
        ([PathView(UDP, 0.01), PathView(direct(), 0.5)], UDP, direct(), SelectionReason.DIRECT),
        ([PathView(TCP, 0.01), PathView(UDP, 0.5)], TCP, UDP, SelectionReason.RELAY_PROTOCOL),
        # never a lesser kind while the present one lives
        ([PathView(direct(), 0.5), PathView(UDP, 0.01)], direct(), direct(), SelectionReason.KEPT),
        ([PathView(direct(), 0.5, doubtful=True), PathView(UDP, 0.01)], direct(), direct(), SelectionReason.KEPT),
        # within a kind
        ([PathView(direct(0), 0.030), PathView(direct(1), 0.026)], direct(0), direct(0), SelectionReason.KEPT),
        ([PathView(direct(0), 0.030), PathView(direct(1), 0.020)], direct(0), direct(1), SelectionReason.QUICKER),
        ([PathView(direct(0), 0.200), PathView(direct(1), 0.185)], direct(0), direct(0), SelectionReason.KEPT),
        ([PathView(direct(0), 0.200), PathView(direct(1), 0.170)], direct(0), direct(1), SelectionReason.QUICKER),
        ([PathView(direct(0), None), PathView(direct(1), 0.1)], direct(0), direct(1), SelectionReason.QUICKER),
        ([PathView(direct(0), 0.1), PathView(direct(1), None)], direct(0), direct(0), SelectionReason.KEPT),
        ([PathView(direct(0), 0.02, doubtful=True), PathView(direct(1), 0.3)], direct(0), direct(1), "doubt"),
        ([PathView(direct(0), 0.3), PathView(direct(1), 0.02, doubtful=True)], direct(0), direct(0), "kept"),
        # IPv6
        ([PathView(direct(0), 0.020), PathView(direct(1, V6), 0.022)], None, direct(1, V6), SelectionReason.FIRST),
        ([PathView(direct(0), 0.020), PathView(direct(1, V6), 0.024)], None, direct(0), SelectionReason.FIRST),
        # the peer's choice
        ([PathView(UDP, 0.08), PathView(relay(2), 0.08, nominated=True)], UDP, relay(2), "peer"),
        ([PathView(UDP, 0.08), PathView(relay(2), 0.12, nominated=True)], UDP, UDP, SelectionReason.KEPT),
        ([PathView(UDP, 0.08, nominated=True), PathView(relay(2), 0.07)], UDP, UDP, SelectionReason.KEPT),
        # lost, and come back too often
        ([PathView(UDP, 0.08)], direct(), UDP, SelectionReason.LOST),
        ([PathView(UDP, 0.08), PathView(direct(), 0.01, held=True)], UDP, UDP, SelectionReason.KEPT),
        ([PathView(direct(), 0.01, held=True)], UDP, direct(), SelectionReason.LOST),
        ([PathView(direct(), 0.01, doubtful=True), PathView(UDP, 0.08)], None, UDP, SelectionReason.FIRST),
    ],
)
def test_choice(views, current, path, reason):
    reason = {"doubt": SelectionReason.DOUBT, "kept": SelectionReason.KEPT, "peer": SelectionReason.PEER_CHOICE}.get(
        reason, reason
    )
    assert choose(views, current) == (path, reason)
    assert choose(views[::-1], current) == (path, reason)


def test_no_path_no_choice():
    assert choose([], None) is None
    assert choose([], UDP) is None


def test_two_paths_do_not_take_turns():
    views = [PathView(direct(0), 0.020), PathView(direct(1), 0.020 - defaults.PATH_RTT_GAIN_S / 2)]
    for current in (direct(0), direct(1)):
        assert choose(views, current) == (current, SelectionReason.KEPT)


def test_second_path_is_the_best_other_one():
    views = [PathView(direct(0), 0.01, doubtful=True), PathView(UDP, 0.08), PathView(TCP, 0.05)]
    assert choose_second(views, direct(0)) == UDP
    assert choose_second(views, UDP) == TCP
    assert choose_second(views[:1], direct(0)) is None
    assert choose_second([*views[:1], PathView(UDP, 0.08, doubtful=True)], direct(0)) == UDP
