"""A lab as such: built, used from several processes, disturbed, taken down, and nothing left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from natlab.errors import LabError
from natlab.lab import CUT_SERVER, CUT_UDP_PEER, Lab
from natlab.state import STATE_FOLDER

from tests.support.lab import LAB_COMMAND, LabFactory, lab_factory, routers, unique_prefix
from tests.support.lab_traffic import Echo, Mirror, round_trip_s, seen_from, tcp_pair, udp_at

pytestmark = pytest.mark.root

__all__ = ["lab_factory"]


def lab_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(LAB_COMMAND), *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def runs(pid: int) -> bool:
    try:
        return state_of(pid) != "Z"
    except FileNotFoundError:
        return False


def test_life_of_a_lab_on_the_command_line(tmp_path: Path) -> None:
    prefix = unique_prefix()
    topology = tmp_path / "two.toml"
    topology.write_text('link = { delay = "1ms" }\n[routers.a]\nkind = "sym"\n[routers.b]\nkind = "full"\n')
    try:
        up = lab_command("up", str(topology), "--prefix", prefix)
        assert (up.returncode, up.stdout.strip()) == (0, prefix), up.stderr
        delay_line = json.loads((STATE_FOLDER / f"{prefix}.json").read_text())["delay_line"]

        assert prefix in lab_command("list").stdout
        seen = lab_command("exec", prefix, "a1", "--", "ip", "-4", "-o", "addr", "show", "eth0")
        assert "10.4.0.11/24" in seen.stdout
        assert lab_command("exec", prefix, "a1", "--", "sh", "-c", "exit 7").returncode == 7
        assert "loss 2.000%" in lab_command("link", prefix, "b", "--loss", "2%").stdout
        assert "loss 2.000%" in lab_command("link", prefix, "b").stdout
        assert lab_command("reboot", prefix, "a").returncode == 0

        again = lab_command("up", str(topology), "--prefix", prefix)
        assert again.returncode == 2
        assert "is up already" in again.stderr
        stranger = lab_command("exec", prefix, "c1", "--", "true")
        assert stranger.returncode == 2
        assert "has no 'c1'" in stranger.stderr
    finally:
        assert lab_command("down", prefix).returncode == 0
    assert lab_command("down", prefix).returncode == 0
    assert prefix not in lab_command("list").stdout
    assert not [name for name in os.listdir("/run/netns") if name.startswith(f"{prefix}-")]
    assert delay_line is None or not runs(delay_line[0])


def test_only_its_own_namespaces_are_deleted(lab_factory: LabFactory) -> None:
    lab = lab_factory(routers(a="open"))
    foreign = f"{lab.prefix}-foreign"
    subprocess.run(["ip", "netns", "add", foreign], check=True)
    try:
        lab.down()
        assert Path("/run/netns", foreign).exists()
    finally:
        subprocess.run(["ip", "netns", "del", foreign], check=True)


def test_namespace_of_another_is_not_taken_over() -> None:
    prefix = unique_prefix()
    subprocess.run(["ip", "netns", "add", f"{prefix}-srv"], check=True)
    try:
        with pytest.raises(LabError, match="are not the lab's"):
            Lab.up(routers(a="open"), prefix=prefix)
        assert Path("/run/netns", f"{prefix}-srv").exists()
    finally:
        subprocess.run(["ip", "netns", "del", f"{prefix}-srv"], check=True)


def test_two_labs_do_not_see_each_other(lab_factory: LabFactory) -> None:
    one, two = lab_factory(routers(a="port")), lab_factory(routers(a="port"))
    with Echo(one, "srv"):
        assert round_trip_s(one, "a1") is not None
        assert round_trip_s(two, "a1") is None


def test_delay_of_each_link_and_direction(lab_factory: LabFactory) -> None:
    lab = lab_factory(routers(a="port", b="open", delay_s=0.02))
    with Echo(lab, "srv"), Echo(lab, "b1"):
        to_server = round_trip_s(lab, "a1")
        to_host = round_trip_s(lab, "a1", to="b1")
    assert to_server is not None
    assert to_host is not None
    # Delays are lower bounds; how much later a packet is depends on the machine.
    assert 0.0399 < to_server < 0.06
    assert 0.0799 < to_host < 0.11


def test_what_a_router_sends_back_in_is_not_delayed(lab_factory: LabFactory) -> None:
    topology = routers(hosts=2, delay_s=0.05, a="full")
    lab = lab_factory(replace(topology, routers=(replace(topology.routers[0], hairpin=True),)))
    with Mirror(lab, "srv"), udp_at(lab, "a1") as one, udp_at(lab, "a2") as two:
        outside = seen_from(lab, two)
        started_at = time.monotonic()
        one.sendto(b"to my neighbour", outside)
        two.settimeout(1)
        assert two.recv(100) == b"to my neighbour"
        assert time.monotonic() - started_at < 0.05


def test_delay_changes_while_packets_flow(lab_factory: LabFactory) -> None:
    lab = lab_factory(routers(a="port"))
    with Echo(lab, "srv"):
        before = round_trip_s(lab, "a1")
        lab.set_link("a", delay_s=0.03)
        after = round_trip_s(lab, "a1")
        lab.set_link("a", delay_s=0.0)
        at_last = round_trip_s(lab, "a1")
    assert before is not None
    assert before < 0.02
    assert after is not None
    assert after >= 0.0599
    assert at_last is not None
    assert at_last < 0.02


def test_loss(lab_factory: LabFactory) -> None:
    lab = lab_factory(routers(a="open"))
    lab.set_link("a", loss=0.2)
    with Echo(lab, "srv"), udp_at(lab, "a1") as udp:
        udp.settimeout(0.3)
        for number in range(2000):
            udp.sendto(number.to_bytes(2, "big"), (lab.address("srv"), 7))
            if number % 50 == 49:
                time.sleep(0.002)
        answers = 0
        try:
            while udp.recv(100):
                answers += 1
        except TimeoutError:
            pass
    # 0.8 * 0.8 of 2000 come back; the bounds are five standard deviations away.
    assert 1170 < answers < 1390


def test_rate_bounds_tcp(lab_factory: LabFactory) -> None:
    lab = lab_factory(routers(a="open"))
    lab.set_link("a", rate_bps=20_000_000)
    started_at = time.monotonic()
    with tcp_pair(lab, "a1", "srv") as (client, server), ThreadPoolExecutor() as pool:
        sending = pool.submit(client.sendall, bytes(1_000_000))
        received = 0
        while received < 1_000_000:
            received += len(server.recv(1 << 16))
        sending.result()
    took_s = time.monotonic() - started_at
    # 8 Mbit at 20 Mbit/s take 0.4 s, less what the bucket lets through at once.
    assert took_s > 0.3


def test_cut_of_peers_leaves_the_server(lab_factory: LabFactory) -> None:
    lab = lab_factory(routers(a="open", b="open"))
    with Echo(lab, "srv"), Echo(lab, "b1"):
        assert round_trip_s(lab, "a1", to="b1") is not None
        lab.cut("a", CUT_UDP_PEER)
        assert round_trip_s(lab, "a1", to="b1") is None
        assert round_trip_s(lab, "a1") is not None
        lab.cut("a", CUT_SERVER)
        assert round_trip_s(lab, "a1", to="b1") is not None
        assert round_trip_s(lab, "a1") is None
        lab.cut("a")
        assert round_trip_s(lab, "a1", to="b1") is None
        assert round_trip_s(lab, "a1") is None
        lab.restore("a")
        assert round_trip_s(lab, "a1", to="b1") is not None
        assert round_trip_s(lab, "a1") is not None


def test_another_process_disturbs_a_lab(lab_factory: LabFactory) -> None:
    lab = lab_factory(routers(a="port"))
    with Echo(lab, "srv"):
        assert lab_command("link", lab.prefix, "a", "--delay", "15ms").returncode == 0
        delayed = round_trip_s(lab, "a1")
        assert delayed is not None
        assert delayed >= 0.0299
        assert lab_command("cut", lab.prefix, "a").returncode == 0
        assert round_trip_s(lab, "a1") is None
        assert lab_command("restore", lab.prefix, "a").returncode == 0
        assert round_trip_s(lab, "a1") is not None
    # This process did not start the delay line, but ends it.
    pid = json.loads((STATE_FOLDER / f"{lab.prefix}.json").read_text())["delay_line"]
    lab.down()
    assert pid is None or not runs(pid[0])


def test_host_moves_to_another_router_and_back(lab_factory: LabFactory) -> None:
    lab = lab_factory(routers(ipv6=True, a="port", b="full"))
    home = lab.address("a1"), lab.address6("a1")
    with Mirror(lab, "srv"), udp_at(lab, "a1") as udp:
        assert seen_from(lab, udp)[0] == lab.address("a")
        moved = lab_command("move", lab.prefix, "a1", "b", "--keep")
        assert moved.returncode == 0, moved.stderr
        assert seen_from(lab, udp)[0] == lab.address("b")
        seen = Lab.attach(lab.prefix)
        assert seen.address("a1") == moved.stdout.strip() != home[0]
        assert seen.address6("a1") != home[1]
        # Another process moved it, this one moves it on; both interfaces are there by then.
        lab.move("a1", "a")
        assert (lab.address("a1"), lab.address6("a1")) == home
        assert seen_from(lab, udp)[0] == lab.address("a")
        lab.move("a1", "b")
        assert seen_from(lab, udp)[0] == lab.address("b")
        assert "10.4.0." not in lab.run("a1", ["ip", "-4", "addr"]).stdout
    with pytest.raises(LabError, match="already"):
        lab.move("a1", "b")
    with pytest.raises(LabError, match="no host 'c1'"):
        lab.move("c1", "b")


def test_host_sleeps_and_wakes(lab_factory: LabFactory) -> None:
    lab = lab_factory(routers(a="port", b="port"))
    with lab.popen("a1", ["sleep", "60"]) as sleeper, Echo(lab, "srv"):
        assert lab_command("sleep", lab.prefix, "a1").stdout == "a1: 1 program\n"
        assert state_of(sleeper.pid) == "T"
        assert round_trip_s(lab, "a1") is None
        assert round_trip_s(lab, "b1") is not None
        assert lab.wake("a1") == 1
        assert state_of(sleeper.pid) in ("R", "S")
        assert round_trip_s(lab, "a1") is not None
        sleeper.kill()


def test_guests_see_the_router_but_not_each_other(lab_factory: LabFactory) -> None:
    topology = routers(hosts=2, a="port")
    lab = lab_factory(replace(topology, routers=(replace(topology.routers[0], isolated=True),)))
    with Echo(lab, "srv"), Echo(lab, "a2"):
        assert round_trip_s(lab, "a1") is not None
        assert round_trip_s(lab, "a1", to="a2") is None


@pytest.mark.parametrize(("family", "there", "missing"), [("ipv4", "inet", "inet6"), ("ipv6", "inet6", "inet")])
def test_hosts_of_one_address_family(lab_factory: LabFactory, family: str, there: str, missing: str) -> None:
    topology = routers(ipv6=True, a="fw")
    lab = lab_factory(replace(topology, routers=(replace(topology.routers[0], family=family),)))
    shown = lab.run("a1", ["ip", "-o", "addr", "show", "dev", "eth0", "scope", "global"]).stdout.split()
    assert there in shown
    assert missing not in shown


def test_a_lab_that_others_took_down_stays_down(lab_factory: LabFactory) -> None:
    lab = lab_factory(routers(a="open"))
    assert lab_command("down", lab.prefix).returncode == 0
    with pytest.raises(LabError, match="is up"):
        lab.reboot("a")
    with Lab.up(routers(a="open"), prefix=lab.prefix) as successor:
        lab.down()
        assert successor.run("a1", ["true"]).returncode == 0
        with pytest.raises(LabError, match="was taken down"):
            lab.cut("a")


@pytest.mark.parametrize("arguments", [("reboot", "nolab", "a"), ("exec", "nolab", "a1", "--", "true")])
def test_no_such_lab(arguments: tuple[str, ...]) -> None:
    result = lab_command(*arguments)
    assert result.returncode == 2
    assert "is up" in result.stderr


def test_up_and_down_are_fast(lab_factory: LabFactory) -> None:
    best_up_s = best_down_s = 10.0
    for _ in range(3):
        started_at = time.monotonic()
        lab = lab_factory(routers(a="port", b="sym", delay_s=0.02))
        up_at = time.monotonic()
        lab.down()
        best_up_s = min(best_up_s, up_at - started_at)
        best_down_s = min(best_down_s, time.monotonic() - up_at)
    # The best of three on an idle machine is 0.08 s and 0.003 s; a busy one gets five times as much.
    assert best_up_s < 0.4
    assert best_down_s < 0.05
