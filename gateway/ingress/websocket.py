"""WebSockets: a visitor's and a service's, message by message."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Final

import aiohttp
from aiohttp import WSMsgType, web
from multidict import CIMultiDict
from yarl import URL

from gateway.core.headers import Headers
from gateway.patience import Patience

MESSAGE_MAX_BYTES: Final = 64 << 20
"""A larger message ends the connection; it would have to be held in memory."""
CLOSE_WITHIN_S: Final = 10.0

_OF_THE_HANDSHAKE: Final = frozenset(
    {
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
    }
)


async def relay_websocket(
    request: web.BaseRequest, session: aiohttp.ClientSession, url: URL, headers: Headers, patience: Patience
) -> web.StreamResponse:
    """Join a visitor's WebSocket to one of the service.

    Args:
        request: The visitor's upgrade.
        session: Reaches the service.
        url: What to ask it for.
        headers: Of the request to the service.
        patience: For the service's answer to the upgrade.

    Returns:
        The response to the visitor, when the connection is over.

    Raises:
        aiohttp.ClientError: The service does not take the upgrade, and nothing was sent to the visitor.
        TimeoutError: The same, because nobody is heard there.
    """
    offered = [
        protocol.strip()
        for value in request.headers.getall("Sec-WebSocket-Protocol", [])
        for protocol in value.split(",")
    ]
    plain = CIMultiDict((name, value) for name, value in headers if name.lower() not in _OF_THE_HANDSHAKE)
    connecting = session.ws_connect(
        url,
        headers=plain,
        protocols=offered,
        autoclose=False,
        autoping=False,
        compress=0,
        max_msg_size=MESSAGE_MAX_BYTES,
        timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_WITHIN_S),
    )
    async with AsyncExitStack() as stack:
        async with patience.waiting(can_move=True):
            service = await stack.enter_async_context(connecting)
        visitor = web.WebSocketResponse(
            protocols=[service.protocol] if service.protocol else (),
            autoclose=False,
            autoping=False,
            compress=False,
            max_msg_size=MESSAGE_MAX_BYTES,
            timeout=CLOSE_WITHIN_S,
        )
        await visitor.prepare(request)
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(visitor, service))
            group.create_task(_pump(service, visitor))
    return visitor


_Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def _pump(source: _Socket, destination: _Socket) -> None:
    """Carry one direction; its end closes the other one, too, so that neither waits for the other."""
    try:
        while True:
            message = await source.receive()
            match message.type:
                case WSMsgType.TEXT:
                    await destination.send_str(message.data)
                case WSMsgType.BINARY:
                    await destination.send_bytes(message.data)
                case WSMsgType.PING:
                    await destination.ping(message.data)
                case WSMsgType.PONG:
                    await destination.pong(message.data)
                case WSMsgType.CLOSING:
                    return  # by the other direction
                case _:
                    break
        is_said = message.type is WSMsgType.CLOSE
        code = message.data if is_said and message.data else aiohttp.WSCloseCode.GOING_AWAY
        reason = (message.extra or "").encode() if is_said else b""
        for socket in (destination, source):
            await socket.close(code=code, message=reason)
    except (aiohttp.ClientError, ConnectionError):
        for socket in (destination, source):
            await socket.close(code=aiohttp.WSCloseCode.GOING_AWAY)
