"""What a service answers, whatever version of HTTP it speaks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import aiohttp

from gateway.core.headers import Headers


class Answer(NamedTuple):
    """A response that is coming.

    Attributes:
        status: Its code.
        reason: Its words; HTTP/2 has none.
        headers: As the service wrote them.
        pieces: Its body.
        trailers: Fields after the body; there when the body has ended.
    """

    status: int
    reason: str
    headers: Headers
    pieces: AsyncIterator[bytes]
    trailers: Headers


def answer_of(response: aiohttp.ClientResponse) -> Answer:
    """Take a response in HTTP/1.1; its trailers are lost, which RFC 9110 section 6.5.1 lets a proxy do."""
    headers = list(response.headers.items())
    return Answer(response.status, response.reason or "", headers, response.content.iter_any(), [])
