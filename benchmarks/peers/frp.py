"""frp: a secret TCP proxy through its server (stcp), and straight from peer to peer (xtcp)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness.place import DIALER, EXPOSER, SERVER, Place
from benchmarks.harness.program import Program
from benchmarks.peers.base import Tunnel, find, free_port, version_of
from benchmarks.peers.ours import serving


class Frp:
    """``frps`` on the server, ``frpc`` on both hosts; our STUN server, since its own default is on the internet.

    Args:
        kind: ``stcp`` or ``xtcp``.
    """

    def __init__(self, kind: str) -> None:
        self.name = f"frp_{kind}"
        self._kind = kind

    def missing(self) -> str | None:
        """See ``Peer``."""
        return None if find("frps") and find("frpc") else "frps and frpc are not installed"

    def version(self) -> str:
        """See ``Peer``."""
        return version_of([str(find("frpc")), "--version"])

    @contextmanager
    def tunnel(self, place: Place, service_port: int, folder: Path) -> Iterator[Tunnel]:
        """See ``Peer``."""
        with serving(place, folder) as servers, self._tunnel(place, service_port, folder, servers.stun) as tunnel:
            yield tunnel

    @contextmanager
    def _tunnel(self, place: Place, service_port: int, folder: Path, stun: str) -> Iterator[Tunnel]:
        server_port, port = free_port(), free_port()
        address = place.server_addresses[0]
        shared = (
            f'serverAddr = "{address}"\nserverPort = {server_port}\nlog.disablePrintColor = true\n'
            f'natHoleStunServer = "{stun}"\n'
        )
        same = f'name = "bench"\ntype = "{self._kind}"\nsecretKey = "bench"\n'
        files = {
            "frps": f'bindAddr = "{address}"\nbindPort = {server_port}\n',
            "expose": f'{shared}[[proxies]]\n{same}localIP = "127.0.0.1"\nlocalPort = {service_port}\n',
            "dial": f"{shared}[[visitors]]\n{same}"
            f'serverName = "bench"\nbindAddr = "127.0.0.1"\nbindPort = {port}\nkeepTunnelOpen = true\n',
        }
        if self._kind == "stcp":
            files["dial"] = files["dial"].replace("keepTunnelOpen = true\n", "")
        for name, content in files.items():
            (folder / f"{name}.toml").write_text(content, encoding="utf-8")

        def start(host: str, program: str, name: str) -> Program:
            command = [str(find(program)), "-c", str(folder / f"{name}.toml")]
            return Program(place.command(host, command), log=folder / f"{name}.log")

        with start(SERVER, "frps", "frps") as server:
            server.wait_for("frps started")
            with start(EXPOSER, "frpc", "expose") as exposing:
                exposing.wait_for("start proxy success")
                with start(DIALER, "frpc", "dial") as dialing:
                    dialing.wait_for("start visitor success|start visitor")
                    if self._kind == "xtcp":
                        dialing.wait_for("nat hole connection successful", 15)
                    yield Tunnel("127.0.0.1", port, dialing, exposing)
