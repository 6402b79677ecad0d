"""Paths that carry less than others: tunnels, and networks that drop long packets without a word."""

from __future__ import annotations

import time

import pytest

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


def test_a_link_of_1280_bytes_is_wide_enough_for_the_direct_path(play: Play) -> None:
    # As much as IPv6 asks of every link, and less than any tunnel in use leaves.
    for router in ("d", "e"):
        play.lab.run("inet", ["ip", "link", "set", "dev", router, "mtu", "1280"])
        play.lab.run(router, ["ip", "link", "set", "dev", "wan", "mtu", "1280"])
    play.wait_for(is_direct)
    traffic = Traffic(play.connect())
    time.sleep(3)
    before = traffic.received_bytes
    time.sleep(1)
    assert traffic.received_bytes > before
    traffic.finish()
    assert is_direct([told for told in play.dialer.told if told.event in ("path", "connected")][-1])


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
