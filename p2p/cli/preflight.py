"""What ``p2p expose`` looks at before anyone connects."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Final

from p2p import defaults
from p2p.errors import ErrorCode, ForwardError
from p2p.os_errors import reason_of

CODE_TARGET_SILENT: Final = ErrorCode(
    "P2P-6190",
    "Start the service, or correct the target; the ticket works as soon as the service does.",
    retryable=True,
)


async def look_for_target(host: str, port: int) -> ForwardError | None:
    """See whether something listens where the service should be.

    On this machine nothing is sent: a server that takes one connection and ends, such as ``nc -l``, must not spend
    it on our curiosity. Only another machine, or a port that may not be looked at, is dialled.

    Args:
        host: Host name or IP address.
        port: TCP port.

    Returns:
        A warning, or None when something listens.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return _silent(host, port, reason_of(error))
    answers = {_is_taken(family, address) for family, _, _, _, address in found}
    if True in answers:
        return None
    if answers == {False}:
        return _silent(host, port, "no program has this port open")
    try:
        async with asyncio.timeout(defaults.TARGET_PROBE_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return _silent(host, port, "no answer")
    except OSError as error:
        return _silent(host, port, reason_of(error))
    writer.close()
    return None


def _is_taken(family: int, address: tuple[object, ...]) -> bool | None:
    """Whether a program of this machine has the port; None when the address is not ours or we may not know."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind(address)
        except OSError as error:
            return True if error.errno == errno.EADDRINUSE else None
    return False


def _silent(host: str, port: int, reason: str) -> ForwardError:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return ForwardError(f"nothing answers at {where} yet: {reason}", code=CODE_TARGET_SILENT)
