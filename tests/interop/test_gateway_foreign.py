"""The gateway beside programs that are not ours: nginx and HAProxy in front of it, with the files that we ship."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import TypeAlias

import pytest

from gateway.config import GatewayConfig
from gateway.ingress.tls import CertificateFiles
from p2p.session.options import ProxyVersion
from tests.support.authority import Authority
from tests.support.fronts import run_haproxy, run_nginx, shipped
from tests.support.gateway_world import CONFIG, LOOPBACK, GatewayWorld, gateway_world, mirror, website
from tests.support.ports import free_port, free_ports

Front: TypeAlias = tuple[GatewayWorld, int, Authority]
VISITOR = "127.0.0.7"
FRONT = (ip_network("127.0.0.1/32"),)
INNER = """
server {{
    listen 127.0.0.1:{port} proxy_protocol;
    set_real_ip_from 127.0.0.1;
    real_ip_header proxy_protocol;
    location / {{ return 200 "$remote_addr $http_x_forwarded_for"; }}
}}
"""


async def curl(port: int, authority: Authority, *flags: str, path: str = "/") -> str:
    """Ask as a visitor with an address of its own, which also claims to be somebody else."""
    if (program := shutil.which("curl")) is None:
        pytest.skip("curl is not installed")
    process = await asyncio.create_subprocess_exec(
        program,
        *("--silent", "--show-error", "--max-time", "20", "--noproxy", "*", "--interface", VISITOR),
        *("--cacert", str(authority.root), "--resolve", f"blog.gw.test:{port}:127.0.0.1"),
        *("--header", "X-Forwarded-For: 6.6.6.6", "--header", "X-Real-IP: 6.6.6.6"),
        *flags,
        f"https://blog.gw.test:{port}{path}",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


def visitor_of(answer: str) -> dict[str, str]:
    return {name.lower(): value for name, value in json.loads(answer)["headers"]}


@asynccontextmanager
async def behind_nginx(folder: Path) -> AsyncIterator[Front]:
    authority, port = Authority(folder, "*.gw.test"), free_port()
    config = replace(CONFIG, fronts=FRONT, public_https_port=port)
    async with gateway_world(folder, config) as there:
        text = shipped(
            "nginx-gateway.conf",
            ("listen 443 ssl http2;", f"listen 127.0.0.1:{port} ssl http2;"),
            ("    listen [::]:443 ssl http2;\n", ""),
            ("127.0.0.1:8480", str(there.gateway.http_addresses[0])),
            ("tunnels.example.com *.tunnels.example.com", "gw.test *.gw.test"),
            ("/etc/letsencrypt/live/tunnels.example.com/fullchain.pem", str(authority.certificate)),
            ("/etc/letsencrypt/live/tunnels.example.com/privkey.pem", str(authority.key)),
        )
        with run_nginx(text, port, folder):
            yield there, port, authority


@asynccontextmanager
async def behind_haproxy(
    folder: Path, version: str = "send-proxy-v2"
) -> AsyncIterator[tuple[GatewayWorld, int, Authority]]:
    authority = Authority(folder, "*.gw.test")
    http_port, https_port = free_ports(2)
    config: GatewayConfig = replace(
        CONFIG,
        https=(LOOPBACK,),
        certificates=(CertificateFiles(authority.certificate, authority.key),),
        fronts=FRONT,
        has_proxy_header=True,
        public_https_port=https_port,
    )
    async with gateway_world(folder, config) as there:
        text = shipped(
            "haproxy-gateway.cfg",
            ("bind :80", f"bind 127.0.0.1:{http_port}"),
            ("bind :443", f"bind 127.0.0.1:{https_port}"),
            ("127.0.0.1:8480", str(there.gateway.http_addresses[0])),
            ("127.0.0.1:8481", str(there.gateway.https_addresses[0])),
            ("send-proxy-v2", version),
        )
        with run_haproxy(text, https_port, folder):
            yield there, https_port, authority


def by_v1(folder: Path) -> object:
    return behind_haproxy(folder, "send-proxy")


@pytest.mark.parametrize("front", [behind_nginx, behind_haproxy, by_v1], ids=["nginx", "haproxy v2", "haproxy v1"])
async def test_the_service_sees_the_visitor_through_a_front(tmp_path: Path, front: Callable[[Path], object]) -> None:
    async with front(tmp_path) as (there, port, authority), website(mirror) as site:  # type: ignore[attr-defined]
        await there.publish(site, name="blog")
        for flags in (("--http1.1",), ("--http2",)):
            headers = visitor_of(await curl(port, authority, *flags))
            assert headers["x-forwarded-for"] == headers["x-real-ip"] == VISITOR
            assert headers["x-forwarded-proto"] == "https"
            assert headers["host"] == f"blog.gw.test:{port}"


@pytest.mark.parametrize("front", [behind_nginx, behind_haproxy], ids=["nginx", "haproxy"])
async def test_large_uploads_pass_a_front(tmp_path: Path, front: Callable[[Path], object]) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(bytes(8 << 20))
    async with front(tmp_path) as (there, port, authority), website(mirror) as site:  # type: ignore[attr-defined]
        await there.publish(site, name="blog")
        answer = await curl(port, authority, "--data-binary", f"@{upload}", "--header", "Expect: 100-continue")
        assert json.loads(answer)["body"] == 8 << 20


@contextmanager
def inner_nginx(folder: Path) -> Iterator[int]:
    """A site that reads the PROXY header and tells whom it sees."""
    folder.mkdir()
    port = free_port()
    with run_nginx(INNER.format(port=port), port, folder):
        yield port


@pytest.mark.parametrize("version", list(ProxyVersion))
@pytest.mark.parametrize("front", [behind_nginx, behind_haproxy, by_v1], ids=["nginx", "haproxy v2", "haproxy v1"])
async def test_nginx_at_home_sees_the_visitor_through_a_front(
    tmp_path: Path, front: Callable[[Path], object], version: ProxyVersion
) -> None:
    async with front(tmp_path) as (there, port, authority):  # type: ignore[attr-defined]
        with inner_nginx(tmp_path / "inner") as site:
            await there.publish(site, expose={"proxy_protocol": version}, name="blog")
            assert await curl(port, authority) == f"{VISITOR} {VISITOR}"
