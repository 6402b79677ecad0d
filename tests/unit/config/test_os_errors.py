"""What the operating system said is told without a library's frame around it."""

from __future__ import annotations

import errno
import socket

import pytest

from p2p.os_errors import reason_of


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EADDRINUSE, "error while attempting to bind on address ('::1', 1)"), "Address already in use"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('::1', 1)"), "Connection refused"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (OSError("Multiple exceptions: one, two"), "Multiple exceptions: one, two"),
    ],
)
def test_reason(error: OSError, reason: str) -> None:
    assert reason_of(error) == reason
