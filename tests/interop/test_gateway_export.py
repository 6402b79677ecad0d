"""nginx and HAProxy that know what a gateway publishes, with the files that we ship and those that we write."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import aiohttp
from typer.testing import CliRunner

from gateway.config import GatewayConfig
from gateway.export.keep import HaproxyFiles, Keeper
from gateway.export.published import Published
from gateway.export.runtime import HaproxyRuntime
from p2p.address import TransportAddress
from p2p.cli.app import app
from p2p.cli.gateway_control import query
from tests.support.authority import Authority
from tests.support.commands import need
from tests.support.fronts import run_haproxy, run_nginx, run_nginx_stream, shipped
from tests.support.gateway_world import CONFIG, GatewayWorld, gateway_world, mirror, website
from tests.support.peers import echo, echo_service
from tests.support.ports import free_ports

FRONT = (ip_network("127.0.0.1/32"),)


async def status(port: int, authority: Authority, host: str, session: aiohttp.ClientSession) -> tuple[int, str]:
    """What a visitor of the proxy is answered, and who answers."""
    async with session.get(
        f"https://127.0.0.1:{port}/",
        headers={"Host": host, "X-Forwarded-For": "6.6.6.6", "Connection": "close"},
        ssl=authority.context(),
        server_hostname="blog.gw.test",
    ) as response:
        seen = ""
        if response.status == 200:
            said = await response.json()
            seen = {name.lower(): value for name, value in said["headers"]}["x-forwarded-for"]
        return response.status, response.headers.get("X-P2P-Problem", "") or seen


async def until(there: GatewayWorld, port: int, authority: Authority, wanted: tuple[int, str]) -> None:
    """Wait for an answer: workers of before a reload may answer for a moment."""
    async with asyncio.timeout(10):
        while await status(port, authority, "blog.gw.test", there.visitor) != wanted:
            await asyncio.sleep(0.05)


def config(folder: Path, port: int, **changes: object) -> GatewayConfig:
    return replace(CONFIG, fronts=FRONT, public_https_port=port, control=folder / "control", **changes)  # type: ignore[arg-type]


async def test_nginx_knows_the_names_of_the_moment(tmp_path: Path) -> None:
    authority, (port, tcp) = Authority(tmp_path, "*.gw.test"), free_ports(2)
    names, stream = tmp_path / "names.conf", tmp_path / "stream.conf"
    text = shipped(
        "nginx-export.conf",
        ("listen 443 ssl http2;", f"listen 127.0.0.1:{port} ssl http2;"),
        ("include /etc/nginx/p2p/names.conf;", f"include {names};"),
        ("/etc/letsencrypt/live/tunnels.example.com/fullchain.pem", str(authority.certificate)),
        ("/etc/letsencrypt/live/tunnels.example.com/privkey.pem", str(authority.key)),
    )
    reload = f"{need('nginx')} -c {tmp_path}/nginx.conf -p {tmp_path} -s reload"
    settings = config(tmp_path, port, ports={"tcp": (tcp, tcp)})
    async with gateway_world(tmp_path, settings) as there, website(mirror) as site, echo_service() as echoing:

        async def export(then: str) -> None:
            words = ["--http", str(names), "--stream", str(stream), "--listen", "127.0.0.9", "--then", then]
            command = ["gateway", "export", "nginx", *words, "--socket", str(tmp_path / "control")]
            result = await asyncio.to_thread(CliRunner().invoke, app, command)
            assert result.exit_code == 0, result.output

        await export("")
        with run_nginx(text, port, tmp_path, reloads=True):
            assert await status(port, authority, "blog.gw.test", there.visitor) == (404, "")
            await there.publish(site, name="blog")
            exposer, _, _ = await there.publish(echoing, kind="tcp", port=tcp)
            await export(reload)
            await until(there, port, authority, (200, "127.0.0.1"))
            assert await status(port, authority, "shop.gw.test", there.visitor) == (404, "")
            # Nothing has changed: nothing is written, and nginx is left alone.
            before = names.stat()
            await export(reload)
            assert names.stat() == before
            assert names.stat().st_mode & 0o777 == 0o644
        assert f"listen 127.0.0.9:{tcp};\n    proxy_pass 127.0.0.1:{tcp};" in stream.read_text()
        with run_nginx_stream(stream.read_text(), tcp, tmp_path / "stream", "127.0.0.9"):
            await echo(TransportAddress("127.0.0.9", tcp), b"through nginx")
        await exposer.drain()
        await export("")
        assert str(tcp) not in stream.read_text()


async def test_haproxy_hears_of_names_without_a_reload(tmp_path: Path) -> None:
    authority, (port, tcp) = Authority(tmp_path, "*.gw.test"), free_ports(2)
    pem = tmp_path / "both.pem"
    pem.write_text(authority.certificate.read_text() + authority.key.read_text())
    sections, hosts, api = tmp_path / "p2p.cfg", tmp_path / "hosts.map", tmp_path / "haproxy.sock"
    text = shipped(
        "haproxy-export.cfg",
        ("bind :443", f"bind 127.0.0.1:{port}"),
        ("/etc/haproxy/tunnels.example.com.pem", str(pem)),
        ("map(/etc/haproxy/p2p-hosts.map)", f"map({hosts})"),
        ("stats socket /run/haproxy.sock", f"stats socket {api}"),
    )
    mark = tmp_path / "reloaded"
    settings = config(tmp_path, port, ports={"tcp": (tcp, tcp)})
    async with gateway_world(tmp_path, settings) as there, website(mirror) as site, echo_service() as echoing:

        def keeper(runtime: Path | None) -> Keeper:
            files = HaproxyFiles(
                config=sections,
                hosts=hosts,
                tls_hosts=None,
                listen="127.0.0.9",
                runtime=None if runtime is None else HaproxyRuntime(runtime),
            )
            return Keeper(
                files,
                lambda: Published.of_status(query(tmp_path / "control", "status")),
                then=f"touch {mark}",
                tell=print,
            )

        await asyncio.to_thread(keeper(None).look)
        assert mark.exists()
        mark.unlink()
        with run_haproxy(text, port, tmp_path, sections):
            kept = keeper(api)
            assert await status(port, authority, "blog.gw.test", there.visitor) == (404, "")
            exposer, _, _ = await there.publish(site, name="blog")
            await asyncio.to_thread(kept.look)
            await until(there, port, authority, (200, "127.0.0.1"))
            there.gateway.draining = True
            await asyncio.to_thread(kept.look)
            assert (await status(port, authority, "blog.gw.test", there.visitor))[0] == 503
            there.gateway.draining = False
            await exposer.drain()
            await asyncio.to_thread(kept.look)
            assert await status(port, authority, "blog.gw.test", there.visitor) == (404, "")
            assert not mark.exists()
            # A port is a section of its own, which only a reload brings.
            await there.publish(echoing, kind="tcp", port=tcp)
            await asyncio.to_thread(kept.look)
            assert mark.exists()
        with run_haproxy(text, port, tmp_path, sections):
            await echo(TransportAddress("127.0.0.9", tcp), b"through HAProxy")
