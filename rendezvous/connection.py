"""One client's WebSocket: reads it, does what the messages ask, and is the peer's ``Member`` while logged in."""

from __future__ import annotations

import asyncio
import logging
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web

from p2p.address import TransportAddress
from p2p.aio.chaser import Chaser
from p2p.defaults import (
    RELAYS_ASKED_AGAIN_S,
    RENDEZVOUS_LOGIN_TIMEOUT_S,
    RENDEZVOUS_OFFENCES,
    RENDEZVOUS_SOCKET_BUFFER_BYTES,
    RENDEZVOUS_STUCK_S,
)
from p2p.errors import DecodeError, IdentityError
from p2p.identity import PeerId
from p2p.proto.signalling.codes import SignallingCode
from p2p.proto.signalling.messages import (
    NONCE_BYTES,
    Bye,
    ClientMessage,
    Done,
    Error,
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
    decode_client_untrusted,
    encode,
)
from p2p.proto.token_bucket import TokenBucket
from rendezvous.core.admission import Scope
from rendezvous.core.login import LoginChallenge
from rendezvous.core.refusal import Refusal
from rendezvous.core.registry import Seat
from rendezvous.hub import Hub

logger = logging.getLogger(__name__)

_DETAIL_CHARACTERS: Final = 200


class Connection:
    """One client, from the upgrade to its end.

    Messages are handled in order, one at a time. What is sent waits in the transport's buffer, which is bounded: a
    client that lets it fill up is disconnected, so that whoever sends to it never waits for it.

    Concurrency: one event loop; other connections call ``deliver`` and ``dismiss``.

    Args:
        hub: What all connections share.
        socket: The WebSocket, prepared, without compression.
        transport: What it writes to.
        address: Where the client is.
    """

    __slots__ = (
        "_address",
        "_bells",
        "_bucket",
        "_challenge",
        "_chaser",
        "_hub",
        "_is_ending",
        "_offences",
        "_seat",
        "_slow_timer",
        "_socket",
        "_timer",
        "_transport",
        "scope",
    )

    def __init__(
        self, hub: Hub, socket: web.WebSocketResponse, transport: asyncio.Transport, address: TransportAddress
    ) -> None:
        limits = hub.config.limits
        self._hub = hub
        self._socket = socket
        self._transport = transport
        self._address = address
        self._bucket = TokenBucket(limits.messages_per_s, limits.message_burst)
        self._challenge = LoginChallenge(hub.random_bytes(NONCE_BYTES), hub.config.names)
        self._chaser = Chaser(hub.tasks, lambda: socket.send_frame(b"", WSMsgType.PONG))
        self._offences = 0
        self._seat: Seat | None = None
        self._bells: dict[str, bytes] = {}
        self._slow_timer: asyncio.TimerHandle | None = None
        self._is_ending = False
        self.scope: Scope | None = None
        # Twice what we let wait, so that the transport never makes a writer wait before we notice.
        transport.set_write_buffer_limits(high=2 * limits.send_buffer_bytes)
        if (raw := transport.get_extra_info("socket")) is not None:
            # The kernel lets a writer go on when a third of this is free: with megabytes that looks like being stuck.
            raw.setsockopt(SOL_SOCKET, SO_SNDBUF, RENDEZVOUS_SOCKET_BUFFER_BYTES)
        self._timer: asyncio.TimerHandle | None = hub.loop.call_later(
            RENDEZVOUS_LOGIN_TIMEOUT_S, self.dismiss, SignallingCode.TIMEOUT, "no login in time"
        )

    async def run(self, early_login: Login | None = None) -> None:
        """Serve the client until it or the server ends the connection.

        Args:
            early_login: What came with the upgrade to log in.
        """
        self._hub.add(self)
        try:
            await self._begin(early_login)
            while True:
                frame = await self._socket.receive()
                if frame.type is WSMsgType.TEXT:
                    await self._receive(frame.data)
                elif frame.type is WSMsgType.BINARY:
                    await self._offend(Refusal(SignallingCode.MALFORMED, "messages are text frames"))
                else:
                    break
        except Exception:
            # A mistake of ours ends this connection only, and the client learns that it was not its own.
            logger.exception("%s at %s met a failure", self._name, self._address)
            self._is_ending = True
            await self._end(Bye(code=SignallingCode.INTERNAL, detail="the server failed"))
        finally:
            self._is_ending = True
            self._disarm()
            self._hub.discard(self)
            for bell in self._bells.values():
                self._hub.knocks.take_down(self, bell)
            if self._seat is not None:
                await self._hub.registry.release(self._seat, self)
                self._hub.metrics.online.set(len(self._hub.registry))

    async def send(self, message: ServerMessage) -> bool:
        """Send a message of our own; False when the connection is gone or was too slow."""
        data = encode(message)
        if self._unsent_with(data) > self._hub.config.limits.send_buffer_bytes:
            # It asks and does not read the answers.
            self._cut_slow()
        return await self._write(data)

    async def deliver(self, message: bytes) -> bool:
        """Send another client's message; see ``Member``.

        Half of the buffer is for these: nobody gets a client disconnected by writing to it faster than its line is.
        """
        if self._unsent_with(message) > self._hub.config.limits.send_buffer_bytes // 2:
            if self._slow_timer is None and not self._is_ending:
                self._slow_timer = self._hub.loop.call_later(RENDEZVOUS_STUCK_S, self._cut_slow)
            return False
        if self._slow_timer is not None:
            self._slow_timer.cancel()
            self._slow_timer = None
        return await self._write(message)

    def _unsent_with(self, message: bytes) -> int:
        return self._transport.get_write_buffer_size() + len(message)

    async def _write(self, message: bytes) -> bool:
        if self._is_ending or self._transport.is_closing():
            return False
        try:
            await self._socket.send_frame(message, WSMsgType.TEXT)
        except ConnectionError:
            return False
        self._chaser.sent()
        return True

    def dismiss(self, code: SignallingCode, detail: str) -> None:
        """Tell the client why, and close; returns at once. See ``Member``."""
        if self._is_ending:
            return
        self._is_ending = True
        logger.info("%s at %s is dismissed: %s", self._name, self._address, code)
        self._hub.metrics.dismissals.labels(code).inc()
        self._hub.tasks.start(self._end(Bye(code=code, detail=detail)), name="rendezvous dismissal")

    @property
    def _name(self) -> str:
        return self._seat.peer_id.short if self._seat else "client"

    async def _end(self, bye: Bye) -> None:
        try:
            await self._socket.send_frame(encode(bye), WSMsgType.TEXT)
            # Not drained: the client may have stopped reading, and then the cut below is all that helps.
            await self._socket.close(code=WSCloseCode.OK, drain=False)
        except ConnectionError as error:
            logger.debug("%s at %s left before its farewell: %s", self._name, self._address, error)
        finally:
            self._transport.abort()

    def _cut_slow(self) -> None:
        if self._is_ending:
            return
        logger.info("%s at %s reads too slowly", self._name, self._address)
        self._hub.metrics.dismissals.labels(SignallingCode.SLOW_CONSUMER).inc()
        self._is_ending = True
        # A farewell would only queue behind what is not read.
        self._transport.abort()

    async def _receive(self, data: bytes) -> None:
        if self._is_ending:
            return
        try:
            message = decode_client_untrusted(data)
        except DecodeError as error:
            await self._offend(Refusal(SignallingCode.MALFORMED, error.detail))
            return
        if message is None:
            self._hub.metrics.count_message("unknown")
            return
        self._hub.metrics.count_message(str(message.__struct_config__.tag))
        if isinstance(message, Bye):
            self.dismiss(SignallingCode.LEAVING, "as you wish")
        elif isinstance(message, Login):
            await self._log_in(message)
        elif self._seat is None or self.scope is None:
            await self._offend(Refusal(SignallingCode.NOT_LOGGED_IN, "log in first"), message)
        elif not self._bucket.take(self._hub.loop.time()):
            await self._offend(Refusal(SignallingCode.RATE_LIMITED, "too many messages in too little time"), message)
        else:
            try:
                await self._serve(message, self._seat, self.scope)
            except Refusal as refusal:
                await self._refuse(refusal, message)

    async def _begin(self, login: Login | None) -> None:
        """Welcome a client that has logged in with the upgrade; send the challenge to any other."""
        hub = self._hub
        seat = None
        if login is not None:
            seat = hub.early_logins.verify(login, names=hub.config.names, now_wall=hub.now_wall())
        if login is None or seat is None:
            await self.send(self._challenge.message())
            return
        self._challenge.withdraw()
        await self._admit(login, seat)

    async def _log_in(self, login: Login) -> None:
        try:
            seat = self._challenge.verify(login)
        except Refusal as refusal:
            self._turn_away(refusal)
        else:
            await self._admit(login, seat)

    def _turn_away(self, refusal: Refusal) -> None:
        self._hub.metrics.logins.labels(refusal.wire_code).inc()
        self.dismiss(refusal.wire_code, refusal.detail)

    async def _admit(self, login: Login, seat: Seat) -> None:
        """Give the owner of a key its seat, if its token allows that."""
        hub = self._hub
        try:
            scope = hub.admission.check(login.token, now_wall=hub.now_wall())
        except Refusal as refusal:
            self._turn_away(refusal)
            return
        self._disarm()
        self._seat, self.scope = seat, scope
        if scope.expires_wall is not None:
            self._timer = hub.loop.call_later(
                scope.expires_wall - hub.now_wall(),
                self.dismiss,
                SignallingCode.TOKEN_REFUSED,
                "the admission token has expired",
            )
        replaced = await hub.registry.claim(seat, self)
        if replaced is not None:
            replaced.dismiss(SignallingCode.TAKEN_OVER, f"this key has logged in from {self._address}")
        hub.metrics.logins.labels("accepted").inc()
        hub.metrics.online.set(len(hub.registry))
        logger.info("%s logged in from %s with %r", self._name, self._address, login.agent)
        await self.send(self._welcome(seat.peer_id, scope, None))
        for answer in hub.held.collect(seat, hub.loop.time()):
            await self.deliver(answer)

    async def _serve(
        self, message: Renew | Publish | Unpublish | Resolve | SignalRequest, seat: Seat, scope: Scope
    ) -> None:
        registry = self._hub.registry
        if isinstance(message, SignalRequest):
            await self._forward(message, seat)
        elif isinstance(message, Resolve):
            presence = await registry.find(Seat(_peer_id(message.peer), message.instance))
            published = presence is not None and message.service in presence.services
            await self.send(Resolved(id=message.id, online=presence is not None, published=published))
        elif isinstance(message, Publish):
            scope.check_publish(message.service)
            await registry.publish(seat, self, message.service)
            self._hang_bell(seat, message)
            await self.send(Done(id=message.id))
        elif isinstance(message, Unpublish):
            await registry.unpublish(seat, self, message.service)
            self._take_bell_down(message.service)
            await self.send(Done(id=message.id))
        else:
            await self.send(self._welcome(seat.peer_id, scope, message.id))

    async def _forward(self, message: SignalRequest, seat: Seat) -> None:
        hub = self._hub
        receiver = Seat(_peer_id(message.to), message.instance)
        presence = await hub.registry.find(receiver)
        delivery = encode(SignalDelivery(sender=str(seat.peer_id), body=message.body, instance=seat.instance))
        if presence is not None:
            is_sent = await presence.member.deliver(delivery)
        else:
            is_sent = message.knock is not None and hub.held.hold(
                message.knock, seat, receiver, delivery, hub.loop.time()
            )
        if not is_sent:
            raise Refusal(SignallingCode.PEER_OFFLINE, "the peer is not logged in, or takes no more for now")
        if message.id is not None:
            await self.send(Done(id=message.id))

    def _hang_bell(self, seat: Seat, message: Publish) -> None:
        self._take_bell_down(message.service)
        if message.bell is not None:
            self._bells[message.service] = self._hub.knocks.hang(self, seat, message.bell)

    def _take_bell_down(self, service: str) -> None:
        if (bell := self._bells.pop(service, None)) is not None:
            self._hub.knocks.take_down(self, bell)

    def _welcome(self, peer: PeerId, scope: Scope, request_id: int | None) -> Welcome:
        return Welcome(
            observed_address=self._address,
            now_wall=self._hub.now_wall(),
            stun=self._hub.stun_servers,
            turn=(turn := self._hub.turn_servers(peer, scope, self._address.host)),
            region=self._hub.config.region,
            again_s=RELAYS_ASKED_AGAIN_S if self._hub.expects_relays and scope.relay and not turn else None,
            id=request_id,
        )

    async def _offend(self, refusal: Refusal, message: ClientMessage | None = None) -> None:
        """Refuse what no sound client does, and end the connection when it does not stop."""
        self._offences += 1
        if self._offences > RENDEZVOUS_OFFENCES:
            self.dismiss(refusal.wire_code, refusal.detail)
        else:
            await self._refuse(refusal, message)

    async def _refuse(self, refusal: Refusal, message: ClientMessage | None) -> None:
        self._hub.metrics.errors.labels(refusal.wire_code).inc()
        await self.send(
            Error(
                code=refusal.wire_code,
                detail=refusal.detail[:_DETAIL_CHARACTERS],
                id=getattr(message, "id", None),
                to=message.to if isinstance(message, SignalRequest) else None,
            )
        )

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._slow_timer is not None:
            self._slow_timer.cancel()
            self._slow_timer = None


def _peer_id(text: str) -> PeerId:
    try:
        return PeerId.parse(text)
    except IdentityError as error:
        raise Refusal(SignallingCode.MALFORMED, error.detail) from error
