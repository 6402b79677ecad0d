"""HTTP/2 from visitors, and what they may not do with it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from gateway.core import h2_limits
from gateway.ingress.tls import CertificateFiles
from p2p.proto.publication import Access
from tests.support.authority import Authority
from tests.support.curl import curl
from tests.support.gateway_world import CONFIG, LOOPBACK, gateway_world, mirror, website
from tests.support.raw_h2 import GET, RawH2, raw_h2

PING, RST_STREAM, SETTINGS, CONTINUATION, HEADERS, PRIORITY, WINDOW_UPDATE = 6, 3, 4, 9, 1, 2, 8


def fields(
    method: bytes = b"GET", path: bytes = b"/", host: bytes = b"blog.gw.test", *more: tuple[bytes, bytes]
) -> Any:
    return [(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", host), *more]


async def test_curl_speaks_it_with_tls_and_without(tmp_path):
    authority = Authority(tmp_path, "*.gw.test")
    files = (CertificateFiles(authority.certificate, authority.key),)
    config = replace(CONFIG, https=(LOOPBACK,), certificates=files, redirect=False)
    big = tmp_path / "big"
    big.write_bytes(bytes(8 << 20))
    async with gateway_world(tmp_path, config) as there, website(mirror) as port:
        await there.publish(port, name="blog", access=Access(basic=("ann:secret",)))
        flags = ("--cacert", str(authority.root), "--user", "ann:secret", "--write-out", "%{http_version} %{http_code}")
        for scheme, address, version in (
            ("https", there.gateway.https_addresses[0], "--http2"),
            ("http", there.gateway.http_addresses[0], "--http2-prior-knowledge"),
        ):
            url = f"{scheme}://blog.gw.test:{address.port}/a%2Fb?c=%20d"
            said, _, result = (await curl(address, url, *flags, version)).rpartition("}")
            assert result == "2 200"
            seen = json.loads(said + "}")
            headers = {name.lower(): value for name, value in seen["headers"]}
            assert (seen["path"], headers["host"]) == ("/a%2Fb?c=%20d", f"blog.gw.test:{address.port}")
            assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == ("127.0.0.1", scheme)
            assert "authorization" not in headers
            said = await curl(address, url, *flags, version, "--upload-file", str(big))
            assert json.loads(said.rpartition("}")[0] + "}")["body"] == 8 << 20
        assert "2 401" in await curl(address, url, version, "--write-out", "%{http_version} %{http_code}")


async def test_a_long_response_waits_for_a_visitor_that_does_not_read(tmp_path):
    sent = 0

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal sent
        if request.method == "HEAD":
            return web.Response()
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(1 << 16))
            sent += 1 << 16

    async with gateway_world(tmp_path) as there, website(endless) as port:
        await there.publish(port, name="blog")
        async with raw_h2(there.gateway.http_addresses[0]) as client:
            client.reads_bodies = False
            slow = client.ask()
            before = -1
            while before != sent or not sent:
                before = sent
                await asyncio.sleep(0.3)
            # The window, and what the buffers on the way hold.
            assert len(slow.body) == 65_535
            assert sent < 32 << 20
            # The connection's window is used up as well; a response without a body has a way nevertheless.
            head = await client.answer(fields(b"HEAD"))
            assert head.status == 200


async def test_a_slow_service_makes_the_visitor_wait_and_not_its_neighbours(tmp_path):
    go_on = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/slow":
            await go_on.wait()
        return await mirror(request)

    async with gateway_world(tmp_path) as there, website(slow) as port:
        await there.publish(port, name="blog")
        async with raw_h2(there.gateway.http_addresses[0]) as client:
            post = client.ask(fields(b"POST", b"/slow"), body=bytes(16_384), ends=False)
            await asyncio.sleep(0.2)
            sent = 16_384
            while (room := client.h2.local_flow_control_window(1)) > 0:
                client.h2.send_data(1, bytes(min(room, 16_384)))
                sent += min(room, 16_384)
            client.flush()
            await asyncio.sleep(0.5)
            assert (await client.answer()).status == 200
            go_on.set()
            client.h2.end_stream(1)
            client.flush()
            await post.is_over.wait()
            assert json.loads(post.body)["body"] == sent


@pytest.mark.parametrize(
    "wrong",
    [
        fields(b"GET / HTTP/1.1\r\nx:"),
        fields(b"GET /x HTTP/1.1"),
        fields(b"GET", b"no-slash"),
        fields(b"GET", b"/a b HTTP/1.1"),
        fields(b"GET", b"/\r\nX-Forwarded-For: 6.6.6.6"),
        fields(b"GET", b"http://other.gw.test/"),
        fields(b"GET", b"/", b"blog.gw.test@evil"),
        fields(b"GET", b"/", b"blog.gw.test/"),
        fields(b"GET", b"/", b"blog.gw.test", (b"host", b"other.gw.test")),
        fields(b"GET", b"/", b"blog.gw.test", (b"connection", b"x-forwarded-for")),
        fields(b"GET", b"/", b"blog.gw.test", (b"transfer-encoding", b"chunked")),
        fields(b"GET", b"/", b"blog.gw.test", (b"te", b"chunked")),
        fields(b"GET", b"/", b"blog.gw.test", (b"X-Upper", b"1")),
        fields(b"GET", b"/", b"blog.gw.test", (b"x y", b"1")),
        fields(b"GET", b"/", b"blog.gw.test", (b"x(y", b"1")),
        fields(b"GET", b"/", b"blog.gw.test", (b"x", b"1\r\nhost: other.gw.test")),
        fields(b"GET", b"/", b"blog.gw.test", (b"x", b"a\x01b")),
        fields(b"GET", b"/", b"blog.gw.test", (b":path", b"/other")),
        fields(b"GET", b"/", b"blog.gw.test", (b"content-length", b"1"), (b"content-length", b"1")),
        fields(b"GET", b"/", b"blog.gw.test", (b"content-length", b"+0")),
        fields(b"CONNECT"),
        GET[:3],
        GET[1:],
    ],
)
async def test_what_http_1_would_understand_otherwise_reaches_nobody(tmp_path, wrong):
    seen: list[str] = []

    async def site(request: web.BaseRequest) -> web.Response:
        seen.append(request.raw_path)
        return await mirror(request)

    async with gateway_world(tmp_path) as there, website(site) as port:
        await there.publish(port, name="blog")
        async with raw_h2(there.gateway.http_addresses[0]) as client:
            outcome = await client.answer(wrong)
            assert outcome.status in (0, 400)
            assert outcome.status == 400 or outcome.reset or client.goaway
        assert seen == []


async def test_a_body_that_is_not_as_long_as_it_says_breaks_off(tmp_path):
    async with gateway_world(tmp_path) as there, website(mirror) as port:
        await there.publish(port, name="blog")
        for length in (b"3", b"9"):
            async with raw_h2(there.gateway.http_addresses[0]) as client:
                head = fields(b"POST", b"/", b"blog.gw.test", (b"content-length", length))
                outcome = await client.answer(head, body=b"hello")
                assert outcome.status == 0
                assert client.goaway


def _resets(client: RawH2) -> None:
    for _ in range(1000):
        number = client.h2.get_next_available_stream_id()
        client.h2.send_headers(number, GET, end_stream=True)
        client.h2.reset_stream(number)
    client.flush()


def _pings(client: RawH2) -> None:
    for _ in range(1000):
        client.send_frame(PING, 0, 0, bytes(8))


def _settings(client: RawH2) -> None:
    for _ in range(1000):
        client.send_frame(SETTINGS, 0, 0, b"")


def _priorities(client: RawH2) -> None:
    for _ in range(1000):
        client.send_frame(PRIORITY, 0, 1, bytes(4) + b"\x01")


def _unknown(client: RawH2) -> None:
    for _ in range(1000):
        client.send_frame(0x77, 0, 0, b"x")


def _continuations(client: RawH2) -> None:
    client.send_frame(HEADERS, 0, 1, b"\x82")
    for _ in range(1000):
        client.send_frame(CONTINUATION, 0, 1, b"\x00\x01x\x01y")


def _large_headers(client: RawH2) -> None:
    """One entry of the table, named again and again: some bytes that become many (CVE-2016-6581)."""
    client.ask([*GET, (b"x", bytes(4000).replace(b"\0", b"a"))])
    client.send_frame(HEADERS, 0x4, 3, b"\xbe" * 16_000)


def _too_many_streams(client: RawH2) -> None:
    client.h2.remote_settings.acknowledge()
    block = b"\x82\x86\x84\x41\x0cblog.gw.test"
    for number in range(1, 2 * h2_limits.STREAMS_MAX + 3, 2):
        client.send_frame(HEADERS, 0x4, number, block)


def _tiny_windows(client: RawH2) -> None:
    for _ in range(2000):
        client.send_frame(WINDOW_UPDATE, 0, 0, (1).to_bytes(4, "big"))


def _empty_data(client: RawH2) -> None:
    client.ask(fields(b"POST"), ends=False)
    for _ in range(1000):
        client.send_frame(0, 0, 1, b"")


@pytest.mark.parametrize(
    "attack",
    [
        _resets,
        _pings,
        _settings,
        _priorities,
        _unknown,
        _continuations,
        _large_headers,
        _too_many_streams,
        _tiny_windows,
        _empty_data,
    ],
)
async def test_an_attack_ends_the_connection_and_nothing_else(tmp_path, attack):
    reached = 0

    async def site(request: web.BaseRequest) -> web.Response:
        nonlocal reached
        reached += 1
        return await mirror(request)

    async with gateway_world(tmp_path) as there, website(site) as port:
        await there.publish(port, name="blog")
        address = there.gateway.http_addresses[0]
        async with raw_h2(address) as quiet:
            async with raw_h2(address) as client:
                attack(client)
                async with asyncio.timeout(10):
                    await client.is_over.wait()
                assert client.goaway
            assert reached <= h2_limits.Nuisance.RESET.value[1] + 1
            assert (await quiet.answer()).status == 200


async def test_a_connection_without_requests_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.ingress.h2_server.KEEP_ALIVE_S", 0.3)
    async with gateway_world(tmp_path) as there, website(mirror) as port:
        await there.publish(port, name="blog")
        async with raw_h2(there.gateway.http_addresses[0]) as client:
            assert (await client.answer()).status == 200
            async with asyncio.timeout(5):
                await client.is_over.wait()
            assert client.goaway == 0


async def test_a_connection_that_had_many_requests_ends_when_they_are_answered(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.ingress.h2_server.REQUESTS_MAX", 2)
    async with gateway_world(tmp_path) as there, website(mirror) as port:
        await there.publish(port, name="blog")
        async with raw_h2(there.gateway.http_addresses[0]) as client:
            first, second = client.ask(fields(b"POST"), body=b"hello", ends=False), client.ask()
            async with asyncio.timeout(5):
                await second.is_over.wait()
            # A client that has not heard of the end yet: the third one is not taken, the first one goes on.
            client.send_frame(HEADERS, 0x5, 5, b"\x82\x86\x84\x41\x0cblog.gw.test")
            client.send_frame(0, 0x1, 1, b"")
            async with asyncio.timeout(5):
                await client.is_over.wait()
            assert client.goaway == 0
            assert (second.status, first.status, json.loads(first.body)["body"]) == (200, 200, 5)
