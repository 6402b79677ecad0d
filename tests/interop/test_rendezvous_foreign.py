"""The rendezvous beside programs that are not ours: coturn as its relay, nginx in front of it."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from p2p.proto.turn.client import AllocationClient
from p2p.proto.turn.events import AllocationCreated
from p2p.signalling import SignallingClient
from rendezvous.service import RendezvousService
from tests.support.authority import Authority
from tests.support.coturn import SECRET, run_coturn
from tests.support.drivers import AllocationDriver, wait_for_event
from tests.support.fronts import run_nginx, shipped
from tests.support.ports import free_port
from tests.support.rendezvous_world import ALICE, BASE, url_of


async def test_coturn_accepts_the_credentials_of_a_welcome(tmp_path: Path) -> None:
    with run_coturn(tmp_path, shared_secret=True) as coturn:
        url = f"turn:{coturn.address}?transport=udp"
        config = replace(BASE, relay_urls=(url,), relay_secret=SECRET)
        async with RendezvousService(config) as service, SignallingClient([url_of(service)], ALICE) as alice:
            server = (await alice.welcome()).turn[0]
        client = AllocationClient(
            server=coturn.address,
            username=server.username,
            password=server.password,
            random_bytes=os.urandom,
            reliable=False,
        )
        with AllocationDriver(client, "udp") as driver:
            client.start(time.monotonic())
            assert await asyncio.to_thread(wait_for_event, driver, AllocationCreated)


@contextmanager
def nginx_in_front_of(service: RendezvousService, folder: Path) -> Iterator[tuple[int, Path]]:
    """Run nginx with the file that we ship, its addresses replaced; give its port and the file of its authority."""
    authority, port = Authority(folder), free_port()
    site = shipped(
        "nginx.conf",
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("    listen [::]:443 ssl;\n", ""),
        ("127.0.0.1:8470", str(service.listen_addresses[0])),
        ("server_name rendezvous.example.com", "server_name 127.0.0.1"),
        ("/etc/letsencrypt/live/rendezvous.example.com/fullchain.pem", str(authority.certificate)),
        ("/etc/letsencrypt/live/rendezvous.example.com/privkey.pem", str(authority.key)),
    )
    with run_nginx(site, port, folder):
        yield port, authority.root


async def test_signalling_passes_nginx_with_the_file_that_we_ship(tmp_path: Path) -> None:
    config = replace(BASE, names=frozenset({"127.0.0.1"}), trusted_proxies=(ipaddress.ip_network("127.0.0.1/32"),))
    async with RendezvousService(config) as service:
        with nginx_in_front_of(service, tmp_path) as (port, root):
            context = ssl.create_default_context(cafile=str(root))
            async with SignallingClient([f"wss://127.0.0.1:{port}"], ALICE, ssl_context=context) as alice:
                # Port 0: the address came from the proxy's header, which does not tell the port.
                assert (await alice.welcome()).observed_address == ("127.0.0.1", 0)
                await alice.publish("web")
                assert (await alice.resolve(ALICE.peer_id, "web")).published
