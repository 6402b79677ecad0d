"""Topologies and links as written in files: what is taken, what is refused and how that is said."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from ipaddress import ip_address, ip_interface

import pytest
from natlab.errors import LabError
from natlab.kinds import KINDS
from natlab.links import queueing_commands
from natlab.plan import SERVER_ADDRESSES, plan_routers
from natlab.shapes import (
    LINKS_FOLDER,
    LinkShape,
    load_shape,
    parse_duration_s,
    parse_loss,
    parse_rate_bps,
    shape_from_json,
    shape_to_json,
)
from natlab.topology import (
    TOPOLOGIES_FOLDER,
    Router,
    Topology,
    load_topology,
    parse_topology,
    topology_from_json,
    topology_to_json,
)


def parse(text: str) -> Topology:
    return parse_topology(tomllib.loads(text), name="test")


@pytest.mark.parametrize("name", sorted(path.stem for path in TOPOLOGIES_FOLDER.glob("*.toml")))
def test_topologies_of_the_repository_are_valid(name: str) -> None:
    topology = load_topology(name)
    assert plan_routers(topology)
    assert topology_from_json(topology_to_json(topology)) == topology


@pytest.mark.parametrize("name", sorted(path.stem for path in LINKS_FOLDER.glob("*.toml")))
def test_links_of_the_repository_are_valid(name: str) -> None:
    shape = load_shape(name)
    assert shape.delays
    assert shape_from_json(shape_to_json(shape)) == shape


def test_default_link_is_for_routers_on_the_internet_only() -> None:
    topology = parse(
        'link = { delay = "20ms", loss = "1%", rate = "50mbit" }\n'
        "[routers.cgn]\nhosts = 0\n[routers.a]\nuplink = 'cgn'\n[routers.b]\nlink = 'ocean'\n"
    )
    links = {router.name: router.link for router in topology.routers}
    assert links["cgn"] == LinkShape(delay_s=0.02, loss=0.01, rate_bps=50_000_000)
    assert links["a"] == LinkShape()
    assert links["b"] == load_shape("ocean")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no routers"),
        ("speed = 1\n[routers.a]", "unknown keys: speed"),
        ("[routers.a]\nkind = 'cone'", "no kind of router named 'cone'"),
        ("[routers.a]\nkinds = 'sym'", "unknown keys: kinds"),
        ("[routers.a]\nhosts = 13", "13 hosts"),
        ("[routers.a]\nhosts = true", "hosts is True"),
        ("[routers.a]\nlifetime = '30s'", "whole seconds"),
        ("[routers.a]\nlifetime = 0", "at least 1 s"),
        ("[routers.a]\nwan_input = 'maybe'", "wan_input is 'maybe'"),
        ("[routers.a]\nsession_full = 'wait'", "session_full is 'wait'"),
        ("[routers.a]\nsession_full = 'evict'", "session_cap is 0"),
        ("[routers.a]\nfamily = 'ipv5'", "family is 'ipv5'"),
        ("[routers.a]\nisolated = 1", "isolated is 1"),
        ("[routers.a]\nportmap = 1", "portmap is 1"),
        ('[routers.a]\nkind = "fw"\nportmap = true', "no ports to forward"),
        ("ipv6 = false\n[routers.a]\nfamily = 'ipv6'", "no address at all"),
        ("[routers.b]\n[routers.a]\nkind = 'fw'\nuplink = 'b'", "translates no addresses"),
        ("[routers.srv]", "'srv' is no name"),
        ("[routers.A]", "'A' is no name"),
        ("[routers.a]\nhosts = 2\n[routers.a2]", "a2 is used twice"),
        ("[routers.a]\nuplink = 'b'\n[routers.b]", "does not come before"),
        ("[routers.b]\nkind = 'open'\n[routers.a]\nuplink = 'b'", "cannot be behind b"),
        ("[routers.b]\n[routers.a]\nuplink = 'b'\nlink = { delay = '1ms' }", "cannot be shaped"),
        ("[routers.a]\nlink = { latency = '1ms' }", "unknown keys: latency"),
        ("[routers.a]\nlink = 'carrierpigeon'", "no link named 'carrierpigeon'"),
        ("[routers.a]\nlink = { loss = '101%' }", "out of range"),
        ("[routers.a]\nlink = { delay = '11s' }", "out of range"),
    ],
)
def test_what_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(LabError) as caught:
        parse(text)
    assert complaint in str(caught.value)


def test_no_such_topology_names_those_there_are() -> None:
    with pytest.raises(LabError, match=r"(?s)nonsense.*pair"):
        load_topology("nonsense")


@pytest.mark.parametrize(("text", "seconds"), [("20ms", 0.02), ("0.5s", 0.5), ("300us", 0.0003), ("0", 0.0)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["20", "-1ms", "1m", "", "ms"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(LabError):
        parse_duration_s(text)


def test_rates_and_losses() -> None:
    assert parse_rate_bps("512kbit") == 512_000
    assert parse_rate_bps("1.5gbit") == 1_500_000_000
    assert parse_rate_bps("0") == 0
    assert parse_loss("0.1%") == pytest.approx(0.001)
    for wrong in ("50", "50mbps"):
        with pytest.raises(LabError):
            parse_rate_bps(wrong)
    with pytest.raises(LabError):
        parse_loss("0.1")


def test_no_address_is_given_twice() -> None:
    kinds = list(KINDS)
    topology = Topology(
        name="big",
        routers=tuple(Router(name=f"r{chr(97 + n)}", kind=kinds[n], hosts=12) for n in range(12)),
    )
    plans = plan_routers(topology)
    seen = list(SERVER_ADDRESSES)
    for router, plan in zip(topology.routers, plans.values(), strict=True):
        wan = ip_interface(f"{plan.wan}/{plan.wan_prefix}").network
        lan = ip_interface(f"{plan.lan}/{plan.lan_prefix}").network
        assert ip_address(plan.gateway) in wan
        hosts = [plan.host_address(index) for index in range(router.hosts)]
        assert all(ip_address(address) in lan for address in hosts)
        assert lan.broadcast_address not in [ip_address(address) for address in hosts]
        seen += [plan.wan, plan.gateway, plan.lan, *hosts]
    assert len(seen) == len(set(seen))
    with pytest.raises(LabError, match="too many"):
        plan_routers(replace(topology, routers=(*topology.routers, Router(name="one"))))


NOTHING = LinkShape()


@pytest.mark.parametrize(
    ("old", "new", "netem", "commands"),
    [
        (NOTHING, LinkShape(delay_s=0.02), False, []),
        (
            NOTHING,
            LinkShape(rate_bps=20_000_000),
            False,
            ["qdisc add dev x root handle 10: tbf rate 20000000bit burst 16000b latency 100000us"],
        ),
        (LinkShape(rate_bps=1), NOTHING, False, ["qdisc del dev x root"]),
        (
            NOTHING,
            LinkShape(delay_s=0.02, jitter_s=0.001, rate_bps=80_000_000),
            True,
            [
                "qdisc add dev x root handle 1: netem limit 100000 delay 20000us 1000us",
                "qdisc add dev x parent 1:1 handle 10: tbf rate 80000000bit burst 40000b latency 100000us",
            ],
        ),
        (
            LinkShape(delay_s=0.02),
            LinkShape(delay_s=0.03),
            True,
            ["qdisc del dev x root", "qdisc add dev x root handle 1: netem limit 100000 delay 30000us"],
        ),
    ],
)
def test_commands_for_rate_and_delay(old: LinkShape, new: LinkShape, netem: bool, commands: list[str]) -> None:
    assert queueing_commands("x", old, new, netem=netem).splitlines() == commands
