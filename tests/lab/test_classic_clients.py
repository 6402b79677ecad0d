"""Foreign RFC 3489 clients behind each kind of router, against our STUN responder: the classic verdict is right."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from natlab.lab import Lab

from tests.support.lab import LabFactory, lab_factory, routers
from tests.support.stun_server import run_stun_server

pytestmark = pytest.mark.root

__all__ = ["lab_factory"]

SERVER = ("198.51.100.10", "203.0.113.10")

# Verdict of the `stun` program (Debian's stun-client) and of pystun3.
VERDICTS = {
    "open": ("Open", "Open Internet"),
    "fw": ("Firewall", "Symmetric UDP Firewall"),
    "full": ("Independent Mapping, Independent Filter, preserves ports, no hairpin", "Full Cone"),
    "addr": ("Independent Mapping, Address Dependent Filter, preserves ports, no hairpin", "Restric NAT"),
    "port": ("Independent Mapping, Port Dependent Filter, preserves ports, no hairpin", "Restric Port NAT"),
    "full-np": ("Independent Mapping, Independent Filter, random port, no hairpin", "Full Cone"),
    "addr-np": ("Independent Mapping, Address Dependent Filter, random port, no hairpin", "Restric NAT"),
    "port-np": ("Independent Mapping, Port Dependent Filter, random port, no hairpin", "Restric Port NAT"),
    "linux": ("Independent Mapping, Port Dependent Filter, preserves ports, no hairpin", "Restric Port NAT"),
    "adm": ("Dependent Mapping, random port, no hairpin", "Symmetric NAT"),
    "pool": ("Dependent Mapping, preserves ports, no hairpin", "Symmetric NAT"),
    "sym": ("Dependent Mapping, random port, no hairpin", "Symmetric NAT"),
    "symseq": ("Dependent Mapping, random port, no hairpin", "Symmetric NAT"),
    "udpblock": ("Blocked or could not reach STUN server", "Blocked"),
}

# pystun3 waits 2 s for each of three tries; in a lab without delay a tenth of that is plenty.
PYSTUN = """
import socket, sys, stun
host, server = sys.argv[1:]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.settimeout(0.3)
    udp.bind((host, 5432))
    print(stun.get_nat_type(udp, host, 5432, stun_host=server, stun_port=3478)[0])
"""


@contextmanager
def stun_server(lab: Lab) -> Iterator[None]:
    """Our responder on the server's two addresses and the two ports that RFC 3489 clients expect."""
    server = run_stun_server(SERVER, ports=(3478, 3479))
    with lab.entered("srv"):
        server.__enter__()
    try:
        yield
    finally:
        server.__exit__(None, None, None)


@pytest.mark.skipif(shutil.which("stun") is None, reason="the program stun (package stun-client) is not installed")
@pytest.mark.parametrize("kind", VERDICTS)
def test_stun_client(lab_factory: LabFactory, kind: str) -> None:
    lab = lab_factory(routers(a=kind))
    with stun_server(lab):
        # Its exit code is its verdict.
        output = lab.run("a1", ["stun", SERVER[0]], check=False).stdout
    assert [line.partition(": ")[2].strip() for line in output.splitlines() if line.startswith("Primary")] == [
        VERDICTS[kind][0]
    ]


@pytest.mark.parametrize("kind", VERDICTS)
def test_pystun3(lab_factory: LabFactory, kind: str) -> None:
    lab = lab_factory(routers(a=kind))
    with stun_server(lab):
        result = lab.run("a1", [sys.executable, "-c", PYSTUN, lab.address("a1"), SERVER[0]])
    assert result.stdout.strip() == VERDICTS[kind][1]
