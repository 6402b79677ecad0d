"""What gives a service a public address: our gateway, frp's server, and nginx as a proxy without a tunnel."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from benchmarks.harness.place import EXPOSER, SERVER, Place
from benchmarks.harness.program import Program
from benchmarks.peers.base import Tunnel, find, free_port, package_version, version_of
from benchmarks.peers.ours import serving, start

DOMAIN: Final = "tunnels.example"
HOST: Final = f"bench.{DOMAIN}"
"""What visitors of HTTP ask for; other kinds do not look at it."""


class OurGateway:
    """``p2p gateway`` on the server, and ``p2p expose --public`` on the exposer, on a direct path.

    Args:
        kind: By host name over HTTP without TLS, or a TCP port.
    """

    def __init__(self, kind: Literal["http", "tcp"]) -> None:
        self.name = f"ours_public_{kind}"
        self._kind = kind

    def missing(self) -> str | None:
        """See ``Peer``."""
        return None

    def version(self) -> str:
        """See ``Peer``."""
        return package_version("p2p-toolkit")

    @contextmanager
    def tunnel(self, place: Place, service_port: int, folder: Path) -> Iterator[Tunnel]:
        """See ``Peer``."""
        address, http_port, tcp_port = place.server_addresses[0], free_port(), free_port()
        flags = ["--domain", DOMAIN, "--http", f"{address}:{http_port}", "--port-listen", address]
        flags += ["--tcp-ports", f"{tcp_port}-{tcp_port}", "--control", str(folder / "control")]
        public = ["--name", "bench"] if self._kind == "http" else ["--tcp", str(tcp_port)]
        with serving(place, folder) as servers:
            shared = ("--json", "--rendezvous", servers.url)
            with start(place, SERVER, folder, "gateway", *flags, *shared) as gateway:
                ticket = json.loads(gateway.wait_for('^{"event": "gateway_ready".*')[0])["ticket"]
                public = ["--public", "--gateway", ticket, *public]
                with start(place, EXPOSER, folder, "expose", str(service_port), *public, *shared) as exposing:
                    exposing.wait_for('^{"event": "public"')
                    gateway.wait_for('"event": "(path|session_opened)".*"path": "direct"')
                    port = http_port if self._kind == "http" else tcp_port
                    yield Tunnel(address, port, exposing=exposing, public=gateway)


class FrpPublic:
    """``frps`` on the server and ``frpc`` on the exposer, as they come: TLS between them, one connection for all.

    Args:
        kind: By host name over HTTP without TLS, or a TCP port.
    """

    def __init__(self, kind: Literal["http", "tcp"]) -> None:
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
        address, server_port, port = place.server_addresses[0], free_port(), free_port()
        own = f'customDomains = ["{HOST}"]\n' if self._kind == "http" else f"remotePort = {port}\n"
        visited = f"vhostHTTPPort = {port}\n" if self._kind == "http" else ""
        files = {
            "frps": f'bindAddr = "{address}"\nbindPort = {server_port}\n{visited}',
            "frpc": f'serverAddr = "{address}"\nserverPort = {server_port}\nlog.disablePrintColor = true\n'
            f'[[proxies]]\nname = "bench"\ntype = "{self._kind}"\n'
            f'localIP = "127.0.0.1"\nlocalPort = {service_port}\n{own}',
        }
        for name, content in files.items():
            (folder / f"{name}.toml").write_text(content, encoding="utf-8")

        def run(host: str, name: str) -> Program:
            command = [str(find(name)), "-c", str(folder / f"{name}.toml")]
            return Program(place.command(host, command), log=folder / f"{name}.log")

        with run(SERVER, "frps") as server:
            server.wait_for("frps started")
            with run(EXPOSER, "frpc") as exposing:
                exposing.wait_for("start proxy success")
                yield Tunnel(address, port, exposing=exposing, public=server)


class NginxProxy:
    """nginx in front of the service, on the exposer: what a proxy in C does where no tunnel is needed."""

    name = "nginx"

    def missing(self) -> str | None:
        """See ``Peer``."""
        return None if shutil.which("nginx") else "nginx is not installed"

    def version(self) -> str:
        """See ``Peer``."""
        return version_of(["nginx", "-v"])

    @contextmanager
    def tunnel(self, place: Place, service_port: int, folder: Path) -> Iterator[Tunnel]:
        """See ``Peer``."""
        port = free_port()
        http = (
            f"upstream service {{ server {place.exposer_address}:{service_port}; keepalive 64; "
            "keepalive_requests 1000000000; }\n"
            f"server {{ listen {place.service_address}:{port}; location / {{ proxy_pass http://service; "
            'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; } }\n'
        )
        with nginx(place, folder / "proxy", http) as proxy:
            yield Tunnel(place.exposer_address, port, public=proxy)


@contextmanager
def website(place: Place, folder: Path, size: int) -> Iterator[int]:
    """Serve a file over HTTP with nginx on the exposer, at any path.

    Args:
        place: Where.
        folder: For its files.
        size: The file's, in bytes.

    Yields:
        The port.
    """
    port = free_port()
    site = folder / "site"
    http = (
        f"open_file_cache max=10; server {{ listen {place.service_address}:{port}; "
        f"location / {{ root {site}; try_files /file =404; }} }}\n"
    )
    with nginx(place, site, http, file=bytes(size)):
        yield port


@contextmanager
def nginx(place: Place, folder: Path, http: str, *, file: bytes = b"") -> Iterator[Program]:
    """Run nginx on the exposer, with one worker, and connections that stay.

    Args:
        place: Where.
        folder: Is made.
        http: What the ``http`` block has beside that.
        file: What to write into the folder for it to serve.
    """
    folder.mkdir()
    # The worker is not root.
    for path in (folder.parent, folder):
        path.chmod(0o755)
    (folder / "file").write_bytes(file)
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid {folder}/pid; error_log stderr notice;\n"
        "events { worker_connections 8192; }\n"
        f"http {{ access_log off; keepalive_requests 1000000000; default_type text/plain;\n{http}}}\n",
        encoding="ascii",
    )
    command: Sequence[str] = ["nginx", "-p", str(folder), "-c", str(config)]
    with Program(place.command(EXPOSER, command), log=folder / "nginx.log") as program:
        program.wait_for("start worker process ")
        yield program
