"""The gateway gets its certificates by itself."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config import AcmeOptions
from gateway.core.http01 import PREFIX
from gateway.ingress.tls import CertificateFiles
from tests.support.authority import Authority
from tests.support.curl import curl
from tests.support.fake_issuer import ANSWER, TOKEN, FakeIssuer
from tests.support.gateway_world import CONFIG, LOOPBACK, GatewayWorld, gateway_world, mirror, website


class Lookout:
    """Asks the gateway's HTTP port as the authority does; orders wait until ``lets_go``."""

    def __init__(self) -> None:
        self.there: GatewayWorld | None = None
        self.lets_go = asyncio.Event()

    async def look(self, name: str, path: str) -> str:
        await self.lets_go.wait()
        assert self.there is not None
        async with self.there.get(path, host=name) as response:
            return await response.text()


@asynccontextmanager
async def certified(folder: Path, **fields: object) -> AsyncIterator[tuple[GatewayWorld, FakeIssuer, Lookout, int]]:
    """A gateway with ACME, and a service to publish."""
    lookout = Lookout()
    issuer = FakeIssuer(folder / "issuer", lookout.look)
    config = replace(CONFIG, https=(LOOPBACK,), acme=AcmeOptions(email="me@gw.test", folder=folder / "acme"), **fields)
    async with gateway_world(folder, config, issuer=issuer) as there, website(mirror) as port:
        lookout.there = there
        yield there, issuer, lookout, port


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_hosts_get_certificates_and_visitors_wait_for_them(tmp_path):
    async with certified(tmp_path, custom_hosts=True) as (there, issuer, lookout, port):
        await there.publish(port, name="blog")
        await there.publish(port, hosts=("blog.example.org",))
        address = there.gateway.https_addresses[0]
        insecure = ssl.create_default_context()
        insecure.check_hostname, insecure.verify_mode = False, ssl.CERT_NONE
        shake = asyncio.open_connection(*address, ssl=insecure, server_hostname="blog.gw.test")
        visitor = asyncio.get_running_loop().create_task(shake)
        await asyncio.sleep(0.2)
        assert not visitor.done(), "its certificate is on its way"
        lookout.lets_go.set()
        _, writer = await visitor
        writer.close()
        await until(lambda: len(issuer.asked) == 3)
        assert issuer.asked[0] == "gw.test"
        for host in ("blog.gw.test", "blog.example.org"):
            said = await curl(address, f"https://{host}:{address.port}/x", "--cacert", str(issuer.authority(host)))
            assert json.loads(said)["path"] == "/x"
        rows = {row["name"]: row for row in there.gateway._about()["certificates"]}
        assert rows.keys() == {"gw.test", "blog.gw.test", "blog.example.org"}
        assert all(row["ends"] and not row["problem"] for row in rows.values())
    # The next run has them.
    async with certified(tmp_path) as (there, issuer, _, port):
        await there.publish(port, name="blog")
        address = there.gateway.https_addresses[0]
        await curl(address, f"https://blog.gw.test:{address.port}/", "--cacert", str(issuer.authority("blog.gw.test")))
        assert issuer.asked == []


async def test_a_name_that_is_refused_is_told_and_its_visitors_get_the_default_or_an_alert(tmp_path):
    async with certified(tmp_path) as (there, issuer, lookout, port):
        issuer.refused = {"gw.test", "blog.gw.test"}
        lookout.lets_go.set()
        await there.publish(port, name="blog")
        await until(lambda: len(issuer.asked) == 2)
        address = there.gateway.https_addresses[0]
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            await asyncio.open_connection(
                *address, ssl=ssl.create_default_context(), server_hostname="blog.gw.test", ssl_handshake_timeout=5
            )
        problems = {row["name"]: row["problem"] for row in there.gateway._about()["certificates"]}
        assert "wrong answer" in problems["blog.gw.test"]


async def test_challenges_of_nobody_and_of_other_hosts_reach_the_service(tmp_path):
    async with certified(tmp_path, redirect=False) as (there, issuer, _, port):
        await there.publish(port, name="blog")
        await until(lambda: issuer.asked == ["gw.test"])
        for path in (PREFIX + "unknown", PREFIX + TOKEN):
            async with there.get(path) as response:
                assert (await response.json())["path"] == path
        async with there.get(PREFIX + TOKEN, host="gw.test") as response:
            assert await response.text() == ANSWER
        async with there.get(PREFIX + "unknown", host="gw.test") as response:
            assert response.status == 404


async def test_a_certificate_of_the_operators_wins(tmp_path):
    own = Authority(tmp_path, "*.gw.test")
    files = (CertificateFiles(own.certificate, own.key),)
    async with certified(tmp_path, certificates=files, custom_hosts=True) as (there, issuer, lookout, port):
        lookout.lets_go.set()
        await there.publish(port, name="blog")
        await there.publish(port, hosts=("blog.example.org",))
        await until(lambda: len(issuer.asked) == 2)
        assert issuer.asked == ["gw.test", "blog.example.org"]
        address = there.gateway.https_addresses[0]
        await curl(address, f"https://blog.gw.test:{address.port}/", "--cacert", str(own.root))
