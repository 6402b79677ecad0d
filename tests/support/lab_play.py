"""A connection through the lab that is watched while the network changes under it.

Use it so::

    from tests.support.lab_play import Play, Traffic, is_direct, lab_factory, play


    def test_something(play: Play) -> None:
        play.wait_for(is_direct)
        traffic = Traffic(play.connect())
        ...
        traffic.finish()
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from natlab.cell import wait_for_server
from natlab.lab import Lab
from natlab.observed import ObservedProgram, Told
from natlab.plan import SERVER
from natlab.programs import Programs, find_program

from tests.support.lab import LabFactory, lab_factory, routers

__all__ = ["Play", "Traffic", "echo_on", "is_direct", "is_relay", "lab_factory", "play"]

CHUNK = bytes(range(256)) * 64


class Play:
    """Two homes, a server, an exposed echo service and a connection through the forward."""

    def __init__(self, lab: Lab, folder: Path, stack: ExitStack) -> None:
        self.lab = lab
        self.stop = threading.Event()
        self._stack = stack
        self._programs = Programs(find_program(), folder)
        self.server = self.start_server()
        port = stack.enter_context(echo_on(lab, "e1"))
        self.exposer = self._start("e1", "expose", self._programs.expose(port))
        ticket = str(self.exposer.require("ready", within_s=20).values["ticket"])
        self.dialer = self._start("d1", "connect", self._programs.connect(ticket))
        listening = self.dialer.require("listening", within_s=20)
        self.port = int(str(listening.values["address"]).rpartition(":")[2])
        self.dialer.require("connected", within_s=20)

    def start_server(self) -> ObservedProgram:
        server = self._start(SERVER, f"serve-{time.monotonic_ns()}", self._programs.serve())
        wait_for_server(self.lab, server, self.stop)
        return server

    def kill_server(self) -> None:
        self.server.kill()

    def wait_for(self, wanted: Callable[[Told], bool], within_s: float = 20.0) -> Told:
        found = self.dialer.wait_for(wanted, until=time.monotonic() + within_s)
        assert found is not None, [told.values for told in self.dialer.told]
        return found

    def session(self, side: str) -> dict[str, Any]:
        """What `p2p status` says of the session on one side, ``expose`` or ``connect``."""
        told = subprocess.run(
            [*find_program(), "status", "--json"],
            env=dict(self._programs.environment(side)),
            capture_output=True,
            check=True,
        )
        (process,) = json.loads(told.stdout)["processes"]
        session: dict[str, Any] = process["sessions"][0]
        return session

    def wait_for_packets_of(self, size: int, within_s: float = 5.0) -> None:
        """Wait until both sides send packets of this size, in bytes, on the path in use."""
        until = time.monotonic() + within_s
        while (found := [self.session(side)["packet_bytes"] for side in ("expose", "connect")]) != [size, size]:
            assert time.monotonic() < until, found
            time.sleep(0.05)

    def set_mtu(self, mtu: int) -> None:
        """Make both homes' links narrow, or wide again, towards the homes."""
        for router in ("d", "e"):
            self.lab.run("inet", ["ip", "link", "set", "dev", router, "mtu", str(mtu)])

    def connect(self) -> socket.socket:
        with self.lab.entered("d1"):
            return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def _start(self, host: str, name: str, command: list[str]) -> ObservedProgram:
        program = ObservedProgram.of(self._programs, self.lab, host, name, command, stop=self.stop)
        return self._stack.enter_context(program)


@contextmanager
def echo_on(lab: Lab, host: str) -> Iterator[int]:
    with lab.entered(host):
        listener = socket.create_server(("127.0.0.1", 0))

    def serve(peer: socket.socket) -> None:
        with peer:
            while data := peer.recv(1 << 16):
                peer.sendall(data)

    def accept() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(peer,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


class Traffic:
    """Sends numbered chunks both ways over one connection from beginning to end, and checks every byte."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._ending = threading.Event()
        self._sent = hashlib.sha256()
        self._received = hashlib.sha256()
        self.received_bytes = 0
        self.longest_stall_s = 0.0
        self._problems: list[OSError] = []
        self._threads = [threading.Thread(target=self._run, args=(work,)) for work in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            self._problems.append(error)

    def _send(self) -> None:
        while not self._ending.is_set():
            chunk = os.urandom(8) + CHUNK
            self._sock.sendall(chunk)
            self._sent.update(chunk)
            time.sleep(0.005)
        self._sock.shutdown(socket.SHUT_WR)

    def _receive(self) -> None:
        last_at = time.monotonic()
        while data := self._sock.recv(1 << 16):
            now = time.monotonic()
            self.longest_stall_s = max(self.longest_stall_s, now - last_at)
            last_at = now
            self.received_bytes += len(data)
            self._received.update(data)

    def abort(self) -> None:
        """End it whatever it does; after ``finish`` nothing happens."""
        self._ending.set()
        if self._sock.fileno() >= 0:
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._sock.close()

    def finish(self) -> None:
        """End the sending side, wait for the other one's end, and compare what was sent and received."""
        self._ending.set()
        for thread in self._threads:
            thread.join(timeout=30)
            assert not thread.is_alive(), "the connection hangs"
        self._sock.close()
        assert not self._problems
        assert self._received.digest() == self._sent.digest()


@pytest.fixture
def play(lab_factory: LabFactory, request: pytest.FixtureRequest) -> Iterator[Play]:
    kinds = getattr(request, "param", ("port", "port"))
    folder = Path(tempfile.mkdtemp(prefix="p2p-test-"))
    try:
        with ExitStack() as stack:
            yield Play(lab_factory(routers(delay_s=0.02, **dict(zip("dex", kinds, strict=False)))), folder, stack)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_direct(told: Told) -> bool:
    return told.event in ("path", "connected") and told.values.get("path") == "direct"


def is_relay(told: Told) -> bool:
    return told.event in ("path", "connected") and told.values.get("path") == "relay"
