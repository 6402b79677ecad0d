"""HTTP to a router that may be slow, talkative, or somebody else's."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Protocol, Self

import aiohttp

from p2p.defaults import PORTMAP_HTTP_S
from p2p.gather.interfaces import Gateway
from p2p.os_errors import reason_of
from p2p.proto.portmap.errors import CODE_UNUSABLE, PortMappingError
from p2p.proto.portmap.soap import SoapRequest
from p2p.proto.portmap.xml import MAX_BYTES

_HEADERS: Final = {"User-Agent": "p2p-toolkit UPnP/1.1", "Accept-Encoding": "identity", "Connection": "close"}
_CHUNK_BYTES: Final = 16 << 10
_ANSWERED: Final = (200, 500)
"""500 is how an action is refused. Source: UPnP Device Architecture 1.1 section 3.2.2."""


class RouterHttp(Protocol):
    """What asking a UPnP router needs."""

    async def get(self, url: str) -> bytes:
        """Fetch a document.

        Raises:
            PortMappingError: There is none, in time and of a bearable size.
        """
        ...

    async def post(self, url: str, request: SoapRequest) -> bytes:
        """Post an action, and give back what comes, be it an answer or an error of UPnP's.

        Raises:
            PortMappingError: Nothing comes, in time and of a bearable size.
        """
        ...


class BoundedHttp:
    """Requests without redirects, proxies, cookies and compression, each with an end in time and in size.

    Concurrency: one event loop; ``async with`` runs it.

    Args:
        gateway: Whom URLs must lead to, which who makes them sees to, and the address of ours to come from.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._source = gateway.source

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(local_addr=(self._source, 0), force_close=True),
            timeout=aiohttp.ClientTimeout(total=PORTMAP_HTTP_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers=_HEADERS,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, url: str) -> bytes:
        """Fetch a document; see ``RouterHttp.get``."""
        return await self._exchange("GET", url, None, {})

    async def post(self, url: str, request: SoapRequest) -> bytes:
        """Post an action; see ``RouterHttp.post``."""
        headers = {"Content-Type": 'text/xml; charset="utf-8"', "SOAPAction": request.header}
        return await self._exchange("POST", url, request.body, headers)

    async def _exchange(self, method: str, url: str, body: bytes | None, headers: dict[str, str]) -> bytes:
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as response:
                if response.status not in _ANSWERED:
                    raise PortMappingError(f"the router answers {response.status} at {url}", code=CODE_UNUSABLE)
                received = bytearray()
                async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                    received += chunk
                    if len(received) > MAX_BYTES:
                        raise PortMappingError(f"the router does not stop talking at {url}", code=CODE_UNUSABLE)
                return bytes(received)
        except TimeoutError:
            raise PortMappingError(f"the router does not answer in time at {url}") from None
        except OSError as error:
            raise PortMappingError(f"the router cannot be asked at {url}: {reason_of(error)}") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise PortMappingError(f"the router cannot be asked at {url}: {error}", code=CODE_UNUSABLE) from error
