"""The demonstration: a web server behind one NAT, fetched from behind another, with the programs as they ship."""

from __future__ import annotations

import argparse
import functools
import hashlib
import http.client
import http.server
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from .cell import wait_for_server
from .errors import LabError
from .kinds import KINDS
from .lab import Lab
from .observed import ObservedProgram, Told
from .plan import SERVER
from .programs import Programs, find_program
from .shapes import LinkShape, parse_duration_s
from .topology import Router, Topology

_TIMEOUT_S: Final = 30.0
_READ_BYTES: Final = 1 << 20
_PREFIX: Final = "demo"
_DIALER: Final = "laptop"
_EXPOSER: Final = "home"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `lab demo`."""
    parser.add_argument("--size", type=int, default=100, metavar="MB", help="how much to fetch (default: 100)")
    parser.add_argument("--delay", type=parse_duration_s, default=0.02, help="one way, each side (default: 20ms)")
    parser.add_argument("--dialer", choices=tuple(KINDS), default="port", help="its router (default: port)")
    parser.add_argument("--exposer", choices=tuple(KINDS), default="port", help="its router (default: port)")


def run_demo(arguments: argparse.Namespace) -> int:
    """Build the lab, expose, connect, fetch, tell what happens, take the lab down.

    Returns:
        The exit code: 0 when every byte was right.

    Raises:
        LabError: Something did not work.
    """
    link = LinkShape(delay_s=arguments.delay)
    topology = Topology(
        name=_PREFIX,
        ipv6=False,
        routers=(
            Router(name=_DIALER, kind=arguments.dialer, link=link),
            Router(name=_EXPOSER, kind=arguments.exposer, link=link),
        ),
    )
    folder = Path(tempfile.mkdtemp(prefix="p2p-demo-"))
    try:
        with Lab.up(topology, prefix=f"{_PREFIX}{os.getpid()}") as lab:
            _say(
                f"lab      two homes behind NATs of kind {arguments.dialer} and {arguments.exposer}, "
                f"{arguments.delay * 1e3:g} ms from the internet each"
            )
            return _play(lab, folder, arguments.size * 1_000_000)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _play(lab: Lab, folder: Path, size: int) -> int:
    programs = Programs(find_program(), folder)
    stop = threading.Event()
    with ExitStack() as stack:

        def start(host: str, name: str, command: list[str]) -> ObservedProgram:
            return stack.enter_context(
                ObservedProgram(
                    lab, host, command, environment=programs.environment(name), log=folder / f"{name}.log", stop=stop
                )
            )

        server = start(SERVER, "serve", programs.serve())
        wait_for_server(lab, server, stop)
        _say("server   p2p serve: rendezvous, STUN and relay")
        page = stack.enter_context(_web_server(lab, f"{_EXPOSER}1", folder, size))
        exposer = start(f"{_EXPOSER}1", "expose", programs.expose(page))
        ticket = str(exposer.require("ready", within_s=_TIMEOUT_S).values["ticket"])
        _say(f"home     p2p expose {page}")
        _say(f"         ticket {ticket[:40]}...")
        dialer = start(f"{_DIALER}1", "connect", programs.connect(ticket))
        port = int(str(dialer.require("listening", within_s=_TIMEOUT_S).values["address"]).rpartition(":")[2])
        _say(f"laptop   p2p connect TICKET   now http://127.0.0.1:{port} is the web server at home")
        narrator = threading.Thread(target=_narrate, args=(dialer,), daemon=True)
        narrator.start()
        digest, took_s = _fetch(lab, port)
        expected = hashlib.sha256((folder / "page" / "file").read_bytes()).hexdigest()
        if digest != expected:
            raise LabError("the fetched file differs from the one at home")
        _say(
            f"laptop   fetched {size / 1e6:g} MB in {took_s:.1f} s ({size * 8 / took_s / 1e6:.0f} Mbit/s), sha256 equal"
        )
    narrator.join(timeout=1.0)
    _say("lab      everything is taken down again")
    return 0


@contextmanager
def _web_server(lab: Lab, host: str, folder: Path, size: int) -> Iterator[int]:
    """Serve a file of random bytes on a host of the lab, from a thread of this process."""
    root = folder / "page"
    root.mkdir()
    (root / "file").write_bytes(os.urandom(size))
    handler = functools.partial(_QuietHandler, directory=str(root))
    with lab.entered(host):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the programs under test do the talking."""


def _narrate(dialer: ObservedProgram) -> None:
    """Tell in words what the connecting side tells in JSON."""
    seen = 0
    while not dialer.has_ended:
        told = dialer.told
        for line in told[seen:]:
            if (words := _words(line)) is not None:
                _say(f"         {line.t_s or 0:6.3f} s  {words}")
        seen = len(told)
        time.sleep(0.02)


def _words(told: Told) -> str | None:
    values = told.values
    rtt = "" if values.get("rtt_ms") is None else f", {values['rtt_ms']} ms"
    where = f"{values.get('path')} path, {values.get('address')}{rtt}"
    match told.event:
        case "connected":
            return f"connected: {where}"
        case "path":
            return f"now on the {where}"
        case "relayed":
            return f"stays on the relay: {values['reason']['text']}"
    return None


def _fetch(lab: Lab, port: int) -> tuple[str, float]:
    """Fetch the file as a browser on the laptop would; return its digest and how long it took."""
    digest = hashlib.sha256()
    started_at = time.monotonic()
    with lab.entered(f"{_DIALER}1"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
        connection.connect()
    try:
        connection.request("GET", "/file")
        response = connection.getresponse()
        while chunk := response.read(_READ_BYTES):
            digest.update(chunk)
    except (OSError, http.client.HTTPException) as error:
        raise LabError(f"the fetch broke off: {error}") from error
    finally:
        connection.close()
    return digest.hexdigest(), time.monotonic() - started_at


def _say(line: str) -> None:
    print(line, flush=True)
