"""Sends a recorded request again, as it was or changed."""

from __future__ import annotations

import asyncio
import base64
import socket
from typing import Annotated, Final

import h11
import msgspec
from msgspec import Meta, Struct

from p2p.errors import ErrorCode, ForwardError
from p2p.forward.sockets import close
from p2p.forward.target import FlowAcceptor
from p2p.inspect.recording import BODY_KEPT_BYTES, Exchange, Recorder
from p2p.inspect.tap import Tap
from p2p.proto.tunnel.codes import StreamCode
from p2p.proto.tunnel.header import StreamHeader

CODE_REPLAY: Final = ErrorCode("P2P-6140", "Check that the service runs, and that the request is valid HTTP.")

ANSWER_WITHIN_S: Final = 60.0
_PIECE_BYTES: Final = 64 << 10
_FRAMING: Final = frozenset({"content-length", "transfer-encoding", "connection", "expect"})


class Changes(Struct, frozen=True, forbid_unknown_fields=True):
    """What is different from the recorded request; what is missing stays."""

    method: Annotated[str, Meta(max_length=32)] | None = None
    target: Annotated[str, Meta(max_length=16_384)] | None = None
    headers: list[tuple[str, str]] | None = None
    body: str | None = None
    is_base64: bool = False


async def replay(recorder: Recorder, acceptor: FlowAcceptor, exchange: Exchange, changes: Changes) -> Exchange:
    """Send a request again.

    Args:
        recorder: Where the new exchange goes.
        acceptor: Reaches the service.
        exchange: What to repeat; HTTP.
        changes: What to change.

    Returns:
        The new exchange.

    Raises:
        ForwardError: The service is not reached, the request is not valid, or was not recorded whole.
    """
    data = _request(exchange, changes)
    sock = await _connect(acceptor, exchange.service)
    tap = Tap(recorder, service=exchange.service, visitor="replay", replay_of=exchange.number)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            tap.said(data)
            await loop.sock_sendall(sock, data)
            while tap.exchange is not None and tap.exchange.took_s is None:
                piece = await loop.sock_recv(sock, _PIECE_BYTES)
                tap.answered(piece)
                if not piece:
                    break
    except (OSError, TimeoutError) as error:
        raise ForwardError(f"the service does not answer: {error}", code=CODE_REPLAY) from error
    finally:
        tap.over()
        close(sock, reset=False)
    assert tap.exchange is not None
    return tap.exchange


def read_changes_untrusted(data: bytes) -> Changes:
    """Read what the page sends.

    Raises:
        ForwardError: It is something else.
    """
    try:
        return msgspec.json.decode(data or b"{}", type=Changes)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ForwardError(f"not a change of a request: {error}", code=CODE_REPLAY) from error


def _request(exchange: Exchange, changes: Changes) -> bytes:
    if changes.body is None and not exchange.request.is_whole:
        raise ForwardError(f"only the first {BODY_KEPT_BYTES} bytes of its body were kept", code=CODE_REPLAY)
    try:
        body = bytes(exchange.request.kept) if changes.body is None else _decode(changes)
        headers = exchange.request_headers if changes.headers is None else changes.headers
        kept = [(name, value) for name, value in headers if name.lower() not in _FRAMING]
        kept += [("Connection", "close"), *([("Content-Length", str(len(body)))] if body else [])]
        request = h11.Request(
            method=changes.method or exchange.method,
            target=(changes.target or exchange.target).encode("latin-1"),
            headers=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in kept],
        )
        connection = h11.Connection(h11.CLIENT)
        parts = [connection.send(request), connection.send(h11.Data(body)) if body else b""]
    except (h11.LocalProtocolError, UnicodeEncodeError, ValueError) as error:
        raise ForwardError(f"not a valid request: {error}", code=CODE_REPLAY) from error
    return b"".join(part or b"" for part in parts)


def _decode(changes: Changes) -> bytes:
    assert changes.body is not None
    return base64.b64decode(changes.body, validate=True) if changes.is_base64 else changes.body.encode()


async def _connect(acceptor: FlowAcceptor, service: str) -> socket.socket:
    connected: asyncio.Future[socket.socket | StreamCode] = asyncio.get_running_loop().create_future()

    def done(result: socket.socket | StreamCode) -> None:
        if not connected.done():
            connected.set_result(result)
        elif isinstance(result, socket.socket):
            result.close()

    cancel = acceptor.dial(StreamHeader(service), done)
    try:
        result = await connected
    except asyncio.CancelledError:
        cancel()
        raise
    if not isinstance(result, socket.socket):
        raise ForwardError(f"the service is not reached: {result.name.lower()}", code=CODE_REPLAY)
    return result
