from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from p2p.forward.target import FlowAcceptor
from p2p.proto.bench import BENCH_SERVICE
from p2p.proto.tunnel.codes import StreamCode
from p2p.proto.tunnel.header import StreamHeader
from p2p.services import FILES_SERVICE
from p2p.session.built_in import BuiltInServices
from p2p.session.options import ExposeOptions, PublicOptions
from p2p.target import FolderTarget, Offered, TcpTarget
from tests.support.http_pair import request

WEB = TcpTarget("127.0.0.1", 8080)


class Others:
    """Takes what is not built in."""

    def dial(self, header: StreamHeader, done: Callable[[socket.socket | StreamCode], None]) -> Callable[[], None]:
        done(StreamCode.SERVICE_UNKNOWN)
        return lambda: None


def served(acceptor: FlowAcceptor, service: str) -> socket.socket | StreamCode:
    results: list[socket.socket | StreamCode] = []
    acceptor.dial(StreamHeader(service), results.append)
    (result,) = results
    return result


@pytest.mark.parametrize(
    ("targets", "inbox", "bench", "expected"),
    [
        ({"": WEB}, False, False, set()),
        ({"": WEB}, False, True, {BENCH_SERVICE}),
        ({"": WEB}, True, False, {FILES_SERVICE}),
        ({}, True, False, {"", FILES_SERVICE}),
        ({"": FolderTarget("/tmp")}, False, False, {"", FILES_SERVICE}),
        ({"web": WEB, "docs": FolderTarget("/tmp")}, False, False, {"docs", FILES_SERVICE}),
    ],
)
async def test_only_what_was_asked_for_is_there(
    targets: dict[str, Offered], inbox: bool, bench: bool, expected: set[str], tmp_path: Path
) -> None:
    options = ExposeOptions(targets=targets, inbox=tmp_path if inbox else None, allow_bench=bench)
    async with BuiltInServices(options, asyncio.get_running_loop()) as built_in:
        found = set()
        for service in ("", "web", "docs", BENCH_SERVICE, FILES_SERVICE):
            if isinstance(sock := served(built_in.before(Others()), service), socket.socket):
                sock.close()
                found.add(service)
        assert found == expected


async def test_the_public_reads_folders_and_nothing_else(tmp_path: Path) -> None:
    folder = FolderTarget(str(tmp_path))
    (tmp_path / "page.txt").write_text("for all")
    options = ExposeOptions(
        targets={"": folder}, inbox=tmp_path, allow_bench=True, public=PublicOptions(gateways=("p2p1gateway",))
    )
    async with BuiltInServices(options, asyncio.get_running_loop()) as built_in:
        public = built_in.before_public(Others(), {"service": folder})
        for service in ("", BENCH_SERVICE, FILES_SERVICE):
            assert served(public, service) is StreamCode.SERVICE_UNKNOWN
        for path, method, status in (("/page.txt", "GET", 200), ("/new.txt", "PUT", 405)):
            sock = served(public, "service")
            assert isinstance(sock, socket.socket)
            assert (await request(sock, path, method=method)).status == status
        private = served(built_in.before(Others()), "")
        assert isinstance(private, socket.socket)
        assert (await request(private, "/new.txt", method="PUT", body=b"x")).status == 201
