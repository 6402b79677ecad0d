"""Services before the public: a publisher for each gateway, from the exposer's side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from p2p.defaults import DIAL_BACKOFF_MAX_S
from p2p.errors import P2PError
from p2p.session.events import Connected, Event, Problem, Public, SessionClosed, Visit
from p2p.session.options import ExposeOptions, PeerOptions, PublicOptions
from p2p.session.publisher import Publisher
from p2p.session.services import OfferedServices


class Publications:
    """Keeps an exposer's services before the public, at one gateway or at several behind one name.

    Args:
        options: What is on offer.
        public: How the public reaches it; part of the options.
        peer: Who we are.
        services: What visitors can reach.
        on_event: Told what is news of the public; the session with a gateway is a matter of its own.
        on_problem: Told why one of several gateways cannot be used now.
    """

    def __init__(
        self,
        options: ExposeOptions,
        public: PublicOptions,
        peer: PeerOptions,
        *,
        services: OfferedServices,
        on_event: Callable[[Event], None],
        on_problem: Callable[[P2PError], None],
    ) -> None:
        self._options = options
        self._public = public
        self._peer = peer
        self._services = services
        self._on_event = on_event
        self._on_problem = on_problem
        self._publishers: dict[str, Publisher] = {}
        self._urls: dict[str, tuple[str, ...]] = {}

    @property
    def urls(self) -> tuple[str, ...]:
        """Where the public reaches them now."""
        return tuple(dict.fromkeys(url for urls in self._urls.values() for url in urls))

    async def run(self) -> P2PError | None:
        """Publish, until cancelled or until no gateway will have it.

        Returns:
            Why that is not possible: the gateway refuses, or cannot be reached at first. Of several gateways each is
            tried again and again, as long as it has not refused for good.
        """
        gateways = self._public.gateways
        if len(gateways) == 1:
            return await self._publish(gateways[0])
        async with asyncio.TaskGroup() as group:
            ends = [group.create_task(self._keep_trying(ticket), name="publisher") for ticket in gateways]
        return ends[-1].result()

    async def drain(self) -> None:
        """Have visitors sent elsewhere; return when the last one is served."""
        await asyncio.gather(*(publisher.drain() for publisher in self._publishers.values()))

    async def _keep_trying(self, ticket: str) -> P2PError | None:
        while (error := await self._publish(ticket)) is not None:
            self._on_problem(error)
            if not error.retryable:
                break
            await asyncio.sleep(DIAL_BACKOFF_MAX_S)
        return error

    async def _publish(self, ticket: str) -> P2PError | None:
        try:
            publisher = Publisher(
                self._options,
                self._public,
                ticket,
                self._peer,
                services=self._services,
                on_event=partial(self._tell, ticket),
            )
        except P2PError as error:
            return error
        async with publisher:
            self._publishers[ticket] = publisher
            try:
                await publisher.run_until(asyncio.Event())
            except P2PError as error:
                return error
            finally:
                del self._publishers[ticket]
                self._urls.pop(ticket, None)
        return None

    def _tell(self, ticket: str, event: Event) -> None:
        if isinstance(event, Connected | SessionClosed):
            self._urls[ticket] = ()
        if isinstance(event, Public):
            self._urls[ticket] = self._urls.get(ticket, ()) + event.urls
        if isinstance(event, Public | Visit | Problem):
            self._on_event(event)
