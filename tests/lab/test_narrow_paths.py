"""Paths that carry less than others: tunnels, and networks that drop long packets without a word."""

from __future__ import annotations

import time

import pytest

from p2p.defaults import QUIC_NARROW_AFTER_S
from tests.support.lab_play import Play, Traffic, is_direct, is_relay, lab_factory, play

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

__all__ = ["lab_factory", "play"]

# Longer than any check without padding, shorter than a full packet: between the two homes only.
_BLACK_HOLE = """
table inet narrow {
    chain forward {
        type filter hook forward priority 0;
        iifname { "d", "e" } oifname { "d", "e" } meta length > 1000 drop
    }
}
"""


@pytest.mark.parametrize("play", [("port", "port"), ("sym", "sym")], indirect=True, ids=["direct", "relay"])
def test_plain_ethernet_carries_long_packets(play: Play, request: pytest.FixtureRequest) -> None:
    play.wait_for(is_direct if "direct" in request.node.name else is_relay)
    play.wait_for_packets_of(1452)
    traffic = Traffic(play.connect())
    time.sleep(1)
    traffic.finish()
    assert traffic.received_bytes > 500_000
    assert traffic.longest_stall_s < 0.5


@pytest.mark.parametrize(("mtu", "size"), [(1420, 1352), (1280, 1200)])
def test_a_narrow_link_is_used_for_what_it_carries(play: Play, mtu: int, size: int) -> None:
    # A usual tunnel; and what IPv6 asks of every link, less than any tunnel in use leaves.
    play.set_mtu(mtu)
    for router in ("d", "e"):
        play.lab.run(router, ["ip", "link", "set", "dev", "wan", "mtu", str(mtu)])
    play.wait_for(is_direct)
    traffic = Traffic(play.connect())
    time.sleep(3)
    before = traffic.received_bytes
    play.wait_for_packets_of(size)
    # Long enough for the packets to have become shorter, too.
    time.sleep(QUIC_NARROW_AFTER_S)
    assert traffic.received_bytes > before
    traffic.finish()
    assert traffic.longest_stall_s < 1
    assert is_direct([told for told in play.dialer.told if told.event in ("path", "connected")][-1])


def test_a_path_that_becomes_narrow_under_data_is_kept_and_nothing_stands_still(play: Play) -> None:
    play.wait_for(is_direct)
    traffic = Traffic(play.connect())
    play.wait_for_packets_of(1452)
    time.sleep(1)
    told = len(play.dialer.told)
    play.set_mtu(1280)
    play.wait_for_packets_of(1200)
    time.sleep(2)
    play.set_mtu(1500)
    time.sleep(1)
    traffic.finish()
    assert not [line for line in play.dialer.told[told:] if line.event == "path"]
    print(f"longest stall {traffic.longest_stall_s:.2f} s")
    assert traffic.longest_stall_s < 1


def test_a_direct_path_that_drops_full_packets_is_left_and_nothing_stands_still(play: Play) -> None:
    play.wait_for(is_direct)
    traffic = Traffic(play.connect())
    time.sleep(1)
    told = len(play.dialer.told)
    play.lab.run("inet", ["nft", _BLACK_HOLE])
    play.wait_for(lambda line: is_relay(line) and line in play.dialer.told[told:], within_s=10)
    time.sleep(12)
    traffic.finish()
    paths = [line for line in play.dialer.told[told:] if line.event == "path"]
    assert all(is_relay(line) for line in paths), paths
    print(f"longest stall {traffic.longest_stall_s:.2f} s")
    assert traffic.longest_stall_s < 6
