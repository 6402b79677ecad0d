"""A running connection survives what happens to the network under it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.lab_play import Play, Traffic, is_direct, lab_factory, play

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]

__all__ = ["lab_factory", "play"]


def ip(play: Play, host: str, *commands: str) -> None:
    for command in commands:
        play.lab.run(host, ["ip", *command.split()])


def move(play: Play, host: str) -> None:
    """Give a host another address of its network, as another DHCP server would."""
    old = play.lab.address(host)
    network = old.rpartition(".")[0]
    ip(
        play,
        host,
        f"addr del {old}/24 dev eth0",
        f"addr add {network}.77/24 dev eth0",
        f"route add default via {network}.1",
    )


def survives(play: Play, traffic: Traffic, *, settle_s: float, within_s: float) -> None:
    """Data passes again, on one and the same session, and every byte arrives."""
    time.sleep(settle_s)
    before = traffic.received_bytes
    time.sleep(1)
    assert traffic.received_bytes > before
    traffic.finish()
    print(f"longest stall {traffic.longest_stall_s:.2f} s")
    assert not any(told.event == "session_closed" for told in play.dialer.told)
    assert traffic.longest_stall_s < within_s


@pytest.fixture
def traffic(play: Play) -> Iterator[Traffic]:
    play.wait_for(is_direct)
    traffic = Traffic(play.connect())
    time.sleep(1)
    yield traffic
    traffic.abort()


@pytest.mark.parametrize("router", ["d", "e"])
def test_the_router_gets_another_public_address(play: Play, traffic: Traffic, router: str) -> None:
    play.lab.readdress(router)
    survives(play, traffic, settle_s=6, within_s=4)


@pytest.mark.parametrize("router", ["d", "e"])
def test_the_router_reboots(play: Play, traffic: Traffic, router: str) -> None:
    play.lab.reboot(router)
    survives(play, traffic, settle_s=5, within_s=4)


@pytest.mark.parametrize("host", ["d1", "e1"])
def test_the_host_gets_another_address(play: Play, traffic: Traffic, host: str) -> None:
    move(play, host)
    survives(play, traffic, settle_s=4, within_s=3)


@pytest.mark.parametrize("host", ["d1", "e1"])
def test_the_interface_goes_down_and_comes_back(play: Play, traffic: Traffic, host: str) -> None:
    gateway = play.lab.address(host).rpartition(".")[0] + ".1"
    ip(play, host, "link set dev eth0 down")
    time.sleep(5)
    ip(play, host, "link set dev eth0 up", f"route add default via {gateway}")
    survives(play, traffic, settle_s=5, within_s=9)


@pytest.mark.parametrize("play", [("sym", "sym")], indirect=True)
@pytest.mark.parametrize("host", ["d1", "e1"])
def test_a_relayed_session_survives_another_address_of_the_host(play: Play, host: str) -> None:
    traffic = Traffic(play.connect())
    try:
        time.sleep(2)
        move(play, host)
        survives(play, traffic, settle_s=5, within_s=4)
    finally:
        traffic.abort()


@pytest.mark.parametrize("play", [("port", "port", "port")], indirect=True)
@pytest.mark.parametrize(("host", "keep"), [("d1", True), ("e1", True), ("d1", False)])
def test_the_default_route_moves_to_another_router(play: Play, host: str, *, keep: bool) -> None:
    play.wait_for(is_direct)
    traffic = Traffic(play.connect())
    try:
        time.sleep(1)
        play.lab.move(host, "x", keep=keep)
        survives(play, traffic, settle_s=4, within_s=4)
    finally:
        traffic.abort()
