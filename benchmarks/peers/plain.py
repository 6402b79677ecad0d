"""The kernel alone: TCP without anything in between, one forwarder, and iperf3."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks.harness.place import DIALER, EXPOSER, Place
from benchmarks.harness.program import Program, run_to_end
from benchmarks.peers.base import Tunnel, free_port, opened, version_of


class Tcp:
    """The client talks to the service: no tunnel, no encryption, and nothing in user space.

    Args:
        name: What the results call it.
    """

    def __init__(self, name: str = "tcp") -> None:
        self.name = name

    def missing(self) -> str | None:
        """See ``Peer``."""
        return None

    def version(self) -> str:
        """See ``Peer``."""
        return platform.release()

    def tunnel(self, place: Place, service_port: int, folder: Path) -> AbstractContextManager[Tunnel]:
        """See ``Peer``."""
        return opened(Tunnel(place.exposer_address, service_port))


class Socat:
    """One forwarder in C that encrypts nothing.

    Args:
        protocol: ``TCP`` or ``UDP``.
    """

    def __init__(self, protocol: str = "TCP") -> None:
        self._protocol = protocol
        self.name = "socat" if protocol == "TCP" else "socat_udp"

    def missing(self) -> str | None:
        """See ``Peer``."""
        return None if shutil.which("socat") else "socat is not installed"

    def version(self) -> str:
        """See ``Peer``."""
        return version_of(["socat", "-V"], r"(?<=socat version )\S+")

    @contextmanager
    def tunnel(self, place: Place, service_port: int, folder: Path) -> Iterator[Tunnel]:
        """See ``Peer``."""
        port = free_port()
        backlog = ",backlog=1024" if self._protocol == "TCP" else ""
        listen = f"{self._protocol}-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr{backlog}"
        target = f"{self._protocol}:{place.exposer_address}:{service_port}"
        command = ["socat", "-b", "262144", "-d", "-d", listen, target]
        with Program(place.command(DIALER, command), log=folder / "socat.log") as dialing:
            dialing.wait_for("listening on")
            yield Tunnel("127.0.0.1", port, dialing)


class Iperf3:
    """What the kernel moves between the two hosts with a client in C; for bulk figures only."""

    name = "iperf3"

    def missing(self) -> str | None:
        """See ``Peer``."""
        return None if shutil.which("iperf3") else "iperf3 is not installed"

    def version(self) -> str:
        """See ``Peer``."""
        return version_of(["iperf3", "--version"])

    def tunnel(self, place: Place, service_port: int, folder: Path) -> AbstractContextManager[Tunnel]:
        """See ``Peer``; it brings a client of its own."""
        raise NotImplementedError

    def pull_mbit_s(self, place: Place, folder: Path, *, seconds: float, streams: int) -> float:
        """Move bytes from the exposer to the dialer."""
        port = str(free_port())
        server = place.command(EXPOSER, ["iperf3", "-s", "-p", port, "--forceflush"])
        with Program(server, log=folder / "iperf3.log") as program:
            program.wait_for("listening")
            client = ["iperf3", "-c", place.exposer_address, "-p", port, "-R", "-J", "-O", "1", "-t", str(seconds)]
            told = run_to_end(place.command(DIALER, [*client, "-P", str(streams)]), timeout_s=seconds + 15)
        return float(json.loads(told)["end"]["sum_received"]["bits_per_second"]) / 1e6
