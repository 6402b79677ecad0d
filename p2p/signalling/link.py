"""One connection to one rendezvous: upgrade, login, requests and their answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import aiohttp
import msgspec
from aiohttp import ClientWSTimeout, WSMsgType
from yarl import URL

from p2p.aio.chaser import Chaser
from p2p.aio.tasks import TaskScope
from p2p.defaults import SIGNALLING_CONNECT_TIMEOUT_S, SIGNALLING_HEARTBEAT_S
from p2p.errors import ConfigError, DecodeError, SignallingError
from p2p.identity import Identity
from p2p.os_errors import reason_of
from p2p.proto.signalling import early_login
from p2p.proto.signalling.codes import SignallingCode
from p2p.proto.signalling.messages import (
    MESSAGE_MAX_BYTES,
    PROTOCOL_VERSION,
    Bye,
    Challenge,
    ClientMessage,
    Done,
    Draining,
    Error,
    KnockDelivery,
    Login,
    Publish,
    Renew,
    Resolve,
    Resolved,
    ServerMessage,
    SignalDelivery,
    SignalRequest,
    Unpublish,
    Welcome,
    decode_server_untrusted,
    encode,
    login_transcript,
)
from p2p.signalling.errors import (
    CODE_CONNECTION_LOST,
    CODE_LOGIN_REFUSED,
    CODE_NO_ANSWER,
    CODE_NO_RENDEZVOUS,
    CODE_TLS,
    CODE_UNREACHABLE,
    CODE_URL,
    error_of_wire,
)

SIGNAL_PATH: Final = "/v1/signal"
_CLOSE_TIMEOUT_S: Final = 1.0
_SCHEMES: Final = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}

# Frames come as bytes: the decoder of JSON reads them faster than text.
Socket: TypeAlias = "aiohttp.ClientWebSocketResponse[Literal[False]]"
Answer: TypeAlias = Done | Resolved | Welcome
Request: TypeAlias = Renew | Publish | Unpublish | Resolve | SignalRequest
Unasked: TypeAlias = SignalDelivery | KnockDelivery | Draining | Error
"""What the server sends without being asked; an ``error`` is here when it answers no request with an id."""


def parse_rendezvous_url(text: str) -> URL:
    """Read a rendezvous URL as a person writes it.

    Args:
        text: ``wss://host``, with a port and a path if they are not the usual ones; ``https`` is taken for ``wss``.

    Raises:
        ConfigError: It is no such URL.
    """
    try:
        url = URL(text.strip())
        scheme, host = _SCHEMES.get(url.scheme), url.host
    except ValueError as error:
        raise ConfigError(f"not a rendezvous URL: {text!r}", code=CODE_URL) from error
    if scheme is None or not host or url.user is not None:
        raise ConfigError(f"not a rendezvous URL: {text!r}", code=CODE_URL)
    # http -> ws keeps an explicit port; the usual ports of both pairs are the same.
    url = url.with_scheme(scheme)
    return url.with_path(SIGNAL_PATH) if url.path in ("", "/") else url


class Link:
    """A logged-in connection. ``open_link`` makes one.

    Concurrency: one event loop. One task runs ``serve``; any may call ``request`` and ``send``.

    Args:
        socket: The WebSocket, logged in.
        url: Where it leads.
        welcome: What the server answered to the login.
        connecting_s: How long that took: two round trips at least.

    Attributes:
        has_rival: Whether another login of ours, given up since, may still reach this server by another URL.
    """

    def __init__(self, socket: Socket, url: URL, welcome: Welcome, connecting_s: float) -> None:
        self._socket = socket
        self._answers: dict[int, asyncio.Future[Answer]] = {}
        self._chaser: Chaser | None = None
        self._is_closed = False
        self.has_rival = False
        self.url: Final = url
        self.welcome: Final = welcome
        self.connecting_s: Final = connecting_s

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._is_closed or self._socket.closed

    @property
    def local_host(self) -> str | None:
        """The IP address of ours that the connection has, when that is known."""
        address = self._socket.get_extra_info("sockname")
        return address[0] if address else None

    async def serve(self, on_unasked: Callable[[Unasked], None]) -> SignallingError:
        """Read until the connection ends; ``close`` is left to the caller.

        Args:
            on_unasked: Called with what is no answer to a request.

        Returns:
            Why it ended.
        """
        try:
            async with TaskScope() as tasks:
                self._chaser = Chaser(tasks, lambda: self._socket.send_frame(b"", WSMsgType.PONG))
                reason = await self._read(on_unasked)
        finally:
            self._is_closed = True
            lost = SignallingError("the connection to the rendezvous was lost", code=CODE_CONNECTION_LOST)
            for future in self._answers.values():
                if not future.done():
                    future.set_exception(lost)
        return reason

    async def request(self, message: Request) -> Answer:
        """Send a request and wait for its answer.

        Args:
            message: With an ``id`` that no other request of this connection has.

        Raises:
            SignallingError: The server refused it, or the connection ended first.
        """
        assert message.id is not None, "a request without an id has no answer"
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers[message.id] = future
        try:
            await self.send(message)
            return await future
        finally:
            del self._answers[message.id]

    async def send(self, message: ClientMessage) -> None:
        """Send a message for which no answer is awaited.

        Raises:
            SignallingError: The connection has ended.
        """
        if self.is_closed:
            raise SignallingError("the connection to the rendezvous was lost", code=CODE_CONNECTION_LOST)
        try:
            await self._socket.send_frame(encode(message), WSMsgType.TEXT)
            if self._chaser is not None:
                self._chaser.sent()
        except (ConnectionError, aiohttp.ClientError) as error:
            raise SignallingError(f"the connection was lost: {error}", code=CODE_CONNECTION_LOST) from error

    async def leave(self) -> None:
        """Tell the server that this is the end, so that it does not wait for a reconnect; then close."""
        with contextlib.suppress(SignallingError):
            await self.send(Bye(code=SignallingCode.LEAVING))
        await self.close()

    async def close(self) -> None:
        """Close the connection; ``serve`` ends."""
        try:
            await self._socket.close()
        except asyncio.CancelledError:
            # If that was while aiohttp waited for our reader to let go, the connection is open still.
            if not self._socket.closed:
                await self._socket.close()
            raise

    async def _read(self, on_unasked: Callable[[Unasked], None]) -> SignallingError:
        while True:
            try:
                message = await _receive(self._socket)
            except SignallingError as error:
                return error
            if message is None:
                continue
            if isinstance(message, Bye):
                return error_of_wire(message.code, message.detail)
            if isinstance(message, (SignalDelivery, KnockDelivery, Draining)):
                on_unasked(message)
            elif isinstance(message, Error):
                future = self._answers.get(message.id) if message.id is not None else None
                if future is None:
                    on_unasked(message)
                elif not future.done():
                    future.set_exception(error_of_wire(message.code, message.detail))
            elif not isinstance(message, Challenge) and message.id is not None:
                future = self._answers.get(message.id)
                if future is not None and not future.done():
                    future.set_result(message)


async def open_link(
    session: aiohttp.ClientSession,
    url: URL,
    identity: Identity,
    *,
    instance: str,
    token: str | None,
    ssl_context: ssl.SSLContext | None,
    agent: str,
) -> Link:
    """Connect and log in.

    Args:
        session: Makes the connection.
        url: From ``parse_rendezvous_url``.
        identity: Who logs in.
        instance: Which of the identity's programs this is.
        token: Admission token, where the server wants one.
        ssl_context: For a private CA; None trusts the system's.
        agent: Program and version, for the server's log.

    Raises:
        SignallingError: The server cannot be reached, is not who it should be, or refuses the login.
    """
    began_at = time.monotonic()
    early = _early_login(url, identity, instance=instance, token=token, agent=agent)
    try:
        async with asyncio.timeout(SIGNALLING_CONNECT_TIMEOUT_S):
            socket = await session.ws_connect(
                url,
                ssl=ssl_context if ssl_context is not None else True,
                heartbeat=SIGNALLING_HEARTBEAT_S,
                timeout=ClientWSTimeout(ws_close=_CLOSE_TIMEOUT_S),
                # aiohttp refuses what reaches this size.
                max_msg_size=MESSAGE_MAX_BYTES + 1,
                decode_text=False,
                headers={"Authorization": early_login.to_header(early)},
            )
            try:
                welcome = await _log_in(socket, identity, early)
                return Link(socket, url, welcome, time.monotonic() - began_at)
            except BaseException:
                await socket.close()
                raise
    except TimeoutError as error:
        raise SignallingError(
            f"{url.authority} did not answer within {SIGNALLING_CONNECT_TIMEOUT_S:g} s", code=CODE_NO_ANSWER
        ) from error
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError) as error:
        raise SignallingError(f"TLS with {url.authority} failed: {error}", code=CODE_TLS) from error
    except aiohttp.WSServerHandshakeError as error:
        raise SignallingError(f"{url} answered with HTTP status {error.status}", code=CODE_NO_RENDEZVOUS) from error
    except aiohttp.ClientConnectorError as error:
        # Its own text shows our TLS context and the address twice.
        reason = reason_of(error.os_error)
        raise SignallingError(f"cannot reach {url.authority}: {reason}", code=CODE_UNREACHABLE) from error
    except (aiohttp.ClientError, OSError) as error:
        raise SignallingError(f"cannot reach {url.authority}: {error}", code=CODE_UNREACHABLE) from error


def _early_login(url: URL, identity: Identity, *, instance: str, token: str | None, agent: str) -> Login:
    host = (url.host or "").lower()
    nonce = early_login.make_nonce(time.time(), os.urandom)
    return Login(
        version=PROTOCOL_VERSION,
        peer=str(identity.peer_id),
        signature=identity.sign(login_transcript(nonce, identity.peer_id.public_key, host, instance, is_early=True)),
        host=host,
        instance=instance,
        token=token,
        agent=agent,
        nonce=nonce,
    )


async def _log_in(socket: Socket, identity: Identity, early: Login) -> Welcome:
    """Wait for the answer to the early login; a server that did not take it challenges us."""
    answer = await _receive_known(socket)
    if isinstance(answer, Challenge):
        if answer.version != PROTOCOL_VERSION:
            raise SignallingError(f"the server speaks version {answer.version}", code=CODE_LOGIN_REFUSED)
        transcript = login_transcript(answer.nonce, identity.peer_id.public_key, early.host, early.instance)
        login = msgspec.structs.replace(early, nonce=None, signature=identity.sign(transcript))
        await socket.send_frame(encode(login), WSMsgType.TEXT)
        answer = await _receive_known(socket)
    if not isinstance(answer, Welcome):
        raise _refused(answer, "no welcome came")
    return answer


async def _receive_known(socket: Socket) -> ServerMessage:
    while True:
        message = await _receive(socket)
        if message is not None:
            return message


async def _receive(socket: Socket) -> ServerMessage | None:
    frame = await socket.receive()
    if frame.type is WSMsgType.TEXT:
        try:
            return decode_server_untrusted(frame.data)
        except DecodeError as error:
            raise SignallingError(f"the server sent nonsense: {error.detail}", code=CODE_NO_RENDEZVOUS) from error
    if frame.type is WSMsgType.BINARY:
        return None
    raise SignallingError(f"the connection ended (code {socket.close_code})", code=CODE_CONNECTION_LOST)


def _refused(message: ServerMessage, otherwise: str) -> SignallingError:
    if isinstance(message, (Bye, Error)):
        return error_of_wire(message.code, message.detail)
    return SignallingError(otherwise, code=CODE_NO_RENDEZVOUS)
