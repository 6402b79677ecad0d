"""The head of an HTTP CONNECT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import h11

from gateway.core.names import host_of_header
from p2p.errors import DecodeError

HEAD_MAX_BYTES: Final = 8192
_END: Final = b"\r\n\r\n"


class ConnectHead(NamedTuple):
    """What a client of a proxy asks for.

    Attributes:
        host: The name in lower case; its port says nothing here.
        credentials: A header Authorization with what it sent as Proxy-Authorization, or none.
        length_bytes: Of the head; what follows is for the service.
    """

    host: str
    credentials: Mapping[str, str]
    length_bytes: int


def connect_head_untrusted(data: bytes) -> ConnectHead | None:
    """Read the head of a CONNECT.

    Args:
        data: The first bytes of a connection.

    Returns:
        The head; None while it is not whole.

    Raises:
        DecodeError: It is none, or too long.
    """
    end = data.find(_END)
    if end < 0:
        if len(data) >= HEAD_MAX_BYTES:
            raise DecodeError("the head of a CONNECT without an end")
        return None
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_MAX_BYTES)
    try:
        connection.receive_data(data[: end + len(_END)])
        request = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise DecodeError(f"not a CONNECT: {error}") from error
    if not isinstance(request, h11.Request) or request.method != b"CONNECT":
        raise DecodeError("not a CONNECT")
    given = [value.decode("latin-1") for name, value in request.headers if name == b"proxy-authorization"]
    if {b"content-length", b"transfer-encoding"} & {name for name, _ in request.headers}:
        raise DecodeError("a CONNECT with a body")
    host, _, port = request.target.decode("latin-1").rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or len(given) > 1:
        raise DecodeError("a CONNECT to nothing, or by two people")
    return ConnectHead(host_of_header(host), {"Authorization": given[0]} if given else {}, end + len(_END))
