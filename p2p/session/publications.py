"""A service before the public: its publisher, from the exposer's side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from p2p.errors import P2PError
from p2p.session.events import Connected, Event, Problem, Public, Visit
from p2p.session.options import ExposeOptions, PeerOptions, PublicOptions
from p2p.session.publisher import Publisher
from p2p.session.services import OfferedServices


class Publications:
    """Keeps an exposer's services before the public.

    Args:
        options: What is on offer.
        public: How the public reaches it; part of the options.
        peer: Who we are.
        services: What visitors can reach.
        on_event: Told what is news of the public; the session with the gateway is a matter of its own.
    """

    def __init__(
        self,
        options: ExposeOptions,
        public: PublicOptions,
        peer: PeerOptions,
        *,
        services: OfferedServices,
        on_event: Callable[[Event], None],
    ) -> None:
        self.urls: tuple[str, ...] = ()
        """Where the public reaches them now."""
        self._options = options
        self._public = public
        self._peer = peer
        self._services = services
        self._on_event = on_event
        self._publisher: Publisher | None = None

    async def run(self) -> P2PError | None:
        """Publish, until cancelled.

        Returns:
            Why that is not possible: the gateway refuses, or cannot be reached at first.
        """
        try:
            publisher = Publisher(self._options, self._public, self._peer, services=self._services, on_event=self._tell)
        except P2PError as error:
            return error
        async with publisher:
            self._publisher = publisher
            try:
                await publisher.run_until(asyncio.Event())
            except P2PError as error:
                return error
            finally:
                self._publisher = None
        return None

    async def drain(self) -> None:
        """Have visitors sent elsewhere; return when the last one is served."""
        if self._publisher is not None:
            await self._publisher.drain()

    def _tell(self, event: Event) -> None:
        if isinstance(event, Connected):
            self.urls = ()
        if isinstance(event, Public):
            self.urls += event.urls
        if isinstance(event, Public | Visit | Problem):
            self._on_event(event)
