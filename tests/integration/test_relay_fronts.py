"""The relay behind a front that tells whose connection it passes on, and its ports as a browser sees them."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import shutil
import ssl

import pytest

from p2p.address import TransportAddress
from p2p.proto.proxy_protocol import ProxyHeader, encode_v1, encode_v2
from p2p.proto.stun.attributes import XOR_MAPPED_ADDRESS
from p2p.proto.stun.message import Message, MessageClass, Method, decode_untrusted, encode
from relay.core.counters import Drop
from relay.service import RelayService
from relay.shell.connections import ConnectionLimits
from tests.support.ports import free_port
from tests.support.relay import loopback_config
from tests.support.turn_client import EchoPeer, TurnClient

LOCAL = (ipaddress.ip_network("127.0.0.1/32"),)
CLIENT = TransportAddress("203.0.113.7", 4000)
HEADER = ProxyHeader(CLIENT, TransportAddress("198.51.100.1", 443))
HEADER_V6 = ProxyHeader(TransportAddress("2620:fe::7", 4000), TransportAddress("2620:fe::1", 443))
BINDING = encode(Message(MessageClass.REQUEST, Method.BINDING, bytes(12)))


async def mapped_address(reader: asyncio.StreamReader) -> TransportAddress:
    head = await reader.readexactly(20)
    answer = decode_untrusted(head + await reader.readexactly(int.from_bytes(head[2:4], "big")))
    return answer.get(XOR_MAPPED_ADDRESS)


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.asynccontextmanager
async def connected(server: TransportAddress, start: bytes, *, tls: bool = False):
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(start)
        if tls:
            await writer.start_tls(trusting())
        async with asyncio.timeout(10):
            yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    ("header", "client"),
    [
        (encode_v1(HEADER), HEADER.source),
        (encode_v2(HEADER), HEADER.source),
        (encode_v1(HEADER_V6), HEADER_V6.source),
        (encode_v2(HEADER_V6), HEADER_V6.source),
    ],
    ids=["v1", "v2", "v1 IPv6", "v2 IPv6"],
)
async def test_the_client_is_whom_the_front_names(header, client, tls):
    async with RelayService(loopback_config(trusted_proxies=LOCAL)) as service:
        server = (service.tls_addresses if tls else service.tcp_addresses)[0]
        async with connected(server, header, tls=tls) as (reader, writer):
            writer.write(BINDING)
            assert await mapped_address(reader) == client


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", encode_v2(ProxyHeader())])
async def test_a_health_check_of_the_front_is_its_own(header):
    async with (
        RelayService(loopback_config(trusted_proxies=LOCAL)) as service,
        connected(service.tcp_addresses[0], header + BINDING) as (reader, _),
    ):
        assert (await mapped_address(reader)).host == "127.0.0.1"


async def test_a_header_that_trickles_in_is_read():
    async with (
        RelayService(loopback_config(trusted_proxies=LOCAL)) as service,
        connected(service.tcp_addresses[0], b"") as (reader, writer),
    ):
        for byte in encode_v2(HEADER) + BINDING:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        assert await mapped_address(reader) == CLIENT


@pytest.mark.parametrize(
    "start", [BINDING, b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 nonsense\r\n", b"PROXY " + bytes(200)]
)
async def test_a_front_must_say_whose_connection_it_is(start):
    async with RelayService(loopback_config(trusted_proxies=LOCAL)) as service:
        async with connected(service.tcp_addresses[0], start) as (reader, _):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        assert service.counters.drops[Drop.PROXY_HEADER] == 1


async def test_nobody_else_may():
    async with RelayService(loopback_config()) as service:
        for header in (encode_v1(HEADER), encode_v2(HEADER)):
            async with connected(service.tcp_addresses[0], header + BINDING) as (reader, _):
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""


async def test_limits_are_those_of_the_client_and_not_of_the_front():
    config = loopback_config(trusted_proxies=LOCAL, connections=ConnectionLimits(per_address=1))
    async with RelayService(config) as service, contextlib.AsyncExitStack() as stack:
        server = service.tcp_addresses[0]
        for host in ("203.0.113.7", "203.0.113.8"):
            header = encode_v2(HEADER._replace(source=TransportAddress(host, 4000)))
            reader, _ = await stack.enter_async_context(connected(server, header + BINDING))
            assert (await mapped_address(reader)).host == host
        async with connected(server, header + BINDING) as (reader, _):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        assert service.counters.drops[Drop.CONNECTION_LIMIT] == 1


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2"])
async def test_haproxy_in_front(option, tmp_path):
    async with RelayService(loopback_config(trusted_proxies=LOCAL)) as service, EchoPeer() as peer:
        front = TransportAddress("127.0.0.1", free_port())
        file = tmp_path / "haproxy.cfg"
        file.write_text(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n"
            f"listen turn\n bind {front}\n server relay {service.tls_addresses[0]} {option}\n"
        )
        process = await asyncio.create_subprocess_exec("haproxy", "-db", "-q", "-f", str(file))
        try:
            for _ in range(200):
                with contextlib.suppress(OSError):
                    (await asyncio.open_connection(*front))[1].close()
                    break
                await asyncio.sleep(0.05)
            async with TurnClient(front, kind="tls") as client:
                await client.allocate()
                await client.bind(peer.address)
                client.send(peer.address, b"through the front")
                assert await client.receive() == (peer.address, b"through the front")
                local = TransportAddress.from_socket(client.transport.get_extra_info("sockname"))
                assert [found.five_tuple.client for found in service._running().server.table] == [local]
        finally:
            process.terminate()
            await process.wait()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("kind", ["tcp", "tls"])
async def test_curl_sees_a_web_server_without_pages(kind):
    async with RelayService(loopback_config()) as service:
        server = getattr(service, f"{kind}_addresses")[0]
        url = f"{'https' if kind == 'tls' else 'http'}://{server}/index.html"
        process = await asyncio.create_subprocess_exec(
            "curl", "-skS", "--max-time", "10", "-w", " %{http_code}", url, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        assert output.endswith(b" 404")
        assert b"<h1>Not Found</h1>" in output
        assert service.counters.drops[Drop.HTTP] == 1
