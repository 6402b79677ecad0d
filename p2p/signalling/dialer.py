"""Choosing among several rendezvous servers."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from functools import partial

import aiohttp
from yarl import URL

from p2p.aio.race import race
from p2p.defaults import SIGNALLING_NEXT_SERVER_S
from p2p.errors import ConfigError, SignallingError
from p2p.identity import Identity
from p2p.signalling.errors import CODE_URL, LOGIN_REFUSALS
from p2p.signalling.link import Link, open_link, parse_rendezvous_url

logger = logging.getLogger(__name__)


class Dialer:
    """Tries the servers of a list, from the last good one on: the next one joins when one has failed or is late.

    Args:
        urls: Rendezvous URLs, the preferred one first.
        identity: Who logs in.
        instance: Which of the identity's programs this is.
        token: Admission token, where the server wants one.
        ssl_context: For a private CA; None trusts the system's.
        agent: Program and version, for the server's log.
        spacing_s: How late.

    Raises:
        ConfigError: A URL is not one, or there is none.
    """

    def __init__(
        self,
        urls: Sequence[str],
        identity: Identity,
        *,
        instance: str,
        token: str | None,
        ssl_context: ssl.SSLContext | None,
        agent: str,
        spacing_s: float = SIGNALLING_NEXT_SERVER_S,
    ) -> None:
        if not urls:
            raise ConfigError("no rendezvous URL", code=CODE_URL)
        self._urls = [parse_rendezvous_url(url) for url in urls]
        self._index = 0
        self._begun = 0
        self._identity = identity
        self._instance = instance
        self._token = token
        self._ssl_context = ssl_context
        self._agent = agent
        self._spacing_s = spacing_s

    @property
    def has_choice(self) -> bool:
        """Whether there is another server to go to."""
        return len(self._urls) > 1

    def prefer_next(self) -> None:
        """Begin with the next server of the list from now on."""
        self._index = (self._index + 1) % len(self._urls)

    async def dial(self, session: aiohttp.ClientSession) -> Link | SignallingError:
        """Try each server once.

        Args:
            session: Makes the connections.

        Returns:
            The first connection that was welcome, or why none was. A refused login is the reason only if every server
            refused it, since the others may accept it once they are back.
        """
        urls = [*self._urls[self._index :], *self._urls[: self._index]]
        self._begun = 0
        attempts = [partial(self._open, session, url) for url in urls]
        results = await race(attempts, spacing_s=self._spacing_s, is_good=_is_link, undo=_leave)
        link = results[0]
        if isinstance(link, Link):
            link.has_rival = self._begun > len(results)
            self._index = self._urls.index(link.url)
            return link
        errors = [result for result in results if isinstance(result, SignallingError)]
        curable = [error for error in errors if error.error_code not in LOGIN_REFUSALS]
        return (curable or errors)[0]

    async def _open(self, session: aiohttp.ClientSession, url: URL) -> Link | SignallingError:
        self._begun += 1
        try:
            return await open_link(
                session,
                url,
                self._identity,
                instance=self._instance,
                token=self._token,
                ssl_context=self._ssl_context,
                agent=self._agent,
            )
        except SignallingError as error:
            logger.info("signalling with %s failed: %s", url.authority, error)
            return error


def _is_link(result: Link | SignallingError) -> bool:
    return isinstance(result, Link)


async def _leave(result: Link | SignallingError) -> None:
    if isinstance(result, Link):
        await result.leave()


async def close_unused(dialing: asyncio.Task[Link | SignallingError] | None) -> None:
    """Close the last connection, should nobody have taken it or begun to close it when its owner ended.

    Args:
        dialing: The last ``Dialer.dial``, if there was one; what it gave may be closed already.
    """
    if dialing is not None and dialing.done() and not dialing.cancelled() and dialing.exception() is None:
        link = dialing.result()
        if isinstance(link, Link):
            await link.close()
