"""One network and no server: tickets with addresses, multicast DNS, and who else is there."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from natlab.lab import Lab
from natlab.observed import ObservedProgram
from natlab.programs import Programs, find_program

from p2p.address import TransportAddress
from p2p.identity import Ticket
from p2p.proto.direct import lan_label
from tests.support.lab import LabFactory, lab_factory, routers
from tests.support.lab_play import echo_on

__all__ = ["lab_factory"]

pytestmark = pytest.mark.root

EXPOSER, DIALER, OTHER = "a1", "a2", "a3"

WATCH = """
import asyncio, json
from zeroconf import ServiceStateChange
from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

def tell(zeroconf, service_type, name, state_change):
    if state_change is not ServiceStateChange.Updated:
        print(json.dumps({"event": state_change.name.lower(), "name": name}), flush=True)

async def main():
    zeroconf = AsyncZeroconf()
    AsyncServiceBrowser(zeroconf.zeroconf, ["_p2p-toolkit._udp.local."], handlers=[tell])
    print(json.dumps({"event": "watching"}), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
"""What anybody on the network can see."""

IMPOSTER = """
import asyncio, json, socket, sys
from p2p.address import TransportAddress
from p2p.gather.multicast import LanAnnouncement

async def main():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((sys.argv[2], 0))
    sock.setblocking(False)
    async with LanAnnouncement(sys.argv[1], [TransportAddress(sys.argv[2], sock.getsockname()[1])]):
        print(json.dumps({"event": "announced"}), flush=True)
        while True:
            data, source = await asyncio.get_running_loop().sock_recvfrom(sock, 2048)
            print(json.dumps({"event": "called", "kind": data[2]}), flush=True)
            sock.sendto(data, source)

asyncio.run(main())
"""
"""Has seen the label in the air, announces it too, and gives back what it gets."""


class Lan:
    """Three hosts behind one router, whose internet nobody uses."""

    def __init__(self, lab: Lab, folder: Path, stack: ExitStack) -> None:
        self.lab = lab
        self._stop = threading.Event()
        self._programs = Programs(find_program(), folder)
        self._folder = folder
        self.stack = stack
        self._count = 0

    def start(self, host: str, *command: str) -> ObservedProgram:
        self._count += 1
        name = f"{host}-{self._count}"
        return self.stack.enter_context(
            ObservedProgram(
                self.lab,
                host,
                list(command),
                environment=self._programs.environment(name),
                log=self._folder / f"{name}.log",
                stop=self._stop,
            )
        )

    def python(self, host: str, script: str, *arguments: str) -> ObservedProgram:
        return self.start(host, sys.executable, "-c", script, *arguments)

    def expose(self) -> tuple[ObservedProgram, Ticket]:
        exposer = self.start_exposer(EXPOSER)
        return exposer, self.ticket(exposer)

    def start_exposer(self, host: str) -> ObservedProgram:
        port = self.stack.enter_context(echo_on(self.lab, host))
        return self.start(host, *self._programs.command, "expose", str(port), "--lan", "--json")

    def ticket(self, exposer: ObservedProgram) -> Ticket:
        return Ticket.parse(str(exposer.require("ready", within_s=20).values["ticket"]))

    def connect(self, ticket: Ticket, *flags: str, host: str = DIALER) -> ObservedProgram:
        words = ("connect", ticket.encode(), "--json", "--listen", "127.0.0.1:0", *flags)
        return self.start(host, *self._programs.command, *words)

    def exchange(self, dialer: ObservedProgram, host: str = DIALER) -> None:
        """Every byte comes back, and on a direct path."""
        connected = dialer.require("connected", within_s=20).values
        assert connected["path"] == "direct"
        port = int(str(dialer.require("listening", within_s=1).values["address"]).rpartition(":")[2])
        payload = os.urandom(100_000)
        with self.lab.entered(host):
            sock = socket.create_connection(("127.0.0.1", port), timeout=20)
        with sock:
            sender = threading.Thread(target=sock.sendall, args=(payload,))
            sender.start()
            received = b""
            while len(received) < len(payload):
                received += sock.recv(1 << 16)
            sender.join()
        assert received == payload


@pytest.fixture
def lan(lab_factory: LabFactory, tmp_path: Path) -> Iterator[Lan]:
    with ExitStack() as stack:
        yield Lan(lab_factory(routers(a="port", hosts=3, ipv6=True)), tmp_path, stack)


def test_one_network_is_enough(lan: Lan) -> None:
    watcher = lan.python(OTHER, WATCH)
    watcher.require("watching", within_s=20)
    exposer, ticket = lan.expose()
    assert not ticket.rendezvous_urls
    assert {address.host for address in ticket.direct_addresses} == {"10.4.0.11", "2001:db8:4::11"}
    seen = str(watcher.require("added", within_s=10).values["name"])
    assert seen.startswith(lan_label(ticket.secret, ticket.peer_id.public_key, ticket.service))
    assert str(ticket.peer_id) not in seen
    assert ticket.service not in seen
    # By its addresses, where multicast is dropped; then by multicast DNS, as after the addresses have changed.
    lan.lab.run(DIALER, ["nft", "add table inet t; add chain inet t i { type filter hook input priority 0; }"])
    lan.lab.run(DIALER, ["nft", "add rule inet t i udp sport 5353 drop"])
    lan.exchange(lan.connect(ticket))
    lan.lab.run(DIALER, ["nft", "delete table inet t"])
    lan.exchange(lan.connect(replace(ticket, direct_addresses=())))
    # What was announced is taken back at the end.
    exposer.__exit__(None, None, None)
    watcher.require("removed", within_s=10)


def test_a_host_in_two_networks_is_found_by_either_protocol(lab_factory: LabFactory, tmp_path: Path) -> None:
    """It is announced on both of its interfaces, in either protocol, and found by name from both networks."""
    lab = lab_factory(routers(a="port", b="port", hosts=2, ipv6=True))
    lab.move(EXPOSER, "b", keep=True)
    lab.run("a2", ["ip", "-6", "addr", "flush", "dev", "eth0"])
    lab.run("b1", ["ip", "-4", "addr", "flush", "dev", "eth0"])
    with ExitStack() as stack:
        lan = Lan(lab, tmp_path, stack)
        _, ticket = lan.expose()
        by_name = replace(ticket, direct_addresses=())
        for host, family in (("a2", False), ("b1", True)):
            dialer = lan.connect(by_name, host=host)
            lan.exchange(dialer, host)
            path = TransportAddress.parse(str(dialer.require("connected", within_s=1).values["address"]))
            assert path.is_ipv6 is family


def test_ten_peers_on_one_network(lab_factory: LabFactory, tmp_path: Path) -> None:
    """Five services and five dialers, all at once, by name: everyone finds his own."""
    count = 5
    with ExitStack() as stack:
        lan = Lan(lab_factory(routers(a="port", hosts=2 * count)), tmp_path, stack)
        exposers = [lan.start_exposer(f"a{number}") for number in range(1, count + 1)]
        tickets = [lan.ticket(exposer) for exposer in exposers]
        hosts = [f"a{number}" for number in range(count + 1, 2 * count + 1)]
        dialers = [
            lan.connect(replace(ticket, direct_addresses=()), host=host)
            for ticket, host in zip(tickets, hosts, strict=True)
        ]
        for ticket, host, dialer in zip(tickets, hosts, dialers, strict=True):
            lan.exchange(dialer, host)
            assert dialer.require("connected", within_s=1).values["peer"] == str(ticket.peer_id)


def test_multicast_that_is_not_possible_is_told(lan: Lan) -> None:
    """Another program keeps the port to itself; the ticket's addresses work all the same."""
    for host in (EXPOSER, DIALER):
        with lan.lab.entered(host):
            keeper = lan.stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        keeper.bind(("::", 5353))
    exposer, ticket = lan.expose()
    assert exposer.require("error", within_s=5).values["code"] == "P2P-4104"
    lan.exchange(lan.connect(ticket))
    lost = lan.connect(replace(ticket, direct_addresses=()), "--timeout", "2s")
    problem = lost.require("error", within_s=20).values
    assert problem["code"] == "P2P-3302"
    assert "multicast DNS" in problem["detail"]
    assert "in use" in problem["detail"]


def test_who_answers_without_the_ticket_gets_nowhere(lan: Lan) -> None:
    exposer, ticket = lan.expose()
    label = lan_label(ticket.secret, ticket.peer_id.public_key, ticket.service)
    imposter = lan.python(OTHER, IMPOSTER, label, "10.4.0.13")
    imposter.require("announced", within_s=20)
    dialer = lan.connect(ticket)
    lan.exchange(dialer)
    connected = dialer.require("connected", within_s=1).values
    assert connected["peer"] == str(ticket.peer_id)
    assert "10.4.0.13" not in str(connected["address"])
    # Where the exposer is not, it is called, and hears nothing but calls.
    exposer.__exit__(None, None, None)
    lost = lan.connect(replace(ticket, direct_addresses=()), "--timeout", "4s")
    problem = lost.require("error", within_s=20).values
    assert problem["code"] == "P2P-3302"
    assert "10.4.0.13" in problem["detail"]
    heard = [told.values["kind"] for told in imposter.told if told.event == "called"]
    assert heard
    assert set(heard) == {1}


def test_nothing_answers(lan: Lan) -> None:
    exposer, ticket = lan.expose()
    exposer.__exit__(None, None, None)
    began = time.monotonic()
    dialer = lan.connect(ticket, "--timeout", "2s")
    problem = dialer.require("error", within_s=20).values
    assert time.monotonic() - began >= 2
    assert problem["code"] == "P2P-3302"
    for tried in ("multicast DNS on", "10.4.0.12", *map(str, ticket.direct_addresses)):
        assert tried in problem["detail"]
