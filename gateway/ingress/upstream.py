"""HTTP to exposed services, on flows instead of TCP."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from gateway.core.h2_head import RequestHead
from gateway.ingress.answer import Answer, Outgoing
from gateway.ingress.h1_client import H1Pool
from gateway.ingress.h2_client import H2Pool
from gateway.publishers import Publisher
from p2p.aio.tasks import TaskScope
from p2p.forward.sockets import Addresses

ANSWER_WITHIN_S: Final = 300.0
"""How long a service may be silent before and within its response; event streams send something more often."""


class Upstreams:
    """The connections to all instances; the first of each is made with its first request."""

    def __init__(self) -> None:
        self._pools: dict[Publisher, tuple[H1Pool, H2Pool]] = {}
        self._scope = TaskScope()

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._scope.__aexit__(None, None, None)
        for publisher in list(self._pools):
            self.forget(publisher)

    async def ask(
        self,
        publisher: Publisher,
        head: RequestHead,
        body: Outgoing | None,
        addresses: Addresses | None = None,
        *,
        upgrades: bool = False,
    ) -> Answer:
        """Ask an instance, in the version of HTTP that it speaks.

        Args:
            publisher: The instance.
            head: What for.
            body: None without one.
            addresses: Whose request it is, when each visitor has a flow of its own.
            upgrades: Whether a WebSocket is asked for, which HTTP/1.1 has on every server.

        Returns:
            The answer; it must be closed.

        Raises:
            aiohttp.ClientError: There is no answer.
            ConnectionError: The same.
            TimeoutError: The instance is silent.
        """
        pools = self._pools.get(publisher)
        if pools is None:
            around = (publisher, self._scope, ANSWER_WITHIN_S)
            pools = self._pools[publisher] = (H1Pool(*around), H2Pool(*around))
        http1, http2 = pools
        return await (http2 if publisher.speaks_h2 and not upgrades else http1).ask(head, body, addresses)

    def forget(self, publisher: Publisher) -> None:
        """Close the connections to an instance that is gone."""
        for pool in self._pools.pop(publisher, ()):
            pool.close()
