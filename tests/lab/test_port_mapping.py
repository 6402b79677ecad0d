"""A router that forwards ports, as the real programs meet it: two random sides are direct."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from natlab.hosts import LabHosts
from natlab.programs import find_program
from natlab.topology import Router, Topology

from p2p.address import TransportAddress
from p2p.proto.portmap import pcp
from tests.support.lab import LAB_COMMAND, LabFactory, lab_factory

__all__ = ["lab_factory"]

MISSING = shutil.which("miniupnpd") is None
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(MISSING, reason="miniupnpd is not installed (package miniupnpd-nftables)"),
]


def test_two_random_sides_are_direct_where_a_router_forwards(tmp_path: Path) -> None:
    record = tmp_path / "cells.json"
    flags = ["--scenarios", "portmap-there", "--runs", "1", "--jobs", "1", "--check", "--json", str(record)]
    result = subprocess.run(
        [sys.executable, str(LAB_COMMAND), "matrix", *flags], capture_output=True, text=True, timeout=90, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (cell,) = json.loads(record.read_text())["cells"]
    assert (cell["direct"], cell["relay"]) == (1, 0)


def test_its_port_mapper_ends_with_the_lab(lab_factory: LabFactory) -> None:
    lab = lab_factory(Topology(name="test", ipv6=False, routers=(Router(name="a", kind="sym", portmap=True),)))
    listening = lab.run("a", ["ss", "-lnup"]).stdout
    assert ":5351" in listening
    assert lab.address("a").startswith("11.51.100.")
    (process,) = lab._state.port_mappers.values()
    path = lab._state.port_mapper_path("a")
    assert path.is_file()
    lab.down()
    assert not Path(f"/proc/{process.pid}").exists()
    assert not path.exists()


def test_a_reboot_starts_it_anew(lab_factory: LabFactory) -> None:
    lab = lab_factory(Topology(name="test", ipv6=False, routers=(Router(name="a", kind="sym", portmap=True),)))
    (before,) = lab._state.port_mappers.values()
    lab.reboot("a")
    (after,) = lab._state.port_mappers.values()
    assert after != before
    assert not Path(f"/proc/{before.pid}/stat").exists() or ") Z " in Path(f"/proc/{before.pid}/stat").read_text()
    assert ":5351" in lab.run("a", ["ss", "-lnup"]).stdout


def until(what: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 8.0
    while not what():
        assert time.monotonic() < ends_at
        time.sleep(0.05)


def opened(lab: LabHosts) -> set[int]:
    """The ports that the router lets in, of either address family."""
    return {int(port) for port in re.findall(r"th dport (\d+)", lab.run("a", ["nft", "list", "ruleset"]).stdout)}


def test_a_router_that_reboots_is_asked_again_at_once(lab_factory: LabFactory, tmp_path: Path) -> None:
    lab = lab_factory(Topology(name="test", routers=(Router(name="a", kind="sym", portmap=True),)))
    # As in any home, the router of IPv6 is known by its address on the link, which its announcements come from.
    router = lab.run("a", ["ip", "-6", "-o", "addr", "show", "dev", "lan", "scope", "link"]).stdout.split()[3]
    lab.run("a1", ["ip", "-6", "route", "replace", "default", "via", router.partition("/")[0], "dev", "eth0"])
    homes = {name: str(tmp_path) for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
    command = [*find_program(), "expose", "8080", "-r", "ws://198.51.100.10", "--timeout", "60s"]
    started_at = time.monotonic()
    program = lab.popen(
        "a1", command, env={**os.environ, **homes}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: len(opened(lab)) == 2)
        before = opened(lab)
        # A clock tells of a restart only when it has gone for a while.
        time.sleep(max(0.0, started_at + 4.0 - time.monotonic()))
        lab.reboot("a")
        until(lambda: opened(lab) == before)
    finally:
        program.kill()
        program.wait()


def test_a_pinhole_lets_in_who_was_never_sent_to(lab_factory: LabFactory) -> None:
    a, b = Router(name="a", kind="sym", portmap=True), Router(name="b")
    lab = lab_factory(Topology(name="test", routers=(a, b)))
    with lab.entered("a1"):
        ours = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with lab.entered("b1"):
        theirs = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.bind(("::", 5000))
        ours.settimeout(0.3)
        inside, router = lab._plans["a"].host_address6(0), lab._plans["a"].lan6
        theirs.sendto(b"too early", (inside, 5000))
        with pytest.raises(TimeoutError):
            ours.recv(2000)
        ours.settimeout(5.0)
        ours.sendto(pcp.encode_map(inside, nonce=bytes(12), internal_port=5000, lifetime_s=600), (router, 5351))
        mapped = pcp.decode_response_untrusted(ours.recv(2000)).mapping
        assert mapped is not None
        assert mapped.external == TransportAddress(inside, 5000)
        theirs.sendto(b"hello", (inside, 5000))
        assert ours.recv(2000) == b"hello"
