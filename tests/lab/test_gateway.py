"""A gateway on a public host: a service behind a NAT gets a URL, and somebody behind another NAT opens it."""

from __future__ import annotations

import http.server
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from natlab.cell import wait_for_server
from natlab.lab import Lab
from natlab.observed import ObservedProgram
from natlab.plan import SERVER, SERVER_ADDRESSES
from natlab.programs import RENDEZVOUS_URL, Programs, find_program

from tests.support.lab import LabFactory, lab_factory, routers

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

__all__ = ["lab_factory"]

GATEWAY = f"{SERVER_ADDRESSES[0]}:8480"


@contextmanager
def website(lab: Lab, host: str) -> Iterator[int]:
    """A site on a host of the lab that tells whom it sees."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.headers["X-Forwarded-For"].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with lab.entered(host):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_visitor_opens_what_is_behind_a_nat(lab_factory: LabFactory) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    folder = Path(tempfile.mkdtemp(prefix="p2p-test-"))
    stop = threading.Event()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        lab = lab_factory(routers(delay_s=0.005, e="sym", v="port"))
        programs = Programs(find_program(), folder)

        def start(host: str, name: str, command: list[str]) -> ObservedProgram:
            return stack.enter_context(ObservedProgram.of(programs, lab, host, name, command, stop=stop))

        wait_for_server(lab, start(SERVER, "serve", programs.serve()), stop)
        flags = ["--domain", "gw.test", "--http", GATEWAY, "--rendezvous", RENDEZVOUS_URL, "--json"]
        gateway = start(SERVER, "gateway", [*programs.command, "gateway", *flags])
        ticket = str(gateway.require("gateway_ready", within_s=20).values["ticket"])
        site = stack.enter_context(ExitStack())
        port = site.enter_context(website(lab, "e1"))
        publish = ["--public", "--gateway", ticket, "--name", "blog"]
        exposer = start("e1", "expose", [*programs.expose(port), *publish])
        assert exposer.require("public", within_s=20).values["urls"] == ["http://blog.gw.test:8480"]
        curl = ["curl", "--silent", "--max-time", "20", "--resolve", f"blog.gw.test:8480:{SERVER_ADDRESSES[0]}"]
        answer = lab.run("v1", [*curl, "http://blog.gw.test:8480/"]).stdout
        # What the visitor's own NAT shows to the world.
        assert answer == lab.address("v")
        visit = exposer.require("visit", within_s=20).values
        assert (visit["summary"], visit["status"]) == ("GET /", 200)
        assert str(visit["visitor"]).startswith(f"{answer}:")

        # Nothing that the gateway says tells a stranger where the service is, or whose.
        hidden = (
            lab.address("e"),
            lab.address("e1"),
            f":{port}",
            exposer.require("ready", within_s=1).values["peer_id"],
        )
        said: list[str] = []

        def ask(url: str, *more: str) -> str:
            said.append(str(lab.run("v1", [*curl, "--include", "--noproxy", "*", *more, url]).stdout))
            return said[-1].partition("\r\n")[0]

        page = ("--header", "Accept: text/html")
        for more in (
            (),
            ("--head",),
            ("--request", "TRACE"),
            ("--request", "OPTIONS"),
            ("--header", "Max-Forwards: 0"),
        ):
            ask("http://blog.gw.test:8480/", *more)
        for path in ("", "healthz", "metrics", "status", "server-status", ".p2p/login"):
            ask(f"http://{GATEWAY}/{path}", "--header", "Host: gw.test")
        site.close()
        assert "502" in ask("http://blog.gw.test:8480/", *page)
        exposer.kill()
        assert "503" in ask("http://blog.gw.test:8480/", *page)
        assert "404" in ask(f"http://{GATEWAY}/", "--header", "Host: shop.gw.test", *page)
        assert not [text for text in said for secret in hidden if str(secret) in text]
