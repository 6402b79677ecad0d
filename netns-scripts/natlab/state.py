"""What is known about a lab that is up, in a file, so that another process can go on with it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .errors import LabError
from .moves import Home
from .shapes import LinkShape, shape_from_json, shape_to_json
from .topology import Topology, topology_from_json, topology_to_json

STATE_FOLDER: Final = Path("/run/p2p-lab")
_DEATH_TIMEOUT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class OwnedProcess:
    """A process that a lab started, told from a later one of the same number by when it started.

    Attributes:
        pid: Its number.
        started: When it started, in clock ticks since boot.
    """

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> OwnedProcess:
        """Describe a process that runs.

        Raises:
            ProcessLookupError: It does not.
        """
        return cls(pid, _start_time(pid))

    def kill(self) -> None:
        """End it, if it still is the process it was, and wait until it has ended."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            # The handle is of whatever has the number now; only then is it safe to look who that is.
            with contextlib.suppress(ProcessLookupError):
                if _start_time(self.pid) == self.started:
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    select.select([handle], [], [], _DEATH_TIMEOUT_S)
        finally:
            os.close(handle)


def _start_time(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(pid) from None
    # The second field is the program's name in parentheses, and may hold blanks; the start is field 22.
    return int(text.rpartition(")")[2].split()[19])


@dataclass(slots=True, kw_only=True)
class LabState:
    """A lab as it is now.

    Attributes:
        prefix: What its namespaces' names start with.
        identity: Tells it from a later lab with the same prefix.
        topology: What it was made from.
        namespaces: The namespaces it made.
        links: The shape of each uplink now.
        wan_addresses: Outside addresses that are no longer those of the plan.
        netem: Whether netem delays the packets, or None as long as none has to wait.
        queued: The routers whose packets pass the delay line.
        cuts: What is cut for which router.
        guests: The hosts that are not in their own LAN, and where they are.
        delay_line: The process that delays packets, if there is one.
        port_mappers: The processes that forward ports, by router.
    """

    prefix: str
    identity: str
    topology: Topology
    namespaces: list[str]
    links: dict[str, LinkShape] = field(default_factory=dict)
    wan_addresses: dict[str, str] = field(default_factory=dict)
    netem: bool | None = None
    queued: list[str] = field(default_factory=list)
    cuts: dict[str, str] = field(default_factory=dict)
    guests: dict[str, Home] = field(default_factory=dict)
    delay_line: OwnedProcess | None = None
    port_mappers: dict[str, OwnedProcess] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The file it is kept in."""
        return STATE_FOLDER / f"{self.prefix}.json"

    @property
    def control_path(self) -> Path:
        """The socket that the delay line listens on."""
        return STATE_FOLDER / f"{self.prefix}.delay"

    def port_mapper_path(self, router: str) -> Path:
        """The configuration of a router's port mapper."""
        return STATE_FOLDER / f"{self.prefix}.{router}.conf"

    def claim(self) -> None:
        """Write it for the first time.

        Raises:
            LabError: There is a lab of this prefix already.
        """
        STATE_FOLDER.mkdir(mode=0o755, exist_ok=True)
        try:
            with self.path.open("x") as file:
                json.dump(self._to_json(), file)
        except FileExistsError:
            raise LabError(
                f"a lab with the prefix {self.prefix!r} is up already",
                f"Take it down with `lab down {self.prefix}`, or give another --prefix.",
            ) from None

    def save(self) -> None:
        """Write it again; a reader sees the old one or the new one, never half of it."""
        draft = self.path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(self._to_json()))
        draft.replace(self.path)

    def forget(self) -> None:
        """Delete the file: the lab is no more."""
        self.path.unlink(missing_ok=True)
        self.control_path.unlink(missing_ok=True)
        for router in self.topology.routers:
            path = self.port_mapper_path(router.name)
            path.unlink(missing_ok=True)
            Path(f"{path}.pid").unlink(missing_ok=True)

    def _to_json(self) -> dict[str, Any]:
        line = self.delay_line
        return {
            "prefix": self.prefix,
            "identity": self.identity,
            "topology": topology_to_json(self.topology),
            "namespaces": self.namespaces,
            "links": {router: shape_to_json(shape) for router, shape in self.links.items()},
            "wan_addresses": self.wan_addresses,
            "netem": self.netem,
            "queued": self.queued,
            "cuts": self.cuts,
            "guests": self.guests,
            "delay_line": None if line is None else [line.pid, line.started],
            "port_mappers": {router: [process.pid, process.started] for router, process in self.port_mappers.items()},
        }


def load_state(prefix: str) -> LabState:
    """Read what is known about a lab.

    Raises:
        LabError: No such lab is up.
    """
    try:
        value = json.loads((STATE_FOLDER / f"{prefix}.json").read_text())
    except FileNotFoundError:
        raise LabError(f"no lab with the prefix {prefix!r} is up", "See `lab list`.") from None
    line = value["delay_line"]
    return LabState(
        **{
            **value,
            "topology": topology_from_json(value["topology"]),
            "links": {router: shape_from_json(shape) for router, shape in value["links"].items()},
            "guests": {host: Home(*home) for host, home in value.get("guests", {}).items()},
            "delay_line": None if line is None else OwnedProcess(*line),
            "port_mappers": {
                router: OwnedProcess(*process) for router, process in value.get("port_mappers", {}).items()
            },
        }
    )


def known_labs() -> Iterator[str]:
    """The prefixes of all labs that are up."""
    if STATE_FOLDER.is_dir():
        yield from sorted(path.stem for path in STATE_FOLDER.glob("*.json"))
