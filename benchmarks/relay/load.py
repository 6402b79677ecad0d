"""Flows through a relay, and the generator that drives them."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from benchmarks.relay.network import CLIENT_HOST, PEER_HOST, RELAY_CLIENT_SIDE, Network
from benchmarks.relay.relays import PORT, TLS_PORT
from benchmarks.relay.turn import CHANNEL, Turn

Direction: TypeAlias = Literal["to_peer", "to_client"]
Leg: TypeAlias = Literal["udp", "tcp", "tls"]
Result: TypeAlias = dict[str, Any]

GENERATOR_CORE: Final = 0
_HEADER_BYTES: Final = 4
_SOURCE: Final = Path(__file__).with_name("generator.c")


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What is sent.

    Attributes:
        flows: Clients, each with a peer of its own.
        direction: Who sends.
        leg: Between client and relay.
        payload: Size of each payload in bytes, at least 12.
        burst: Packets that a sender sends at once.
        gso: Whether it sends them in one system call.
        window: Packets in flight at most, over all flows; 0 means no bound.
        rate: Packets per second over all flows; 0 means as many as the window allows.
        realtime: Whether the generator goes before whatever else runs on its core.
    """

    flows: int = 1
    direction: Direction = "to_peer"
    leg: Leg = "udp"
    payload: int = 1200
    burst: int = 1
    gso: bool = False
    window: int = 0
    rate: float = 0.0
    realtime: bool = False


class Flow(NamedTuple):
    """One client and its peer, joined by a channel; without a relay in between there is no header."""

    client: socket.socket
    peer: socket.socket
    has_header: bool = True


class Generator:
    """The load generator, compiled when it is first needed; ends with the ``with`` block.

    Args:
        core: The core it is pinned to.
    """

    def __init__(self, core: int = GENERATOR_CORE) -> None:
        self._core = core
        self._folder = tempfile.TemporaryDirectory()
        self._number = 0
        self._command = self._build()

    def __enter__(self) -> Generator:
        return self

    def __exit__(self, *exception: object) -> None:
        self._folder.cleanup()

    def run(self, flows: Sequence[Flow], load: Load, *, seconds: float, pids: Sequence[int] = ()) -> Result:
        """Send a load and return what became of it."""
        with self.start(flows, load, seconds=seconds, pids=pids) as process:
            output, _ = process.communicate(timeout=seconds + 30)
        if process.returncode:
            raise RuntimeError(f"the generator ended with {process.returncode}")
        result: Result = json.loads(output)
        return result

    @contextlib.contextmanager
    def start(
        self, flows: Sequence[Flow], load: Load, *, seconds: float, pids: Sequence[int] = ()
    ) -> Iterator[subprocess.Popen[str]]:
        """Start to send a load; whoever calls waits for the end."""
        self._number += 1
        spec = Path(self._folder.name) / f"spec{self._number}"
        spec.write_text("".join(_lines(flows, load)))
        settings = {
            "spec": spec,
            "payload": load.payload,
            "burst": load.burst,
            "gso": int(load.gso),
            "window": load.window,
            "rate": load.rate,
            "realtime": int(load.realtime),
            "cpu": self._core,
            "duration_s": seconds,
            "pids": ",".join(map(str, pids)),
        }
        descriptors = [sock.fileno() for flow in flows for sock in (flow.client, flow.peer)]
        words = [f"{key}={value}" for key, value in settings.items()]
        process = subprocess.Popen([*self._command, *words], pass_fds=descriptors, stdout=subprocess.PIPE, text=True)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def _build(self) -> list[str]:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            print("no C compiler: the generator in Python is slower than the relays", file=sys.stderr)
            return [sys.executable, "-m", "benchmarks.relay.generator"]
        program = Path(self._folder.name) / "generator"
        subprocess.run([compiler, "-O2", "-o", str(program), str(_SOURCE)], check=True)
        return [str(program)]


@contextlib.contextmanager
def relayed_flows(network: Network, load: Load) -> Iterator[list[Flow]]:
    """Allocate and bind a channel for each flow of a load."""
    with contextlib.ExitStack() as stack:
        flows = []
        for _ in range(load.flows):
            server = (RELAY_CLIENT_SIDE, PORT)
            if load.leg == "tcp":
                client = network.tcp("client", server)
            elif load.leg == "tls":
                client = stack.enter_context(_over_tls(network.tcp("client", (RELAY_CLIENT_SIDE, TLS_PORT))))
            else:
                client = network.udp("client", CLIENT_HOST)
                client.connect(server)
            peer = network.udp("peer", PEER_HOST)
            stack.callback(client.close)
            stack.callback(peer.close)
            turn = Turn(client)
            peer.connect(turn.allocate())
            turn.bind(peer.getsockname())
            client.setblocking(False)
            flows.append(Flow(client, peer))
        yield flows


@contextlib.contextmanager
def _over_tls(tcp: socket.socket) -> Iterator[socket.socket]:
    """Give a plain stream in the place of a connection, on which TLS is spoken."""
    plain, other = socket.socketpair()
    with plain, other, tcp:
        words = [sys.executable, "-m", "benchmarks.relay.tls_bridge", str(other.fileno()), str(tcp.fileno())]
        bridge = subprocess.Popen([*words, str(GENERATOR_CORE)], pass_fds=(other.fileno(), tcp.fileno()))
        other.close()
        try:
            yield plain
        finally:
            bridge.kill()
            bridge.wait()


def _lines(flows: Sequence[Flow], load: Load) -> Iterator[str]:
    for flow in flows:
        header = f"{CHANNEL:04x}{load.payload:04x}" if flow.has_header else "-"
        kind = "tcp" if flow.client.type == socket.SOCK_STREAM else "udp"
        if load.direction == "to_peer":
            yield f"send {flow.client.fileno()} {kind} {header}\nsink {flow.peer.fileno()} udp 0\n"
        else:
            offset = _HEADER_BYTES if flow.has_header else 0
            yield f"send {flow.peer.fileno()} udp -\nsink {flow.client.fileno()} {kind} {offset}\n"
