"""Clients of both versions of HTTP, and how they are connected to a service."""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar

from gateway.publishers import Publisher
from p2p.errors import ForwardError
from p2p.forward.sockets import Addresses

ClientT = TypeVar("ClientT", bound=asyncio.Protocol)

_NOBODY: Final = Addresses(None, None)


def connected(client: ClientT, publisher: Publisher, addresses: Addresses | None) -> ClientT:
    """Connect a client to the service of an instance.

    Args:
        client: It is returned.
        publisher: The instance.
        addresses: The visitor's, when it has a flow of its own; None for what visitors share.

    Raises:
        ConnectionResetError: The session takes no more connections.
    """
    try:
        publisher.connect(client, addresses or _NOBODY)
    except ForwardError as error:
        raise ConnectionResetError(str(error)) from error
    return client
