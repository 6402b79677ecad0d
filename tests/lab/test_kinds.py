"""Each kind of router does what it says: `lab selftest`, kind by kind, and what the modifiers do."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import replace

import pytest
from natlab.kinds import KINDS, Kind
from natlab.lab import Lab
from natlab.modifiers import MODIFIERS, Modifier
from natlab.selftest import differences, examine
from natlab.topology import Router, Topology

from tests.support.lab import LAB_COMMAND, LabFactory, lab_factory, routers
from tests.support.lab_traffic import Echo, Mirror, round_trip_s, seen_from, tcp_pair, udp_at

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


@pytest.mark.parametrize("modifier", MODIFIERS, ids=lambda modifier: f"{modifier.name}-{modifier.value}")
def test_modifier(lab_factory: LabFactory, modifier: Modifier) -> None:
    assert modifier.look(lab_factory(modifier.topology)) == modifier.wanted


def test_selftest_command_tells_by_its_exit_code() -> None:
    result = subprocess.run(
        [sys.executable, str(LAB_COMMAND), "selftest", "--kinds", "port,symseq", "--modifiers", "hairpin"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 kinds, 3 modifiers" in result.stdout


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


def test_customers_of_a_carrier_meet(lab_factory: LabFactory) -> None:
    topology = Topology(
        name="test",
        routers=(
            Router(name="cgn", kind="sym", hosts=1),
            Router(name="a", kind="port", uplink="cgn"),
            Router(name="b", kind="port", uplink="cgn"),
        ),
    )
    lab = lab_factory(topology)
    # Customers of one carrier reach each other's outside address without its translation.
    with Echo(lab, "cgn1"):
        assert round_trip_s(lab, "a1", to="cgn1") is not None


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
