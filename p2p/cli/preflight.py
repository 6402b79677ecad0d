"""What ``p2p expose`` looks at before anyone connects."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterable
from typing import Final

from p2p import defaults
from p2p.errors import ErrorCode, ForwardError
from p2p.os_errors import reason_of
from p2p.target import Target, TcpTarget, UdpTarget, UnixTarget

CODE_TARGET_SILENT: Final = ErrorCode(
    "P2P-6190",
    "Start the service, or correct the target; the ticket works as soon as the service does.",
    retryable=True,
)


async def look_for_targets(targets: Iterable[Target]) -> ForwardError | None:
    """See whether something listens where the services should be.

    On this machine nothing is sent: a server that takes one connection and ends, such as ``nc -l``, must not spend
    it on our curiosity. Only another machine, or a port that may not be looked at, is dialled; UDP never is, since
    silence says nothing there.

    Args:
        targets: Where the services are.

    Returns:
        A warning about the first that is missing, or None when all are there.
    """
    for target in targets:
        match target:
            case TcpTarget(host, port):
                warning = await _look_for_tcp(host, port)
            case UdpTarget(host, port):
                warning = await _look_for_udp(host, port)
            case UnixTarget(path):
                missing = not target.is_abstract and not os.path.exists(path)  # noqa: ASYNC240 -- one look
                warning = _silent(target, "no such file") if missing else None
        if warning is not None:
            return warning
    return None


async def _look_for_udp(host: str, port: int) -> ForwardError | None:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except socket.gaierror as error:
        return _silent(UdpTarget(host, port), reason_of(error))
    if {_is_taken(family, address, socket.SOCK_DGRAM) for family, _, _, _, address in found} == {False}:
        return _silent(UdpTarget(host, port), "no program has this port open")
    return None


async def _look_for_tcp(host: str, port: int) -> ForwardError | None:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return _silent(TcpTarget(host, port), reason_of(error))
    answers = {_is_taken(family, address) for family, _, _, _, address in found}
    if True in answers:
        return None
    if answers == {False}:
        return _silent(TcpTarget(host, port), "no program has this port open")
    try:
        async with asyncio.timeout(defaults.TARGET_PROBE_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return _silent(TcpTarget(host, port), "no answer")
    except OSError as error:
        return _silent(TcpTarget(host, port), reason_of(error))
    writer.close()
    return None


def _is_taken(family: int, address: tuple[object, ...], kind: socket.SocketKind = socket.SOCK_STREAM) -> bool | None:
    """Whether a program of this machine has the port; None when the address is not ours or we may not know."""
    with socket.socket(family, kind) as probe:
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind(address)
        except OSError as error:
            return True if error.errno == errno.EADDRINUSE else None
    return False


def _silent(target: Target, reason: str) -> ForwardError:
    return ForwardError(f"nothing answers at {target} yet: {reason}", code=CODE_TARGET_SILENT)
