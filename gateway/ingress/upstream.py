"""HTTP connections to exposed services, on flows instead of TCP."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.tracing import Trace
from multidict import CIMultiDict
from yarl import URL

from gateway.core.h2_head import RequestHead
from gateway.ingress.answer import Answer, answer_of
from gateway.ingress.h2_client import H2Pool, Outgoing
from gateway.publishers import Publisher
from p2p.aio.tasks import TaskScope
from p2p.errors import ForwardError
from p2p.forward.sockets import Addresses

ANSWER_WITHIN_S: Final = 300.0
"""How long a service may be silent before and within its response; event streams send something more often."""
_KEEP_ALIVE_S: Final = 30.0


class FlowConnector(aiohttp.BaseConnector):
    """Makes flows to one instance.

    Args:
        publisher: The instance.
        addresses: Whose flows they are, when each visitor has a flow of its own.
    """

    def __init__(self, publisher: Publisher, addresses: Addresses | None = None) -> None:
        # One visitor's flow must not carry another visitor's request.
        super().__init__(limit=0, force_close=True) if addresses else super().__init__(
            limit=0, keepalive_timeout=_KEEP_ALIVE_S
        )
        self._publisher = publisher
        self._addresses = addresses or Addresses(None, None)

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109
    ) -> ResponseHandler:
        # What every connector of the library overrides, its own for Unix sockets too.
        try:
            sock = self._publisher.connect(self._addresses)
        except ForwardError as error:
            raise aiohttp.ClientConnectionError(str(error)) from error
        try:
            _, protocol = await self._loop.create_connection(self._factory, sock=sock)
        except OSError as error:
            raise aiohttp.ClientOSError(error.errno or errno.EIO, str(error)) from error
        return protocol


class Upstreams:
    """HTTP clients of all instances; each is made with its first request."""

    def __init__(self) -> None:
        self._sessions: dict[Publisher, aiohttp.ClientSession] = {}
        self._pools: dict[Publisher, H2Pool] = {}
        self._scope = TaskScope()

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._scope.__aexit__(None, None, None)
        for pool in self._pools.values():
            pool.close()
        await asyncio.gather(*(session.close() for session in self._sessions.values()))

    @asynccontextmanager
    async def session_for(
        self, publisher: Publisher, addresses: Addresses | None = None
    ) -> AsyncIterator[aiohttp.ClientSession]:
        """The client of HTTP/1.1 for a request.

        Args:
            publisher: The instance.
            addresses: Whose request it is, when each visitor has a flow of its own; None for what visitors share.
        """
        if addresses is None:
            yield self._session(publisher)
            return
        async with make_session(FlowConnector(publisher, addresses)) as session:
            yield session

    @asynccontextmanager
    async def ask(
        self, publisher: Publisher, head: RequestHead, body: Outgoing | None, addresses: Addresses | None = None
    ) -> AsyncIterator[Answer]:
        """Ask an instance, in the version of HTTP that it speaks, for the block.

        Args:
            publisher: The instance.
            head: What for.
            body: None without one.
            addresses: Whose request it is, when each visitor has a flow of its own.

        Raises:
            aiohttp.ClientError: There is no answer.
            ConnectionError: The same, in HTTP/2.
            TimeoutError: It is silent.
        """
        if publisher.speaks_h2:
            client = await self._pool(publisher).client(addresses)
            try:
                async with client.request(head, body) as answer:
                    yield answer
            finally:
                if addresses is not None:
                    client.close()
            return
        # The path as it came: decoding and encoding it again could make another one of it.
        url = URL(f"http://service{head.target}", encoded=True)
        async with (
            self.session_for(publisher, addresses) as session,
            session.request(
                head.method,
                url,
                headers=CIMultiDict(head.headers),
                data=None if body is None else body.pieces(),
                allow_redirects=False,
                expect100=False,
            ) as response,
        ):
            yield answer_of(response)

    async def forget(self, publisher: Publisher) -> None:
        """Close the connections to an instance that is gone."""
        pool = self._pools.pop(publisher, None)
        if pool is not None:
            pool.close()
        session = self._sessions.pop(publisher, None)
        if session is not None:
            await session.close()

    def _session(self, publisher: Publisher) -> aiohttp.ClientSession:
        session = self._sessions.get(publisher)
        if session is None:
            session = self._sessions[publisher] = make_session(FlowConnector(publisher))
        return session

    def _pool(self, publisher: Publisher) -> H2Pool:
        pool = self._pools.get(publisher)
        if pool is None:
            pool = self._pools[publisher] = H2Pool(publisher, self._scope, ANSWER_WITHIN_S)
        return pool


def make_session(connector: FlowConnector) -> aiohttp.ClientSession:
    """Make a client that changes nothing in what it carries."""
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        timeout=aiohttp.ClientTimeout(total=None, sock_read=ANSWER_WITHIN_S),
        max_line_size=32_768,
        max_field_size=65_536,
        read_bufsize=1 << 18,
    )
