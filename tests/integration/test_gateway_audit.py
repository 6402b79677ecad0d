"""What the audit log of a gateway says, and what it never does."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.audit import AuditLog
from p2p.address import TransportAddress
from p2p.proto.publication import Access
from tests.support.commands import SERVE, Command
from tests.support.gateway_world import CONFIG, gateway_world, mirror, website
from tests.support.peers import echo, echo_service
from tests.support.ports import free_ports
from tests.support.udp_services import exchange, udp_client, udp_echo_service


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_requests_and_refusals_are_told_without_secrets(tmp_path):
    access = Access(basic=("ann:hunter2",), bearer=("t0ken-secret",), deny=("10.0.0.0/8",))
    async with (
        AuditLog(tmp_path / "audit") as log,
        gateway_world(tmp_path, audit=log) as there,
        website(mirror) as port,
    ):
        await there.publish(port, name="blog", access=access)
        basic = base64.b64encode(b"ann:hunter2").decode()
        for headers in (
            {"Authorization": f"Basic {basic}"},
            {"Authorization": "Bearer t0ken-secret"},
            {"Authorization": "Bearer wr0ng-secret"},
        ):
            async with there.get("/a?key=s3cret", method="POST", data=b"body", headers=headers) as response:
                size = len(await response.read())
        async with there.get("/b", host="shop.gw.test"):
            pass
        async with there.get("/healthz", host="gw.test"):
            pass
    first, second, third, fourth = records(tmp_path / "audit")
    assert first["visitor"].startswith("127.0.0.1:")
    assert first["took_ms"] > 0
    assert len(first["instance"]) == 8
    assert first["time"].endswith("Z")
    assert {key: first[key] for key in ("kind", "service", "host", "method", "path", "status", "bytes_in", "who")} == {
        "kind": "http",
        "service": "blog.gw.test",
        "host": "blog.gw.test",
        "method": "POST",
        "path": "/a",
        "status": 200,
        "bytes_in": 4,
        "who": "ann",
    }
    assert first["bytes_out"] > 100
    assert second["who"] == "bearer 1"
    assert (third["status"], third["problem"], third["bytes_out"], "who" in third) == (401, "credentials", size, False)
    assert (fourth["status"], fourth["problem"], fourth["host"]) == (404, "no_service", "shop.gw.test")
    written = (tmp_path / "audit").read_text()
    assert not any(secret in written for secret in ("hunter2", basic, "t0ken", "wr0ng", "s3cret"))


async def test_connections_of_ports_are_told_with_their_bytes(tmp_path):
    ports = free_ports(2)
    config = replace(CONFIG, ports={kind: (port, port) for kind, port in zip(("tcp", "udp"), ports, strict=True)})
    async with (
        AuditLog(tmp_path / "audit") as log,
        gateway_world(tmp_path, config, audit=log) as there,
        echo_service() as service,
        udp_echo_service() as udp_service,
    ):
        exposer, _, _ = await there.publish(service, kind="tcp", port=ports[0])
        await echo(TransportAddress("127.0.0.1", ports[0]), bytes(5000))
        await exposer.drain()
        await there.publish(service, kind="tcp", port=ports[0], access=Access(deny=("127.0.0.0/8",)))
        reader, writer = await asyncio.open_connection("127.0.0.1", ports[0])
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        writer.close()
        await there.publish(udp_service, kind="udp", port=ports[1])
        with udp_client(TransportAddress("127.0.0.1", ports[1])) as client:
            await exchange(client, b"0123456789")
    served, refused, udp = records(tmp_path / "audit")
    assert (served["kind"], served["service"], served["bytes_in"], served["bytes_out"]) == (
        "tcp",
        f"tcp:{ports[0]}",
        5000,
        5000,
    )
    assert refused["problem"] == "access"
    assert (udp["kind"], udp["bytes_in"], udp["bytes_out"]) == ("udp", 10, 10)


async def test_sighup_opens_the_file_anew_and_ends_nothing(tmp_path):
    path = tmp_path / "audit"
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with Command(tmp_path / "a", SERVE) as serve:
        url = serve.wait_for("serving")["rendezvous"]
        at = ("--domain", "gw.test", "--http", "127.0.0.1:0", "--audit", str(path))
        with Command(tmp_path / "b", ["gateway", *at, "--rendezvous", url]) as gateway:
            gateway.wait_for("gateway_ready")
            path.rename(tmp_path / "audit.1")
            os.kill(gateway.pid, signal.SIGHUP)
            async with asyncio.timeout(10):
                while not path.exists():
                    await asyncio.sleep(0.02)


async def test_a_visitor_s_bytes_that_are_no_text_are_told_as_far_as_they_are(tmp_path):
    async with AuditLog(tmp_path / "audit") as log, gateway_world(tmp_path, audit=log) as there:
        reader, writer = await asyncio.open_connection(*there.gateway.http_addresses[0])
        writer.write(b"GET /a HTTP/1.1\r\nHost: b\xffog.gw.test\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    (refused,) = records(tmp_path / "audit")
    assert (refused["host"], refused["path"], refused["status"]) == ("b?og.gw.test", "/a", 400)
