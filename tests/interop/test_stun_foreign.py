"""Our STUN service before clients of other makes, and our clients before a server of another make."""

import asyncio
import os
import select
import shutil
import socket
import subprocess
import time

import pytest

from p2p.address import TransportAddress
from p2p.gather.lifetime import search_lifetime
from p2p.proto.stun.behaviour import BehaviourDiscovery
from p2p.proto.stun.client import BindingClient, BindingSucceeded
from p2p.proto.stun.lifetime import Lifetime
from p2p.proto.stun.nat import FilteringBehaviour, MappingBehaviour, NatBehaviour
from p2p.session.nat import Questions, examine_network
from p2p.session.options import PeerOptions
from tests.support.coturn import run_coturn
from tests.support.ports import free_port
from tests.support.stun_server import run_stun_server


@pytest.fixture(scope="module")
def server():
    """The server's addresses: two on 127.0.0.1, two on 127.0.0.2."""
    with run_stun_server() as addresses:
        yield addresses


def run(name, *arguments):
    """Run a foreign program and return what it printed and its exit code; skip where it is missing."""
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, errors="replace", timeout=60, check=False
    )
    return done.stdout + done.stderr, done.returncode


class TestForeignClients:
    def test_classic_client_of_debian(self, server):
        output, code = run("stun", str(server[0]))
        assert "Primary: Open" in output
        assert code == 1  # its bit for "hairpin works"

    def test_pystun3(self, server):
        stun = pytest.importorskip("stun", reason="pystun3 is not installed")
        name, host, port = stun.get_ip_info("127.0.0.1", free_port(), server[0].host, server[0].port)
        assert name == stun.OpenInternet
        assert host == "127.0.0.1"
        assert port

    def test_pystun3_with_one_ip_ends_with_a_verdict(self):
        stun = pytest.importorskip("stun", reason="pystun3 is not installed")
        with run_stun_server(["127.0.0.1"]) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.settimeout(0.1)
            own.bind(("127.0.0.1", 0))
            # The source address given is not the mapped one, as behind a NAT: all its tests are made.
            name, _ = stun.get_nat_type(own, "0.0.0.0", own.getsockname()[1], server[0].host, server[0].port)
        assert name == stun.RestricNAT

    @pytest.mark.parametrize("option", [[], ["-f"]])
    def test_turnutils_stunclient(self, server, option):
        output, code = run("turnutils_stunclient", *option, "-p", str(server[0].port), server[0].host)
        assert code == 0
        assert f"Other addr: : {server[3]}" in output
        assert f"Response origin: : {server[3]}" in output
        assert output.count("UDP reflexive addr: 127.0.0.1:") == 3

    @pytest.mark.parametrize(
        ("option", "verdict"),
        [
            (["-m"], "Endpoint Independent Mapping"),
            (["-f"], "NAT with Endpoint Independent Filtering!"),
            (["-m", "-f", "-P"], "NAT with Endpoint Independent Filtering!"),
            (["-H"], "Received a request (maybe a successful hairpinning)"),
        ],
    )
    def test_turnutils_natdiscovery(self, server, option, verdict):
        output, code = run(
            "turnutils_natdiscovery", *option, "-p", str(server[0].port), "-L", "127.0.0.1", server[0].host
        )
        assert code == 0
        assert verdict in output


def discover(servers) -> NatBehaviour:
    """Run our discovery over real sockets."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(BehaviourDiscovery.SOCKETS)]
    try:
        for own in sockets:
            own.bind(("127.0.0.1", 0))
        local = [TransportAddress.from_socket(own.getsockname()) for own in sockets]
        machine = BehaviourDiscovery(servers, local, os.urandom)
        machine.start(time.monotonic())
        while (timer := machine.get_timer()) is not None:
            for sent in machine.datagrams_to_send(time.monotonic()):
                sockets[sent.socket].sendto(sent.data, sent.destination)
            for own in select.select(sockets, [], [], max(0.0, timer - time.monotonic()))[0]:
                data, source = own.recvfrom(2048)
                source = TransportAddress.from_socket(source)
                machine.receive_datagram(data, source, time.monotonic(), sockets.index(own))
            machine.handle_timer(time.monotonic())
        return machine.behaviour
    finally:
        for own in sockets:
            own.close()


def test_our_discovery_before_our_server(server):
    behaviour = discover(server[:1])
    assert behaviour.udp is True
    assert behaviour.translated is False
    assert behaviour.filtering is FilteringBehaviour.ENDPOINT_INDEPENDENT
    assert len(behaviour.observations) == 5


@pytest.fixture(scope="module")
def coturn(tmp_path_factory):
    """A coturn with two IP addresses and two ports."""
    options = ["--listening-ip=127.0.0.2", f"--alt-listening-port={free_port()}"]
    with run_coturn(tmp_path_factory.mktemp("coturn"), *options) as running:
        yield running


class TestForeignServer:
    def test_binding(self, coturn):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.bind(("127.0.0.1", 0))
            own.settimeout(5)
            client = BindingClient(coturn.address, os.urandom)
            client.start(time.monotonic())
            for sent in client.datagrams_to_send(time.monotonic()):
                own.sendto(sent.data, sent.destination)
            data, source = own.recvfrom(2048)
            assert client.receive_datagram(data, TransportAddress.from_socket(source), time.monotonic())
            event = client.next_event()
            assert isinstance(event, BindingSucceeded)
            assert event.mapped_address == own.getsockname()
            assert event.other_address is not None
            assert event.response_origin == coturn.address

    def test_discovery(self, coturn):
        behaviour = discover([coturn.address])
        assert behaviour.mapping is MappingBehaviour.ENDPOINT_INDEPENDENT
        assert behaviour.filtering is FilteringBehaviour.ENDPOINT_INDEPENDENT
        assert len(behaviour.observations) == 5

    async def test_nat_command(self, coturn):
        with run_stun_server(["127.0.0.1"], 1) as plain:
            names = (str(plain[0]), str(coturn.address))
            report = await examine_network(PeerOptions(), Questions(stun=names))
        assert [bool(server.other_address) for server in report.servers] == [False, True]
        assert report.facts.mapping == "none"
        assert report.facts.filtering == "none"
        assert report.classic_name == "open internet"
        assert set(report.unknown) == {"hairpinning", "port_mapping"} or not report.ipv6.reachable

    async def test_lifetime_search(self, coturn):
        result = await search_lifetime(coturn.address, limit_s=1.0, stop=asyncio.Event())
        assert result == Lifetime(at_least_s=1.0, is_done=True)
