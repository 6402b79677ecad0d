"""A client and a server of gRPC, which are not ours, with the gateway between them."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.ingress.tls import CertificateFiles
from tests.support.authority import Authority
from tests.support.gateway_world import CONFIG, LOOPBACK, gateway_world

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("grpc") is None, reason="grpcio is not installed: pip install 'p2p-toolkit[interop]'"
)
PROGRAM = (sys.executable, "-m", "tests.support.grpc_programs")


@asynccontextmanager
async def grpc_server() -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(*PROGRAM, "serve", stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


@asynccontextmanager
async def grpc_behind_the_gateway(folder: Path) -> AsyncIterator[Callable[[str], Awaitable[Any]]]:
    """Gives what asks a gRPC server at home, by way of the gateway's HTTPS."""
    authority = Authority(folder, "*.gw.test")
    certificates = (CertificateFiles(authority.certificate, authority.key),)
    config = replace(CONFIG, https=(LOOPBACK,), certificates=certificates)
    async with gateway_world(folder, config) as there, grpc_server() as port:
        await there.publish(port, name="blog", speaks_h2=True)

        async def ask(what: str) -> Any:
            address = str(there.gateway.https_addresses[0])
            process = await asyncio.create_subprocess_exec(
                *PROGRAM, what, address, str(authority.root), stdin=DEVNULL, stdout=PIPE, stderr=PIPE
            )
            out, err = await process.communicate()
            assert process.returncode == 0, err.decode()
            return json.loads(out)

        yield ask


async def test_calls_their_metadata_and_their_errors_pass(tmp_path):
    async with grpc_behind_the_gateway(tmp_path) as ask:
        echo = await ask("echo")
        assert (echo["size"], echo["head"]) == (1 << 20, "127.0.0.1")
        assert (echo["trailers"]["size"], echo["trailers"]["asked"]) == (str(1 << 20), "yes")
        assert await ask("errors") == [["NOT_FOUND", "no such thing: ä"], ["UNIMPLEMENTED", "Method not found!"]]


async def test_both_sides_of_a_stream_talk_in_turn(tmp_path):
    async with grpc_behind_the_gateway(tmp_path) as ask:
        assert await ask("talk") == [f"heard {number}" for number in range(20)]


async def test_many_calls_share_connections_and_one_that_is_given_up_ends(tmp_path):
    async with grpc_behind_the_gateway(tmp_path) as ask:
        assert await ask("many") == 150 * 20 * 10_000
        assert await ask("cancel") == "CANCELLED"
