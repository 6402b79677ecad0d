"""The gateway's certificates from Pebble, Let's Encrypt's server for tests."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.config import AcmeOptions
from gateway.service import Gateway
from p2p.address import TransportAddress
from tests.support.authority import Authority
from tests.support.curl import curl
from tests.support.gateway_world import CONFIG, LOOPBACK, gateway_world, mirror, website
from tests.support.ports import free_ports

PEBBLE = shutil.which("pebble")
pytestmark = [
    pytest.mark.skipif(
        PEBBLE is None, reason="pebble is not installed: go install github.com/letsencrypt/pebble/v2/cmd/pebble@latest"
    ),
    pytest.mark.root,
]
# It asks its challenges where names lead, by the hosts file here.
IN_A_WORLD_WITH_THESE_NAMES = 'mount --bind "$1" /etc/hosts && exec "$2" -config "$3"'


class Pebble:
    """A server, and where its certificates come from."""

    def __init__(self, folder: Path, challenge_port: int) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.port, self.management = free_ports(2)
        (folder / "hosts").write_text("127.0.0.1 localhost gw.test blog.gw.test new.gw.test\n")
        settings = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(self.authority.certificate),
            "privateKey": str(self.authority.key),
            "httpPort": challenge_port,
            "tlsPort": 1,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
        }
        (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))

    def options(self, folder: Path) -> AcmeOptions:
        url = f"https://127.0.0.1:{self.port}/dir"
        return AcmeOptions(email="me@example.com", folder=folder, server=url, ca=self.authority.root)

    async def root(self) -> Path:
        """Who signs what it issues."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"https://127.0.0.1:{self.management}/roots/0", ssl=self.authority.context()) as response,
        ):
            path = self.folder / "issued-by.pem"
            path.write_text(await response.text())
            return path


@asynccontextmanager
async def pebble(folder: Path, challenge_port: int) -> AsyncIterator[Pebble]:
    folder.mkdir()
    server = Pebble(folder, challenge_port)
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--mount", "sh", "-c", IN_A_WORLD_WITH_THESE_NAMES, "sh"),
        *(str(folder / "hosts"), str(PEBBLE), str(folder / "pebble.json")),
        # Without these it sleeps before each look; nonces that it rejects by chance stay, as the client must bear them.
        env=os.environ | {"PEBBLE_VA_NOSLEEP": "1"},
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    try:
        async with asyncio.timeout(20):
            while not _answers(server.management):
                await asyncio.sleep(0.05)
        yield server
    finally:
        process.kill()
        await process.wait()


async def test_pebble_gives_certificates_to_hosts_that_lead_here(tmp_path):
    http = TransportAddress("127.0.0.1", free_ports(1)[0])
    async with pebble(tmp_path / "pebble", http.port) as server, website(mirror) as port:
        config = replace(CONFIG, http=(http,), https=(LOOPBACK,), acme=server.options(tmp_path / "acme"))
        root = str(await server.root())
        async with gateway_world(tmp_path, config) as there:
            await there.publish(port, name="blog")
            address = there.gateway.https_addresses[0]
            for host in ("blog.gw.test", "gw.test"):
                await curl(address, f"https://{host}:{address.port}/", "--cacert", root, "--retry", "3")
            await there.publish(port, name="nowhere")
            async with asyncio.timeout(60):
                while not (problem := _row(there.gateway, "nowhere.gw.test")["problem"]):
                    await asyncio.sleep(0.1)
            assert "nowhere.gw.test" in problem
            ends = _row(there.gateway, "blog.gw.test")["ends"]
        # The same certificate serves after a restart, and the account is found again for the next one.
        async with gateway_world(tmp_path, config) as there:
            await there.publish(port, name="blog")
            assert _row(there.gateway, "blog.gw.test")["ends"] == ends
            await there.publish(port, name="new")
            address = there.gateway.https_addresses[0]
            await curl(address, f"https://new.gw.test:{address.port}/", "--cacert", root, "--retry", "3")


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def _row(gateway: Gateway, name: str) -> dict[str, Any]:
    return next(row for row in gateway._about()["certificates"] if row["name"] == name)
