"""The HTTP session that WebSockets to a rendezvous are opened in."""

from __future__ import annotations

from collections.abc import Sequence

import aiohttp
from aiohttp.abc import ResolveResult
from aiohttp.tracing import Trace

from p2p.defaults import SIGNALLING_SYN_SPACING_S, SIGNALLING_SYNS


class InsistentConnector(aiohttp.TCPConnector):
    """Connects with several SYNs: the system repeats a lost one after a whole second, and then after two more.

    aiohttp tries the addresses of a host one after the other, each a moment after the one before (RFC 8305), and the
    first connection wins. Here it finds each address several times. This is done before TLS and login, so a server
    sees one client, and at most some connections that close again without a byte.
    """

    def __init__(self) -> None:
        super().__init__(happy_eyeballs_delay=SIGNALLING_SYN_SPACING_S)

    async def _resolve_host(self, host: str, port: int, traces: Sequence[Trace] | None = None) -> list[ResolveResult]:
        return await super()._resolve_host(host, port, traces) * SIGNALLING_SYNS


def http_session() -> aiohttp.ClientSession:
    """Make the session. Proxies of the environment are used: a network that blocks UDP often has one."""
    return aiohttp.ClientSession(trust_env=True, connector=InsistentConnector())
