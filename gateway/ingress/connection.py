"""What is known of the connection that a request came on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeAlias

from aiohttp import web

from gateway.ingress.front import Arrival


class Connection(NamedTuple):
    """A visitor's connection that HTTP is spoken on.

    Attributes:
        arrival: Where it came from.
        scheme: ``http``, or ``https`` when TLS ends here.
    """

    arrival: Arrival
    scheme: str


CONNECTION: Final = web.RequestKey("connection", Connection)
"""Where a request holds its connection."""
KEEP_ALIVE_S: Final = 75.0
"""How long a connection may be without a whole request."""

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""Answers a request."""
