"""HTTP connections to exposed services, on flows instead of TCP."""

from __future__ import annotations

import asyncio
import errno
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.tracing import Trace

from gateway.publishers import Publisher
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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.gather(*(session.close() for session in self._sessions.values()))

    def session(self, publisher: Publisher) -> aiohttp.ClientSession:
        """The client whose connections all visitors of an instance share."""
        session = self._sessions.get(publisher)
        if session is None:
            session = self._sessions[publisher] = make_session(FlowConnector(publisher))
        return session

    async def forget(self, publisher: Publisher) -> None:
        """Close the connections to an instance that is gone."""
        session = self._sessions.pop(publisher, None)
        if session is not None:
            await session.close()


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
