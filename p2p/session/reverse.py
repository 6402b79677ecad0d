"""Services that connecting sides offer: where they appear on the exposing side, and who offers them now."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Final

from p2p.aio.tasks import TaskScope
from p2p.errors import ErrorCode, ForwardError, P2PError
from p2p.forward.listeners import Listeners
from p2p.forward.multiplexer import Multiplexer
from p2p.proto.tunnel.frames import REVERSE_FEATURE, Hello
from p2p.target import Target

CODE_REVERSE_REFUSED: Final = ErrorCode(
    "P2P-6131", "The exposing side permits it with --accept-reverse NAME=PORT, for each service by its name."
)


class ReverseListeners(Listeners):
    """Listens for the services of connecting sides, whether somebody offers them now or not.

    Of several sessions that offer the same service the newest has it; when that ends, the one before.

    Args:
        places: Where each service appears, by its name.
        loop: The event loop.
    """

    def __init__(self, places: Mapping[str, Target], *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(places, loop=loop)
        self._offers: dict[str, list[Multiplexer]] = {name: [] for name in places}

    def session_opened(self, multiplexer: Multiplexer, scope: TaskScope) -> None:
        """Use what a session offers.

        Args:
            multiplexer: The session's; its dialer was let in.
            scope: Runs the question whether the dialer knows that.
        """
        hello = multiplexer.peer_hello
        offered = [] if hello is None else [service.name for service in hello.services if service.name in self._offers]
        if offered:
            scope.start(self._add(multiplexer, offered), name="services in reverse")

    def session_closed(self, multiplexer: Multiplexer) -> None:
        """Go back to whoever offered a session's services before."""
        for service, offers in self._offers.items():
            if multiplexer in offers:
                offers.remove(multiplexer)
                self._attach(service)

    async def _add(self, multiplexer: Multiplexer, services: list[str]) -> None:
        # Streams must not overtake the verdict: before it the dialer takes only a few.
        with contextlib.suppress(P2PError):
            await multiplexer.ping()
            for service in services:
                self._offers[service].append(multiplexer)
                self._attach(service)

    def _attach(self, service: str) -> None:
        offers = self._offers[service]
        for listener in self.of(service):
            if offers:
                listener.attach(offers[-1])
            else:
                listener.detach()


def unwanted(hello: Hello | None, services: Mapping[str, Target]) -> ForwardError | None:
    """Say which of our services the exposing side does not take, if there is one."""
    if not services or hello is None:
        return None
    if REVERSE_FEATURE not in hello.features:
        return ForwardError("the exposing side takes no services of ours", code=CODE_REVERSE_REFUSED)
    for name in services:
        if hello.wanted and name not in hello.wanted:
            return ForwardError(
                f"the exposing side takes no service {name!r}; it takes {', '.join(map(repr, hello.wanted))}",
                code=CODE_REVERSE_REFUSED,
            )
    return None
