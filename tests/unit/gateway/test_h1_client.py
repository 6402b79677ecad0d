"""Requests in HTTP/1.1 to a service that is played here, byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
import pytest

from gateway.core.h2_head import RequestHead
from gateway.core.headers import Headers
from gateway.ingress import h1_client
from gateway.ingress.answer import Answer
from gateway.ingress.h1_client import H1Client, H1Pool
from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.errors import ForwardError
from p2p.forward.sockets import Addresses

ResultT = TypeVar("ResultT")

GET = RequestHead("GET", "/", [("Host", "blog.example")])
POST = RequestHead("POST", "/", [("Host", "blog.example"), ("Content-Length", "6")])
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
VISITOR = Addresses(TransportAddress("192.0.2.1", 5), None)


class Wire(asyncio.Transport):
    """A connection to the service: what was asked on it, and what it answers."""

    def __init__(self, client: H1Client) -> None:
        super().__init__()
        self.client = client
        self.asked = b""
        self.closed = False
        self.paused = False

    def write(self, data: Any) -> None:
        self.asked += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.client.connection_lost, None)

    abort = close

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def says(self, data: bytes) -> None:
        self.client.data_received(data)


class Service:
    """What publishers are to the pool."""

    def __init__(self) -> None:
        self.wires: list[Wire] = []
        self.whose: list[Addresses] = []
        self.is_gone = False

    def connect(self, protocol: H1Client, addresses: Addresses) -> None:
        if self.is_gone:
            raise ForwardError("the session takes no new connections")
        self.wires.append(Wire(protocol))
        self.whose.append(addresses)
        protocol.connection_made(self.wires[-1])


class Body:
    """Sends pieces as a test wishes."""

    def __init__(self, *pieces: bytes) -> None:
        self.queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        for piece in pieces:
            self.queue.put_nowait(piece)

    async def pieces(self) -> AsyncIterator[bytes]:
        while (piece := await self.queue.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def trailers(self) -> Headers:
        return []


@asynccontextmanager
async def pool(silent_max_s: float = 5.0) -> AsyncIterator[tuple[H1Pool, Service]]:
    service = Service()
    async with TaskScope() as scope:
        made = H1Pool(service, scope, silent_max_s)  # type: ignore[arg-type]
        yield made, service
        made.close()


def begin(work: Coroutine[Any, Any, ResultT]) -> asyncio.Task[ResultT]:
    return asyncio.create_task(work)  # noqa: TID251 -- how it fails is for the test to see


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def ask(
    made: H1Pool, service: Service, answer: bytes, head: RequestHead = GET, body: Body | None = None, **options: Any
) -> Answer:
    """Ask, and let the service answer on the connection that was used."""
    asking = begin(made.ask(head, body, **options))
    await turns()
    if answer:
        service.wires[-1].says(answer)
    return await asking


async def whole(answer: Answer) -> bytes:
    data = answer.begun + b"".join([piece async for piece in answer.pieces])
    answer.close()
    return data


async def test_a_connection_serves_one_request_after_another() -> None:
    async with pool() as (made, service):
        for _ in range(3):
            answer = await ask(made, service, HELLO)
            assert (answer.status, answer.begun, answer.is_whole) == (200, b"hello", True)
            assert await whole(answer) == b"hello"
        assert len(service.wires) == 1
        assert service.wires[0].asked.count(b"GET / HTTP/1.1\r\n") == 3


async def test_two_requests_at_a_time_have_two_connections() -> None:
    async with pool() as (made, service):
        first = await ask(made, service, HELLO)
        second = await ask(made, service, HELLO)
        first.close()
        second.close()
        assert len(service.wires) == 2


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (HELLO + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", b"hello"),
        (HELLO + b"junk", b"hello"),
    ],
    ids=["close", "1.0", "an answer that nobody asked for", "junk"],
)
async def test_what_is_used_up_or_says_too_much_is_not_used_again(answer: bytes, body: bytes) -> None:
    async with pool() as (made, service):
        try:
            assert await whole(await ask(made, service, answer)) == body
        except aiohttp.ClientError:
            assert b"junk" in answer  # together with the junk, the answer itself is not to be trusted
        assert await whole(await ask(made, service, HELLO)) == b"hello"
        assert len(service.wires) == 2
        await turns()
        assert service.wires[0].closed


async def test_an_answer_that_comes_later_spoils_an_idle_connection() -> None:
    async with pool() as (made, service):
        await whole(await ask(made, service, HELLO))
        service.wires[0].says(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        assert await whole(await ask(made, service, HELLO)) == b"hello"
        assert len(service.wires) == 2


async def test_an_answer_that_was_not_read_to_its_end_ends_the_connection() -> None:
    async with pool() as (made, service):
        answer = await ask(made, service, b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello")
        assert (answer.begun, answer.is_whole) == (b"hello", False)
        answer.close()
        assert service.wires[0].closed


async def test_a_body_is_streamed() -> None:
    async with pool() as (made, service):
        answer = await ask(made, service, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        reading = begin(whole(answer))
        for piece in (b"5\r\nhello\r\n", b"6\r\n world\r\n", b"0\r\n\r\n"):
            await turns()
            service.wires[0].says(piece)
        assert await reading == b"hello world"


async def test_a_body_that_breaks_off_is_told_from_one_that_ends() -> None:
    async with pool() as (made, service):
        answer = await ask(made, service, b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello")
        service.wires[0].close()
        with pytest.raises(aiohttp.ClientError):
            await whole(answer)


async def test_information_before_the_answer_is_passed_over() -> None:
    async with pool() as (made, service):
        early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        assert (await ask(made, service, early + HELLO)).status == 200


async def test_a_switch_to_what_was_asked_for_is_told() -> None:
    async with pool() as (made, service):
        switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        head = RequestHead("GET", "/", [*GET.headers, ("Connection", "Upgrade"), ("Upgrade", "websocket")])
        answer = await ask(made, service, switched + b"first frame", head)
        assert (answer.status, answer.switched) == (101, service.wires[0].client)
        answer.close()
        assert service.wires[0].closed


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    ],
)
async def test_what_is_no_answer_is_an_error(answer: bytes) -> None:
    async with pool() as (made, service):
        with pytest.raises(aiohttp.ClientError):
            await ask(made, service, answer)
        await turns()
        assert service.wires[0].closed


async def test_a_connection_that_was_closed_while_idle_is_not_used() -> None:
    async with pool() as (made, service):
        await whole(await ask(made, service, HELLO))
        service.wires[0].close()
        await turns()
        assert await whole(await ask(made, service, HELLO)) == b"hello"


async def test_a_request_that_met_the_close_of_an_idle_connection_goes_on_a_new_one() -> None:
    async with pool() as (made, service):
        await whole(await ask(made, service, HELLO))
        asking = begin(made.ask(GET, None))
        await turns()
        service.wires[0].close()
        await turns()
        service.wires[1].says(HELLO)
        assert await whole(await asking) == b"hello"


async def test_what_may_have_been_done_is_not_asked_twice() -> None:
    async with pool() as (made, service):
        await whole(await ask(made, service, HELLO))
        asking = begin(made.ask(POST, Body(b"abcdef")))
        await turns()
        service.wires[0].close()
        with pytest.raises(aiohttp.ClientError):
            await asking
        assert len(service.wires) == 1


async def test_a_new_connection_that_is_closed_is_not_tried_again() -> None:
    async with pool() as (made, service):
        asking = begin(made.ask(GET, None))
        await turns()
        service.wires[0].close()
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await asking
        assert len(service.wires) == 1


async def test_a_visitor_with_a_flow_of_its_own_shares_it_with_nobody() -> None:
    async with pool() as (made, service):
        await whole(await ask(made, service, HELLO))
        asking = begin(made.ask(GET, None, VISITOR))
        await turns()
        service.wires[1].says(HELLO)
        await whole(await asking)
        assert service.wires[1].closed
        assert service.whose == [Addresses(None, None), VISITOR]


async def test_a_body_with_a_length_is_sent_as_it_is() -> None:
    async with pool() as (made, service):
        body = Body(b"abc", b"", b"def")
        body.queue.put_nowait(None)
        await whole(await ask(made, service, HELLO, POST, body))
        assert service.wires[0].asked.endswith(b"\r\n\r\nabcdef")


async def test_a_body_without_one_is_sent_in_chunks() -> None:
    async with pool() as (made, service):
        body = Body(b"abc", b"", b"defgh" * 4)
        body.queue.put_nowait(None)
        head = RequestHead("POST", "/", [("Host", "blog.example")])
        await whole(await ask(made, service, HELLO, head, body))
        assert service.wires[0].asked.endswith(b"\r\n\r\n3\r\nabc\r\n14\r\n" + b"defgh" * 4 + b"\r\n0\r\n\r\n")
        assert await whole(await ask(made, service, HELLO)) == b"hello"
        assert len(service.wires) == 1


async def test_an_answer_that_comes_before_the_end_of_the_body_stands() -> None:
    async with pool() as (made, service):
        answer = await ask(made, service, HELLO, POST, Body(b"abc"))
        assert await whole(answer) == b"hello"
        await turns()
        # The rest of the body would be the beginning of the next request.
        assert service.wires[0].closed


async def test_a_body_that_breaks_off_breaks_the_request_off() -> None:
    async with pool() as (made, service):
        body = Body(b"abc")
        body.queue.put_nowait(ValueError("the visitor left"))
        with pytest.raises(ValueError, match="the visitor left"):
            await made.ask(POST, body)
        await turns()
        assert service.wires[0].closed


async def test_a_service_that_is_silent_is_waited_for_so_long() -> None:
    async with pool(silent_max_s=0.05) as (made, service):
        with pytest.raises(TimeoutError):
            await made.ask(GET, None)
        answer = await ask(made, service, b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello")
        with pytest.raises(TimeoutError):
            await whole(answer)


async def test_a_session_that_is_gone_is_a_lost_connection() -> None:
    async with pool() as (made, service):
        service.is_gone = True
        with pytest.raises(ConnectionResetError):
            await made.ask(GET, None)


async def test_idle_connections_grow_old(monkeypatch) -> None:
    monkeypatch.setattr(h1_client, "_IDLE_MAX_S", 0.05)
    async with pool() as (made, service):
        answers = [await ask(made, service, HELLO) for _ in range(3)]
        for answer in answers:
            answer.close()
        async with asyncio.timeout(5):
            while not all(wire.closed for wire in service.wires):
                await asyncio.sleep(0.01)


async def test_what_is_asked_when_the_pool_closes_is_answered_and_closed_then() -> None:
    async with pool() as (made, service):
        await whole(await ask(made, service, HELLO))
        asking = begin(made.ask(GET, None))
        await turns()
        made.close()
        service.wires[0].says(HELLO)
        assert await whole(await asking) == b"hello"
        assert service.wires[0].closed
