"""Each kind of router does what it says: `lab selftest`, kind by kind, and what the modifiers do."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from natlab.kinds import KINDS, Kind
from natlab.lab import Lab
from natlab.selftest import differences, examine
from natlab.topology import Router, Topology

from tests.support.lab import LAB_COMMAND, LabFactory, lab_factory, routers
from tests.support.lab_traffic import Echo, Mirror, exchange_s, round_trip_s, seen_from, tcp_pair, udp_at

pytestmark = pytest.mark.root

__all__ = ["lab_factory"]


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_kind(lab_factory: LabFactory, kind: Kind) -> None:
    lab = lab_factory(routers(hosts=2, ipv6=True, r=kind.name))
    assert differences(kind, examine(lab, "r")) == []


def test_a_wrong_kind_is_noticed(lab_factory: LabFactory) -> None:
    lab = lab_factory(routers(hosts=2, ipv6=True, r="sym"))
    found = differences(KINDS["port"], examine(lab, "r"))
    assert "mapping is APD, not EI" in found
    assert "port kept is no, not yes" in found


def test_selftest_command_tells_by_its_exit_code() -> None:
    result = subprocess.run(
        [sys.executable, str(LAB_COMMAND), "selftest", "--kinds", "port,symseq"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 kinds" in result.stdout


@pytest.mark.parametrize("kind", ["port-np", "full-np", "sym"])
def test_reboot_forgets_mappings(lab_factory: LabFactory, kind: str) -> None:
    lab = lab_factory(routers(a=kind))
    with Mirror(lab, "srv"), udp_at(lab, "a1") as udp:
        before = seen_from(lab, udp)
        assert seen_from(lab, udp) == before
        lab.reboot("a")
        assert seen_from(lab, udp) != before


def test_readdress_changes_the_public_address_and_back(lab_factory: LabFactory) -> None:
    lab = lab_factory(routers(a="full"))
    with Mirror(lab, "srv"), udp_at(lab, "a1") as udp:
        first = lab.address("a")
        assert seen_from(lab, udp)[0] == first
        second = lab.readdress("a")
        assert second != first
        assert seen_from(lab, udp)[0] == second
        assert lab.readdress("a") == first
        assert seen_from(lab, udp)[0] == first


@pytest.mark.parametrize("kind", ["full", "port-np"])
def test_mapping_lives_as_long_as_it_is_used(lab_factory: LabFactory, kind: str) -> None:
    topology = routers(a=kind)
    lab = lab_factory(replace(topology, routers=(replace(topology.routers[0], lifetime_s=1),)))
    with Mirror(lab, "srv"), udp_at(lab, "a1") as udp:
        before = seen_from(lab, udp)
        for _ in range(4):
            time.sleep(0.5)
            assert seen_from(lab, udp) == before
        # The kernel looks for what has expired now and then; it is never early.
        time.sleep(2.5)
        with udp_at(lab, "srv", 9) as late:
            late.sendto(b"too late", before)
            with pytest.raises(TimeoutError):
                _receive(udp)


def _receive(udp: socket.socket) -> bytes:
    udp.settimeout(0.3)
    return udp.recv(100)


@pytest.mark.parametrize("kind", ["full", "port", "linux"])
def test_hairpin(lab_factory: LabFactory, kind: str) -> None:
    def reaches_its_neighbour(lab: Lab) -> bool:
        with Mirror(lab, "srv"), udp_at(lab, "a1") as one, udp_at(lab, "a2") as two:
            outside_one, outside_two = seen_from(lab, one), seen_from(lab, two)
            # Both send, as two peers do: a filter may let in only whom it sent to.
            for _ in range(2):
                one.sendto(b"to two", outside_two)
                two.sendto(b"to one", outside_one)
                time.sleep(0.05)
            try:
                return _receive(one) == b"to one" and _receive(two) == b"to two"
            except TimeoutError:
                return False

    router = Router(name="a", kind=kind, hosts=2)
    assert not reaches_its_neighbour(lab_factory(Topology(name="test", routers=(router,))))
    assert reaches_its_neighbour(lab_factory(Topology(name="test", routers=(replace(router, hairpin=True),))))


def test_carrier_translates_twice(lab_factory: LabFactory) -> None:
    topology = Topology(
        name="test",
        routers=(
            Router(name="cgn", kind="sym", hosts=1),
            Router(name="a", kind="port", uplink="cgn"),
            Router(name="b", kind="port", uplink="cgn"),
        ),
    )
    lab = lab_factory(topology)
    with Mirror(lab, "srv"), udp_at(lab, "a1") as udp:
        assert seen_from(lab, udp)[0] == lab.address("cgn")
    assert lab.address("a").startswith("100.64.")
    # Customers of one carrier reach each other's outside address without its translation.
    with Echo(lab, "cgn1"):
        assert round_trip_s(lab, "a1", to="cgn1") is not None


def test_session_cap(lab_factory: LabFactory) -> None:
    router = Router(name="a", kind="linux", session_cap=10)
    lab = lab_factory(Topology(name="test", routers=(router,), ipv6=False))
    with Echo(lab, "srv"):
        answered = 0
        for _ in range(15):
            with udp_at(lab, "a1") as udp:
                answered += exchange_s(udp, (lab.address("srv"), 7)) is not None
    assert answered == 10


def test_router_that_accepts_early_packets_moves_the_port(lab_factory: LabFactory) -> None:
    router = Router(name="r", kind="linux", hosts=2, wan_input="accept")
    lab = lab_factory(Topology(name="test", routers=(router,)))
    assert "an early packet from outside moved the mapping" in differences(KINDS["linux"], examine(lab, "r"))


@pytest.mark.parametrize("offload", [True, False])
def test_offload_can_be_switched_off(lab_factory: LabFactory, *, offload: bool) -> None:
    lab = lab_factory(replace(routers(a="open"), offload=offload))
    assert (_largest_tcp_packet(lab) > 1514) is offload


def _largest_tcp_packet(lab: Lab) -> int:
    with lab.entered("srv"):
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    with sniffer, tcp_pair(lab, "a1", "srv") as (client, server):
        sniffer.bind(("eth0", 0x0800))
        sniffer.settimeout(0.5)
        client.sendall(bytes(200_000))
        received = 0
        while received < 200_000:
            received += len(server.recv(1 << 16))
        largest = 0
        try:
            while True:
                largest = max(largest, len(sniffer.recv(1 << 17)))
        except TimeoutError:
            return largest
