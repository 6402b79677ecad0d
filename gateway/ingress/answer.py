"""What a service answers, whatever version of HTTP it speaks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from gateway.core.headers import Headers

if TYPE_CHECKING:
    from gateway.ingress.h1_client import H1Client


class Outgoing(Protocol):
    """The body of a request: pieces, and then trailers."""

    def pieces(self) -> AsyncIterator[bytes]:
        """Read it piece by piece."""

    def trailers(self) -> Headers:
        """The fields after it, when it has ended."""


@dataclass(slots=True)
class Answer:
    """A response that is coming.

    Attributes:
        status: Its code.
        reason: Its words; HTTP/2 has none.
        headers: As the service wrote them.
        pieces: Its body, behind what has begun.
        close: To be called at the end: what has not come by then, or was not sent, is not wanted any more.
        begun: What of the body came together with the head.
        is_whole: Whether that is all of it.
        trailers: Fields after the body; there when the body has ended. Those of HTTP/1.1 are lost, which RFC 9110
            section 6.5.1 lets a proxy do.
        switched: The connection, when the service has switched to another protocol on it.
    """

    status: int
    reason: str
    headers: Headers
    pieces: AsyncIterator[bytes]
    close: Callable[[], None]
    begun: bytes = b""
    is_whole: bool = False
    trailers: Headers = field(default_factory=list)
    switched: H1Client | None = None
