"""A gateway, publishers and visitors in one process on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from gateway.ingress import tls
from gateway.ingress.tls import CertificateFiles, Certificates
from p2p.address import TransportAddress
from p2p.errors import ConfigError
from p2p.proto.proxy_protocol import ProxyHeader, encode_v1, encode_v2
from p2p.proto.publication import Access
from p2p.session.events import Problem, Public, Visit
from p2p.session.options import PublicOptions
from tests.support.authority import Authority
from tests.support.gateway_world import CONFIG, LOOPBACK, GatewayWorld, gateway_world, mirror, website
from tests.support.peers import echo, echo_service
from tests.support.ports import free_ports
from tests.support.udp_services import exchange, receive, udp_client, udp_echo_service


async def test_a_published_site_is_reached_by_name(tmp_path):
    async with gateway_world(tmp_path) as there, website(mirror) as port:
        _, news, _ = await there.publish(port, name="blog")
        assert (await news.wait_for(Public)).urls == (f"http://blog.gw.test:{there.gateway.http_addresses[0].port}",)
        async with there.get(
            "/a%2Fb?c=%20d", headers={"X-Forwarded-For": "6.6.6.6", "Connection": "x-secret", "X-Secret": "1"}
        ) as response:
            said = await response.json()
            assert response.status == 200
            assert response.headers["X-Own"] == "yes"
        assert said["path"] == "/a%2Fb?c=%20d"
        headers = {name.lower(): value for name, value in said["headers"]}
        assert headers["x-forwarded-for"] == headers["x-real-ip"] == "127.0.0.1"
        assert headers["host"] == headers["x-forwarded-host"] == "blog.gw.test"
        assert "x-secret" not in headers
        visit = await news.wait_for(Visit)
        assert (visit.summary, visit.status) == ("GET /a%2Fb?c=%20d", 200)


async def test_large_bodies_are_streamed_both_ways(tmp_path):
    size = 32 << 20

    async def swallow_and_send(request: web.BaseRequest) -> web.StreamResponse:
        received = 0
        async for piece in request.content.iter_any():
            received += len(piece)
        response = web.StreamResponse(headers={"X-Received": str(received)})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for _ in range(size >> 20):
            await response.write(bytes(1 << 20))
        return response

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(size >> 20):
            yield bytes(1 << 20)

    async with gateway_world(tmp_path) as there, website(swallow_and_send) as port:
        await there.publish(port, name="blog")
        async with there.get("/", method="POST", data=pieces()) as response:
            assert response.headers["X-Received"] == str(size)
            assert len(await response.read()) == size


async def test_problems_are_explained(tmp_path):
    async with gateway_world(tmp_path) as there, website(mirror) as port:
        async with there.get("/", host="nobody.gw.test", headers={"Accept": "text/html"}) as response:
            assert (response.status, response.headers["X-P2P-Problem"]) == (404, "no_service")
            assert "<h1>Nothing is published here</h1>" in await response.text()
        async with there.get("/healthz", host="gw.test") as response:
            assert await response.text() == "ok\n"
        exposer, _, _ = await there.publish(free_ports(1)[0], name="blog")
        async with there.get("/") as response:
            assert (response.status, response.headers["X-P2P-Problem"]) == (502, "upstream")
        for session in list(exposer.sessions.values()):
            session.close()
        await there.publish(port, name="other")
        async with there.get("/", host="other.gw.test") as response:
            assert response.status == 200


async def test_problems_are_explained_on_the_operators_own_pages(tmp_path):
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "error.html").write_text("<h1>{{title}}</h1> at {{host}}")
    (pages / "upstream.html").write_text("We are baking it.")
    async with gateway_world(tmp_path, replace(CONFIG, error_pages=pages)) as there:
        await there.publish(free_ports(1)[0], name="blog")
        for host, said in (
            ("blog.gw.test", "We are baking it."),
            ("shop.gw.test", "<h1>Nothing is published here</h1> at shop.gw.test"),
        ):
            async with there.get("/", host=host, headers={"Accept": "text/html"}) as response:
                assert await response.text() == said
        async with there.get("/") as response:
            assert (await response.text()).startswith("502 upstream: ")


async def test_access_is_checked(tmp_path):
    access = Access(basic=("ann:secret",), body_max_bytes=10)
    async with gateway_world(tmp_path) as there, website(mirror) as port:
        await there.publish(port, name="blog", access=access)
        async with there.get("/") as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"].startswith("Basic")
        login = (
            aiohttp.encode_basic_auth("ann", "secret")
            if hasattr(aiohttp, "encode_basic_auth")
            else aiohttp.BasicAuth("ann", "secret").encode()
        )
        async with there.get("/", headers={"Authorization": login}) as response:
            said = await response.json()
            assert "authorization" not in {name.lower() for name, _ in said["headers"]}
        async with there.get("/", method="POST", data=bytes(11), headers={"Authorization": login}) as response:
            assert response.status == 413
        await there.publish(port, name="closed", access=Access(deny=("127.0.0.0/8",)))
        async with there.get("/", host="closed.gw.test") as response:
            assert response.status == 403
        await there.publish(port, name="slow", access=Access(requests_per_s=0.01))
        statuses = []
        for _ in range(2):
            async with there.get("/", host="slow.gw.test") as response:
                statuses.append(response.status)
        assert statuses == [200, 429]


async def test_websockets_pass(tmp_path):
    heard = asyncio.Queue[int | None]()

    async def chat(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("chat",))
        await socket.prepare(request)
        async for message in socket:
            await (socket.send_str if message.type is aiohttp.WSMsgType.TEXT else socket.send_bytes)(message.data)
        heard.put_nowait(socket.close_code)
        return socket

    async with gateway_world(tmp_path) as there, website(chat) as port:
        await there.publish(port, name="blog")
        url = f"ws://{there.gateway.http_addresses[0]}/talk"
        async with there.visitor.ws_connect(url, headers={"Host": "blog.gw.test"}, protocols=("chat",)) as socket:
            assert socket.protocol == "chat"
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello"
            await socket.send_bytes(bytes(1 << 20))
            assert await socket.receive_bytes() == bytes(1 << 20)
            await socket.close(code=4001)
            assert await heard.get() == 4001
            assert socket.close_code == aiohttp.WSCloseCode.OK  # what this service answers


async def test_a_websocket_whose_visitor_is_slow_waits_and_loses_nothing(tmp_path):
    pieces = [bytes([number]) * 200_000 for number in range(100)]

    async def stream(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for piece in pieces:
            await socket.send_bytes(piece)
        await socket.close()
        return socket

    async with gateway_world(tmp_path) as there, website(stream) as port:
        await there.publish(port, name="blog")
        url = f"ws://{there.gateway.http_addresses[0]}/"
        async with there.visitor.ws_connect(url, headers={"Host": "blog.gw.test"}, max_msg_size=0) as socket:
            await asyncio.sleep(0.5)
            assert [await socket.receive_bytes() for _ in pieces] == pieces


async def test_a_websocket_is_compressed_if_both_ends_wish(tmp_path):
    async def chat(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=True)
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    async with gateway_world(tmp_path) as there, website(chat) as port:
        await there.publish(port, name="blog")
        url = f"ws://{there.gateway.http_addresses[0]}/"
        async with there.visitor.ws_connect(url, headers={"Host": "blog.gw.test"}, compress=15) as socket:
            assert socket.compress == 15
            await socket.send_str("ab" * 10_000)
            assert await socket.receive_str() == "ab" * 10_000


async def test_a_service_that_wants_no_websocket_says_so_itself(tmp_path):
    async def refuse(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=403, text=f"not {request.path}")

    async with gateway_world(tmp_path) as there, website(refuse) as port:
        await there.publish(port, name="blog")
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        async with there.get("/talk", headers=upgrade) as response:
            assert (response.status, await response.text()) == (403, "not /talk")


async def test_connections_to_the_service_stay_for_the_next_visitor(tmp_path):
    seen = set()

    async def tell(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        seen.add(request.transport.get_extra_info("peername"))
        return web.Response(text="ok")

    async with gateway_world(tmp_path) as there, website(tell) as port:
        await there.publish(port, name="blog")
        for _ in range(20):
            async with there.get("/") as response:
                assert await response.text() == "ok"
        assert len(seen) == 1


async def test_a_tcp_port_is_published(tmp_path):
    first, last = free_ports(2)
    async with (
        gateway_world(tmp_path, replace(CONFIG, ports={"tcp": (first, last)})) as there,
        echo_service() as port,
    ):
        _, news, _ = await there.publish(port, kind="tcp", port=last)
        assert (await news.wait_for(Public)).urls == (f"tcp://gw.test:{last}",)
        await echo(TransportAddress("127.0.0.1", last), bytes(1 << 20))
        assert (await news.wait_for(Visit)).visitor.startswith("127.0.0.1:")


async def test_a_udp_port_is_published_and_goes_on_with_another_instance(tmp_path):
    first, last = free_ports(2)
    config = replace(CONFIG, ports={"udp": (first, last)})
    async with gateway_world(tmp_path, config) as there, udp_echo_service() as place:
        _, news, _ = await there.publish(place, kind="udp", port=first, group="g")
        assert (await news.wait_for(Public)).urls == (f"udp://gw.test:{first}",)
        await there.publish(place, kind="udp", port=first, group="g")
        with udp_client(TransportAddress("127.0.0.1", first)) as client:
            await exchange(client, b"hello")
            session = next(iter(there.gateway.sessions.values()))
            session.close()
            async with asyncio.timeout(10):
                while True:
                    with contextlib.suppress(TimeoutError):
                        await exchange(client, b"again", attempts=1)
                        break
        await there.publish(place, kind="udp", port=last, access=Access(deny=("127.0.0.0/8",)))
        with udp_client(TransportAddress("127.0.0.1", last)) as client:
            client.send(b"not from here")
            with pytest.raises(TimeoutError):
                await receive(client, within_s=0.3)


async def test_draining_waits_for_visitors_and_not_for_publishers(tmp_path):
    first, last = free_ports(2)
    config = replace(CONFIG, ports={"tcp": (first, last)})
    async with gateway_world(tmp_path, config) as there, website(mirror) as port, echo_service() as other:
        await there.publish(port, name="blog")
        await there.publish(other, kind="tcp", port=first)
        async with there.get("/") as response:
            assert response.status == 200
        await asyncio.wait_for(there.gateway.drain(), 5)
        async with there.get("/healthz", host="gw.test") as response:
            assert response.status == 503
        _, writer = await asyncio.open_connection("127.0.0.1", first)
        writer.write(b"x")
        await asyncio.sleep(0.2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(there.gateway.drain(), 0.5)
        writer.close()
        await asyncio.wait_for(there.gateway.drain(), 5)


async def test_two_instances_share_the_visitors_and_cover_for_each_other(tmp_path):
    async def one(request: web.BaseRequest) -> web.Response:
        return web.Response(text="one")

    async def two(request: web.BaseRequest) -> web.Response:
        return web.Response(text="two")

    async def ask(there: GatewayWorld) -> str:
        async with there.get("/") as response:
            return await response.text()

    async with gateway_world(tmp_path) as there, website(one) as first:
        async with website(two) as second:
            await there.publish(first, name="blog", group="ours")
            _, news, _ = await there.publish(second, name="blog", group="ours")
            assert (await news.wait_for(Public)).instances == 2
            assert {await ask(there) for _ in range(6)} == {"one", "two"}
        assert {await ask(there) for _ in range(6)} == {"one"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "Not A Name"}, "cannot be part"),
        ({"name": "www"}, "reserved"),
        ({"kind": "tcp"}, "no TCP ports"),
        ({"hosts": ("me.example",)}, "own domain only"),
    ],
)
async def test_refusals_are_told(tmp_path, fields, words):
    async with gateway_world(tmp_path) as there:
        public = PublicOptions(gateways=(there.gateway.ticket,), **fields)
        _, _, task = await there.peers.expose(1, public=public)
        error = await asyncio.wait_for(task, 10)
        assert error.code == "P2P-1504"
        assert words in str(error)


async def test_a_name_belongs_to_its_first_publisher(tmp_path):
    async with gateway_world(tmp_path) as there, website(mirror) as port:
        await there.publish(port, name="blog")
        _, news, _ = await there.peers.expose(port, public=PublicOptions(gateways=(there.gateway.ticket,), name="blog"))
        assert "in use" in str((await news.wait_for(Problem)).error)


def own_certificate(folder: Path, *names: str) -> tuple[CertificateFiles, Authority]:
    folder.mkdir()
    authority = Authority(folder, *names)
    return CertificateFiles(authority.certificate, authority.key), authority


async def test_https_with_certificates_by_name_and_a_redirect(tmp_path):
    wildcard, authority = own_certificate(tmp_path / "a", "*.gw.test")
    other, other_authority = own_certificate(tmp_path / "b", "shop.example")
    config = replace(CONFIG, https=(LOOPBACK,), certificates=(wildcard, other), custom_hosts=True)
    async with gateway_world(tmp_path, config) as there, website(mirror) as port:
        _, news, _ = await there.publish(port, name="blog")
        await there.publish(port, hosts=("shop.example",))
        address = there.gateway.https_addresses[0]
        assert (await news.wait_for(Public)).urls == (f"https://blog.gw.test:{address.port}",)
        for host, trusted in (("blog.gw.test", authority), ("shop.example", other_authority)):
            async with there.visitor.get(
                f"https://{address}/", headers={"Host": host}, ssl=trusted.context(), server_hostname=host
            ) as response:
                headers = {name.lower(): value for name, value in (await response.json())["headers"]}
                assert headers["x-forwarded-proto"] == "https"
        async with there.get("/a?b=c") as response:
            assert response.status == 308
            assert response.headers["Location"] == f"https://blog.gw.test:{address.port}/a?b=c"


async def test_tls_is_passed_through_by_its_server_name(tmp_path):
    ours, _ = own_certificate(tmp_path / "a", "*.gw.test")
    theirs, authority = own_certificate(tmp_path / "b", "secret.gw.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*theirs)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    config = replace(CONFIG, https=(LOOPBACK,), certificates=(ours,))
    async with gateway_world(tmp_path, config) as there:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        async with server:
            await there.publish(server.sockets[0].getsockname()[1], name="secret", kind="tls")
            reader, writer = await asyncio.open_connection(
                *there.gateway.https_addresses[0], ssl=authority.context(), server_hostname="secret.gw.test"
            )
            writer.write(b"end to end\n")
            assert await reader.readline() == b"end to end\n"
            writer.close()
            await writer.wait_closed()


async def test_what_is_no_tls_is_dropped(tmp_path):
    ours, _ = own_certificate(tmp_path / "a", "*.gw.test")
    async with gateway_world(tmp_path, replace(CONFIG, https=(LOOPBACK,), certificates=(ours,))) as there:
        reader, writer = await asyncio.open_connection(*there.gateway.https_addresses[0])
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


def test_certificates_are_taken_as_they_are_renewed(tmp_path):
    files, _ = own_certificate(tmp_path / "a", "a.gw.test")
    certificates = Certificates((files,))
    before = certificates.of(None)
    certificates.reload_if_changed()
    assert certificates.of(None) is before
    files.key.write_text("broken")
    with pytest.raises(ConfigError, match=r"key\.pem"):
        certificates.reload_if_changed()
    assert certificates.of(None) is before
    Authority(tmp_path / "a", "a.gw.test")
    certificates.reload_if_changed()
    assert certificates.of(None) is not before
    assert tls.CODE_CERTIFICATE.code == "P2P-1502"


VISITOR = TransportAddress("198.51.100.7", 52110)
PUBLIC = TransportAddress("203.0.113.9", 80)
FRONTS = (ip_network("127.0.0.0/8"),)


async def ask_raw(there: GatewayWorld, before: bytes, headers: str = "") -> bytes:
    reader, writer = await asyncio.open_connection(*there.gateway.http_addresses[0])
    try:
        # In two pieces, the second of which is late.
        writer.write(before[:5])
        await asyncio.sleep(0.02)
        request = f"GET / HTTP/1.1\r\nHost: blog.gw.test\r\nConnection: close\r\n{headers}\r\n"
        writer.write(before[5:] + request.encode())
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("encode", [encode_v1, encode_v2])
async def test_a_trusted_front_tells_the_visitor_by_proxy_header(tmp_path, encode):
    config = replace(CONFIG, fronts=FRONTS, has_proxy_header=True)
    async with gateway_world(tmp_path, config) as there, website(mirror) as port:
        _, news, _ = await there.publish(port, name="blog", access=Access(allow=("198.51.100.0/24",)))
        answer = await ask_raw(there, encode(ProxyHeader(VISITOR, PUBLIC)))
        assert b'["X-Forwarded-For", "198.51.100.7"]' in answer
        assert (await news.wait_for(Visit)).visitor == str(VISITOR)
        assert b"403" in await ask_raw(there, encode(ProxyHeader(PUBLIC, PUBLIC)))
        with pytest.raises(ConnectionResetError):
            await ask_raw(there, b"")


async def test_a_trusted_front_tells_the_visitor_by_header(tmp_path):
    config = replace(CONFIG, fronts=FRONTS)
    async with gateway_world(tmp_path, config) as there, website(mirror) as port:
        await there.publish(port, name="blog")
        said = "X-Forwarded-For: 6.6.6.6, 198.51.100.7, 127.0.0.9\r\nX-Forwarded-Proto: https\r\n"
        answer = await ask_raw(there, b"", said)
        assert b'["X-Forwarded-For", "198.51.100.7"]' in answer
        assert b'["X-Forwarded-Proto", "https"]' in answer
        assert b"6.6.6.6" not in answer


async def test_nobody_else_tells_who_the_visitor_is(tmp_path):
    async with gateway_world(tmp_path) as there, website(mirror) as port:
        await there.publish(port, name="blog")
        answer = await ask_raw(there, b"", "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n")
        assert b"6.6.6.6" not in answer
        assert b'["X-Forwarded-Proto", "http"]' in answer
        assert b"400" in await ask_raw(there, encode_v1(ProxyHeader(VISITOR, PUBLIC)))


@pytest.mark.parametrize(
    "head",
    [
        "POST / HTTP/1.1\r\nHost: blog.gw.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: blog.gw.test\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        "POST / HTTP/1.1\r\nHost: blog.gw.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: blog.gw.test\r\nHost: other.gw.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : blog.gw.test\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["both lengths", "two lengths", "odd encoding", "two hosts", "blank before colon", "no host"],
)
async def test_ambiguous_requests_do_not_reach_the_service(tmp_path, head):
    reached = []

    async def note(request: web.BaseRequest) -> web.Response:
        reached.append(request)
        return web.Response()

    async with gateway_world(tmp_path) as there, website(note) as port:
        await there.publish(port, name="blog")
        reader, writer = await asyncio.open_connection(*there.gateway.http_addresses[0])
        writer.write(head.encode())
        assert b" 400 " in await reader.readline()
        writer.close()
        assert not reached
