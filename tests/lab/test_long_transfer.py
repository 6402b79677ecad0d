"""Many gigabytes through one connection whose session changes its path every few seconds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from natlab.cell import wait_for_server
from natlab.lab import CUT_UDP_PEER, Lab
from natlab.observed import ObservedProgram
from natlab.plan import SERVER
from natlab.programs import Programs, find_program

from tests.support.lab import LabFactory, lab_factory, routers

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(1800)]

__all__ = ["lab_factory"]

SIZE = int(float(os.environ.get("P2P_SOAK_GB", "40")) * 1e9)
SWITCH_S = 5.0
SETTLED_S = 10.0
GROWTH_MAX = 1.25
BLOCKS = [sys.executable, "-m", "tests.support.numbered_blocks"]
REPOSITORY = Path(__file__).resolve().parents[2]


def private_bytes(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(size) << 10 for size in re.findall(r"^Private_\w+:\s+(\d+) kB", rollup, re.MULTILINE))


@contextmanager
def started(lab: Lab, host: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = lab.popen(host, [*BLOCKS, *arguments], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize("engine", ["qh3", "aioquic"])
def test_every_byte_of_a_long_transfer_arrives_over_changing_paths(lab_factory: LabFactory, engine: str) -> None:
    size = SIZE if engine == "qh3" else SIZE // 8
    lab = lab_factory(routers(d="port", e="port"))
    folder = Path(tempfile.mkdtemp(prefix="p2p-test-"))
    stop = threading.Event()
    try:
        with ExitStack() as stack:
            programs = Programs(find_program(), folder, flags=("--engine", engine))

            def start(host: str, name: str, command: list[str]) -> ObservedProgram:
                return stack.enter_context(ObservedProgram.of(programs, lab, host, name, command, stop=stop))

            wait_for_server(lab, start(SERVER, "serve", programs.serve()), stop)
            source = stack.enter_context(started(lab, "e1", "serve", str(size)))
            assert source.stdout is not None
            exposer = start("e1", "expose", programs.expose(int(source.stdout.readline())))
            ticket = str(exposer.require("ready", within_s=20).values["ticket"])
            dialer = start("d1", "connect", programs.connect(ticket))
            port = str(dialer.require("listening", within_s=20).values["address"]).rpartition(":")[2]
            dialer.require("connected", within_s=20)
            reader = stack.enter_context(started(lab, "d1", "read", port))
            memory: dict[str, list[int]] = {"exposer": [], "dialer": []}
            said: list[str] = []

            def follow() -> None:
                assert reader.stdout is not None
                said.extend(line.strip() for line in reader.stdout)

            following = threading.Thread(target=follow)
            following.start()
            began_at, is_cut = time.monotonic(), False
            while following.is_alive():
                following.join(SWITCH_S)
                is_cut = not is_cut
                lab.cut("d", CUT_UDP_PEER) if is_cut else lab.restore("d")
                if time.monotonic() > began_at + SETTLED_S and following.is_alive():
                    for name, program in (("exposer", exposer), ("dialer", dialer)):
                        memory[name].append(private_bytes(program.pid))
            took_s = time.monotonic() - began_at
            paths = [told.values["path"] for told in dialer.told if told.event == "path"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{size / 1e9:g} GB in {took_s:.0f} s, {size * 8e-6 / took_s:.0f} Mbit/s, {len(paths)} changes of the path")
    for name, samples in memory.items():
        print(f"{name}: {samples[0] >> 20} MiB after {SETTLED_S:g} s, {samples[-1] >> 20} MiB at the end")
    assert said[-1] == f"{size // (1 << 20) * (1 << 20)} whole"
    assert {"relay", "direct"} <= set(paths)
    for samples in memory.values():
        assert max(samples) < GROWTH_MAX * samples[0] + (16 << 20)
