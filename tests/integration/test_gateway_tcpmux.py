"""TCP services by their names, on the gateway's port for HTTP."""

from __future__ import annotations

import asyncio
import base64
import shutil
from asyncio.subprocess import PIPE

import pytest

from p2p.proto.publication import Access
from p2p.session.events import Public
from tests.support.curl import curl
from tests.support.gateway_world import GatewayWorld, gateway_world, mirror, website
from tests.support.peers import echo_service

LOGIN = base64.b64encode(b"ann:secret").decode()


async def connect(
    there: GatewayWorld, head: str, more: bytes = b""
) -> tuple[str, asyncio.StreamReader, asyncio.StreamWriter]:
    """Say something on the gateway's port; tells the first line of the answer."""
    reader, writer = await asyncio.open_connection(*there.gateway.http_addresses[0])
    # In pieces, as it comes over a slow line.
    for piece in (head[:5], head[5:20], head[20:]):
        writer.write(piece.encode("latin-1"))
        await asyncio.sleep(0.02)
    writer.write(more)
    async with asyncio.timeout(5):
        answer = (await reader.readuntil(b"\r\n\r\n")).decode()
    return answer.partition("\r\n")[0], reader, writer


async def test_a_service_is_reached_by_its_name(tmp_path):
    async with gateway_world(tmp_path) as there, echo_service() as port:
        _, news, _ = await there.publish(port, name="ssh", kind="tcpmux", access=Access(basic=("ann:secret",)))
        http = there.gateway.http_addresses[0].port
        assert (await news.wait_for(Public)).urls == (f"tcpmux://ssh.gw.test:{http}",)
        head = f"CONNECT SSH.gw.test:22 HTTP/1.1\r\nHost: ssh.gw.test:22\r\nProxy-Authorization: Basic {LOGIN}\r\n\r\n"
        # What comes with the head is for the service already.
        status, reader, writer = await connect(there, head, b"early ")
        assert status == "HTTP/1.1 200 Connection established"
        writer.write(b"hello")
        assert await reader.readexactly(11) == b"early hello"
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("CONNECT ssh.gw.test:22 HTTP/1.1\r\nHost: x\r\n\r\n", 407),
        (f"CONNECT ssh.gw.test:22 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic {LOGIN[:-2]}\r\n\r\n", 407),
        (f"CONNECT ssh.gw.test:22 HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {LOGIN}\r\n\r\n", 407),
        ("CONNECT nobody.gw.test:22 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("CONNECT blog.gw.test:80 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("CONNECT closed.gw.test:22 HTTP/1.1\r\nHost: x\r\n\r\n", 403),
        ("CONNECT ssh.gw.test HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("CONNECT ssh.gw.test:22 HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        ("CONNECT  ssh.gw.test:22 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (f"CONNECT ssh.gw.test:22 HTTP/1.1\r\nHost: x\r\nX: {'a' * 9000}\r\n\r\n", 400),
        # A service of this kind has no pages.
        ("GET / HTTP/1.1\r\nHost: ssh.gw.test\r\n\r\n", 404),
    ],
)
async def test_nobody_else_is(tmp_path, head, status):
    async with gateway_world(tmp_path) as there, echo_service() as port, website(mirror) as site:
        await there.publish(port, name="ssh", kind="tcpmux", access=Access(basic=("ann:secret",)))
        await there.publish(port, name="closed", kind="tcpmux", access=Access(deny=("127.0.0.0/8",)))
        await there.publish(site, name="blog")
        answer, _, writer = await connect(there, head)
        assert int(answer.split()[1]) == status
        writer.close()


async def test_curl_and_socat_find_the_way(tmp_path):
    async with gateway_world(tmp_path) as there, website(mirror) as site, echo_service() as port:
        await there.publish(site, name="web", kind="tcpmux", access=Access(basic=("ann:secret",)))
        await there.publish(port, name="echo", kind="tcpmux")
        address = there.gateway.http_addresses[0]
        proxy = ("--proxytunnel", "--proxy", f"http://{address}", "--proxy-user", "ann:secret", "--noproxy", "")
        assert '"path": "/a"' in await curl(address, "http://web.gw.test/a", *proxy)
        if (socat := shutil.which("socat")) is not None:
            where = f"PROXY:{address.host}:echo.gw.test:22,proxyport={address.port}"
            process = await asyncio.create_subprocess_exec(socat, "-t5", "-", where, stdin=PIPE, stdout=PIPE)
            out, _ = await process.communicate(b"hello")
            assert out == b"hello"
