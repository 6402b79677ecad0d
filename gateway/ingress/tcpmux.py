"""TCP services by name on the port of HTTP: a client asks for one by CONNECT, as it would ask a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from typing import Final

from gateway.core.access import Verdict
from gateway.core.connect_head import HEAD_MAX_BYTES, ConnectHead, connect_head_untrusted
from gateway.core.registry import Registry
from gateway.ingress.front import HELLO_WITHIN_S, Arrival
from gateway.ingress.raw import RawForwarder
from gateway.metrics import Metrics
from gateway.publishers import Publisher, ask_for_missed_keys
from p2p.aio.first_bytes import peek
from p2p.errors import DecodeError
from p2p.forward.sockets import close

logger = logging.getLogger(__name__)

METHOD: Final = b"CONNECT "
"""How such a connection begins."""
_ANSWER: Final = b"HTTP/1.1 %s\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n"
_ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"
_LOG_IN: Final = b'Proxy-Authenticate: Basic realm="tcpmux", charset="UTF-8"\r\n'
_LEFT_MAX_BYTES: Final = 1 << 16
_REFUSALS: Final = {
    Verdict.ADDRESS_DENIED: (b"403 Forbidden", b""),
    Verdict.CREDENTIALS_NEEDED: (b"407 Proxy Authentication Required", _LOG_IN),
    Verdict.TOO_MANY: (b"429 Too Many Requests", b""),
}


class Tcpmux:
    """Answers CONNECT.

    Args:
        registry: What is published.
        raw: Takes the connections.
        metrics: What to count.
    """

    def __init__(self, registry: Registry[Publisher], raw: RawForwarder, metrics: Metrics) -> None:
        self._registry = registry
        self._raw = raw
        self._metrics = metrics

    async def serve(self, arrival: Arrival) -> None:
        """Take over a connection that begins with ``METHOD``."""
        try:
            async with asyncio.timeout(HELLO_WITHIN_S):
                head = await _head(arrival.sock)
        except DecodeError as error:
            logger.info("CONNECT of %s: %s", arrival.visitor, error)
            self._metrics.refused.labels("request").inc()
            self._refuse(arrival, b"400 Bad Request")
        except (OSError, TimeoutError):
            close(arrival.sock, reset=True)
        else:
            self._connect(head, arrival)

    def _connect(self, head: ConnectHead, arrival: Arrival) -> None:
        service = self._registry.of_host(head.host)
        if service is None or service.kind != "tcpmux":
            self._metrics.refused.labels("no_service").inc()
            self._refuse(arrival, b"404 Not Found")
            return
        now, host = asyncio.get_running_loop().time(), arrival.visitor.host
        verdict = service.policy.enter(host, head.credentials, now, time.time())
        ask_for_missed_keys(service, now)
        if verdict is not Verdict.WELCOME:
            self._raw.refused(service, arrival, verdict.value)
            self._refuse(arrival, *_REFUSALS[verdict])
            return
        service.policy.leave(host)
        if not self._raw.hand_over(service, arrival, greeting=_ESTABLISHED):
            self._raw.refused(service, arrival, "offline")
            self._refuse(arrival, b"503 Service Unavailable")

    def _refuse(self, arrival: Arrival, status: bytes, more: bytes = b"") -> None:
        with contextlib.suppress(OSError):
            # So few bytes fit into the buffer of any new connection.
            arrival.sock.send(_ANSWER % (status, more))
            # Closing with bytes that nobody has read would be a reset, and the answer lost with it.
            arrival.sock.recv(_LEFT_MAX_BYTES)
        close(arrival.sock, reset=False)


async def _head(sock: socket.socket) -> ConnectHead:
    data = b""
    while (head := connect_head_untrusted(data)) is None:
        data = await peek(sock, HEAD_MAX_BYTES, len(data))
    sock.recv(head.length_bytes)
    return head
