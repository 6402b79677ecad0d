"""The client's half of one TURN allocation. Source: RFC 8656."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from p2p.address import TransportAddress
from p2p.defaults import TURN_CLOSE_REQUESTS, TURN_LIFETIME_S, TURN_REFRESH_MARGIN_S
from p2p.errors import DecodeError, LocalProtocolError, RelayError
from p2p.proto.machine import Datagram
from p2p.proto.stun.attributes import (
    DATA,
    LIFETIME,
    REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT,
    TRANSPORT_UDP,
    XOR_MAPPED_ADDRESS,
    XOR_PEER_ADDRESS,
    XOR_RELAYED_ADDRESS,
)
from p2p.proto.stun.message import (
    TRANSACTION_ID_BYTES,
    AttributeValue,
    Message,
    MessageClass,
    Method,
    decode_untrusted,
    encode,
    is_stun,
)
from p2p.proto.turn import channel_data
from p2p.proto.turn.credentials import LongTermCredentials
from p2p.proto.turn.events import (
    CODE_MISMATCH,
    CODE_NO_ANSWER,
    AllocationClosed,
    AllocationCreated,
    AllocationEvent,
    AllocationExpired,
    AllocationFailed,
    AllocationState,
    PeerData,
    RequestFailure,
)
from p2p.proto.turn.peers import PeerRequests
from p2p.proto.turn.requests import Request, RequestTable


class AllocationClient:
    """Machine for one allocation on a TURN server, over UDP or a byte stream.

    Driven by: whoever owns the transport to the server. Over UDP each datagram of ``datagrams_to_send`` is one packet;
    over TCP or TLS they are written one after the other, and ``receive_datagram`` gets what ``StreamFramer`` yields.
    States: NEW, ALLOCATING (after ``start``), ALLOCATED, CLOSING (after ``close``), DONE; see ``state``.
    Timers: retransmission and end of each request; refresh of the allocation, of permissions and of channels.
    Events: ``AllocationCreated`` or ``AllocationFailed``; then ``PermissionCreated``/``PermissionFailed``,
    ``ChannelBound``/``ChannelFailed``, ``PeerData``; at last ``AllocationExpired`` or ``AllocationClosed``.

    Permissions and channels may be asked for at any time; before there is an allocation they wait for it.

    Args:
        server: The server's address: the destination of every datagram, the only source that is heard.
        username: For the long-term mechanism.
        password: For the long-term mechanism.
        random_bytes: Gives as many unpredictable bytes as asked for: transaction ids.
        reliable: Whether a byte stream carries it: no retransmissions, ChannelData padded.
        nonce: A nonce of this server, when one is known: with ``realm`` it saves a round trip.
        realm: The server's realm, when it is known.
        lifetime_s: The lifetime to ask for, in seconds.
        address_family: 1 or 2 to ask for an IPv4 or IPv6 relayed address; None leaves it to the server (IPv4).

    Attributes:
        state: Where it is in its life.
        relayed_address: Where peers send to; None before there is one.
        mapped_address: Our address as the server sees it; None before it is known.
        credentials: What requests are authenticated with.
        dropped: How many datagrams of the server were of no use.
        silent_since: The monotonic instant since when the server owes an answer to a refresh; None when it owes none.
    """

    def __init__(
        self,
        *,
        server: TransportAddress,
        username: str,
        password: str,
        random_bytes: Callable[[int], bytes],
        reliable: bool,
        nonce: str | None = None,
        realm: str | None = None,
        lifetime_s: int = TURN_LIFETIME_S,
        address_family: int | None = None,
    ) -> None:
        self.server = server
        self.state = AllocationState.NEW
        self.relayed_address: TransportAddress | None = None
        self.mapped_address: TransportAddress | None = None
        self.dropped = 0
        self.silent_since: float | None = None
        self._random_bytes = random_bytes
        self._reliable = reliable
        self._lifetime_s = lifetime_s
        self._address_family = address_family
        self.credentials = LongTermCredentials(username, password, realm, nonce)
        self._requests = RequestTable(server, self.credentials, random_bytes, reliable=reliable)
        self._events: deque[AllocationEvent] = deque()
        self._peers = PeerRequests(self._requests, self._events, self._lost)
        self._refresh_at = self._expires_at = 0.0
        self._refreshing = False
        # Drivers ask for the timer after each datagram, but data changes no timer: it is looked for only
        # after what may have changed one.
        self._timer: float | None = None
        self._timer_is_current = False

    # --- Commands ------------------------------------------------------------------------------------------
    def start(self, now: float) -> None:
        """Ask for an allocation.

        Args:
            now: The monotonic instant in seconds.

        Raises:
            LocalProtocolError: It was started before.
        """
        if self.state is not AllocationState.NEW:
            raise LocalProtocolError("an allocation is started once")
        self.state = AllocationState.ALLOCATING
        self._timer_is_current = False
        attributes: list[AttributeValue] = [REQUESTED_TRANSPORT(TRANSPORT_UDP), LIFETIME(self._lifetime_s)]
        if self._address_family is not None:
            attributes.append(REQUESTED_ADDRESS_FAMILY(self._address_family))
        self._requests.submit(
            Request(
                method=Method.ALLOCATE,
                attributes=tuple(attributes),
                succeeded=self._allocated,
                failed=self._allocate_failed,
            ),
            now,
        )

    def create_permission(self, peer: TransportAddress, now: float) -> None:
        """Let a peer send to us, and keep it so until ``release``.

        Args:
            peer: The peer; its port does not matter to the server.
            now: The monotonic instant in seconds.
        """
        if self.state not in (AllocationState.CLOSING, AllocationState.DONE):
            self._peers.want_permission(peer)
            self._ask_for_peers(now)

    def bind_channel(self, peer: TransportAddress, now: float) -> None:
        """Give a peer a permission and a channel, and keep both until ``release``.

        Args:
            peer: The peer.
            now: The monotonic instant in seconds.

        Raises:
            LocalProtocolError: All 4,096 channel numbers are taken.
        """
        if self.state not in (AllocationState.CLOSING, AllocationState.DONE):
            self._peers.want_channel(peer)
            self._peers.want_permission(peer)
            self._ask_for_peers(now)

    def release(self, peer: TransportAddress) -> None:
        """Stop refreshing what was asked for a peer; the server forgets it in time.

        Args:
            peer: The peer.
        """
        self._timer_is_current = False
        self._peers.release(peer)

    def send(self, peer: TransportAddress, data: bytes) -> bytes:
        """Wrap data for a peer: ChannelData when a channel is bound, else a Send indication.

        Args:
            peer: The peer; the server drops what is sent to one without a permission.
            data: What the peer gets, as one datagram.

        Returns:
            The bytes to put on the transport to the server.

        Raises:
            LocalProtocolError: The data is longer than a datagram can be.
        """
        number = self._peers.channel_number(peer)
        if number is not None:
            return channel_data.encode(number, data, padded=self._reliable)
        transaction_id = self._random_bytes(TRANSACTION_ID_BYTES)
        attributes = (XOR_PEER_ADDRESS(peer), DATA(data))
        return encode(Message(MessageClass.INDICATION, Method.SEND, transaction_id, attributes))

    def channel_number(self, peer: TransportAddress) -> int | None:
        """Return the number of the channel that may be used to a peer now, for those who batch; else None."""
        return self._peers.channel_number(peer)

    def channel_peer(self, number: int) -> TransportAddress | None:
        """Return the peer that a channel number stands for, for those who unwrap batches themselves."""
        return self._peers.channel_peer(number)

    def refresh(self, now: float) -> None:
        """Ask the server now whether the allocation is still there; ``AllocationExpired`` follows when it is not.

        A request that is on its way is sent again, before its time.

        Args:
            now: The monotonic instant in seconds.
        """
        self._timer_is_current = False
        if self.state is AllocationState.ALLOCATED and not self._requests.send_again(Method.REFRESH, now):
            self._refreshing = True
            self._refresh(now)

    def close(self, now: float) -> None:
        """Give the allocation back; ``AllocationClosed`` follows within seconds.

        Args:
            now: The monotonic instant in seconds.
        """
        if self.state in (AllocationState.CLOSING, AllocationState.DONE):
            return
        self._timer_is_current = False
        before, self.state = self.state, AllocationState.CLOSING
        if before is AllocationState.ALLOCATED:
            self._requests.clear()
            self._say_farewell(now)
        elif before is AllocationState.NEW:
            self._finish(AllocationClosed())
        # An Allocate on its way is awaited: what it creates must be given back.

    # --- The five verbs ------------------------------------------------------------------------------------
    def receive_datagram(self, data: bytes, source: TransportAddress, now: float) -> bool:
        """Take a datagram, or a message of the stream, from the server.

        Args:
            data: A STUN or ChannelData message.
            source: Who sent it.
            now: The monotonic instant in seconds.

        Returns:
            Whether it belonged to this allocation.
        """
        if source != self.server or not data:
            return False
        try:
            if channel_data.is_channel_data(data):
                return self._receive_channel_data(data)
            if not is_stun(data):
                return False
            message = decode_untrusted(data)
        except DecodeError:
            self.dropped += 1
            return False
        if message.message_class is MessageClass.INDICATION and message.method == Method.DATA:
            self._receive_indication(message)
            return True
        self._timer_is_current = False
        return self._requests.receive(message, now)

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """Take what must be sent to the server, in order."""
        return self._requests.datagrams_to_send()

    def get_timer(self) -> float | None:
        """When ``handle_timer`` must be called next, or None."""
        if not self._timer_is_current:
            times = [self._requests.get_timer()]
            if self.state is AllocationState.ALLOCATED:
                times.append(self._expires_at if self._refreshing else self._refresh_at)
                times.append(self._peers.get_timer())
            self._timer = min((at for at in times if at is not None), default=None)
            self._timer_is_current = True
        return self._timer

    def handle_timer(self, now: float) -> None:
        """Retransmit, give up and refresh what is due."""
        self._timer_is_current = False
        self._requests.handle_timer(now)
        if self.state is not AllocationState.ALLOCATED:
            return
        if now >= self._expires_at:
            error = RelayError(f"the relay {self.server} did not refresh the allocation", code=CODE_NO_ANSWER)
            self._finish(AllocationExpired(error))
            return
        if now >= self._refresh_at and not self._refreshing:
            self._refreshing = True
            self._refresh(now)
        self._ask_for_peers(now)

    def next_event(self) -> AllocationEvent | None:
        """Take the oldest event, or None."""
        return self._events.popleft() if self._events else None

    # --- The allocation ------------------------------------------------------------------------------------
    def _allocated(self, response: Message, now: float) -> None:
        if self.state is AllocationState.CLOSING:
            self._say_farewell(now)
            return
        relayed = response.get(XOR_RELAYED_ADDRESS)
        mapped = response.get(XOR_MAPPED_ADDRESS)
        lifetime_s = response.get(LIFETIME)
        if relayed is None or mapped is None or not lifetime_s:
            error = RelayError("the relay's answer to Allocate lacks an address or the lifetime")
            self._finish(AllocationFailed(error))
            return
        self.state = AllocationState.ALLOCATED
        self.relayed_address, self.mapped_address = relayed, mapped
        self._set_lifetime(lifetime_s, now)
        self._events.append(AllocationCreated(relayed, mapped, lifetime_s))
        self._ask_for_peers(now)

    def _allocate_failed(self, failure: RequestFailure, now: float) -> None:
        if self.state is AllocationState.CLOSING:
            self._finish(AllocationClosed())
        else:
            self._finish(AllocationFailed(failure.error, failure.stun_code, failure.alternate_server))

    def _set_lifetime(self, lifetime_s: int, now: float) -> None:
        self._expires_at = now + lifetime_s
        self._refresh_at = now + max(lifetime_s - TURN_REFRESH_MARGIN_S, lifetime_s / 2)

    def _refresh(self, now: float) -> None:
        self._timer_is_current = False
        self.silent_since = self.silent_since or now
        self._requests.submit(
            Request(
                method=Method.REFRESH,
                attributes=(LIFETIME(self._lifetime_s),),
                succeeded=self._refreshed,
                failed=self._refresh_failed,
            ),
            now,
        )

    def _refreshed(self, response: Message, now: float) -> None:
        self._refreshing = False
        self.silent_since = None
        self._set_lifetime(response.get(LIFETIME) or self._lifetime_s, now)

    def _refresh_failed(self, failure: RequestFailure, now: float) -> None:
        if failure.stun_code is not None:
            self._finish(AllocationExpired(failure.error))
        elif now < self._expires_at:
            # Silence may be a hole in the network: the allocation lives on over there, so ask again.
            self._refresh(now)

    def _say_farewell(self, now: float) -> None:
        def done(_: object, now: float) -> None:
            self._finish(AllocationClosed())

        self._requests.submit(
            Request(
                method=Method.REFRESH,
                attributes=(LIFETIME(0),),
                succeeded=done,
                failed=done,
                max_requests=TURN_CLOSE_REQUESTS,
            ),
            now,
        )

    def _ask_for_peers(self, now: float) -> None:
        self._timer_is_current = False
        if self.state is AllocationState.ALLOCATED:
            self._peers.ask(now)

    def _lost(self) -> None:
        """Notice that the relay knows nothing of our allocation, as after its restart."""
        if self.state is AllocationState.ALLOCATED:
            error = RelayError(f"the relay {self.server} lost the allocation", code=CODE_MISMATCH)
            self._finish(AllocationExpired(error))

    def _finish(self, event: AllocationEvent) -> None:
        self.state = AllocationState.DONE
        self._requests.clear()
        self._events.append(event)

    # --- Data ----------------------------------------------------------------------------------------------
    def _receive_channel_data(self, data: bytes) -> bool:
        number, payload = channel_data.decode_untrusted(data)
        peer = self._peers.channel_peer(number)
        if peer is None:
            self.dropped += 1
            return True
        self._events.append(PeerData(peer, payload))
        return True

    def _receive_indication(self, message: Message) -> None:
        peer = message.get(XOR_PEER_ADDRESS)
        data = message.get(DATA)
        # Nothing authenticates an indication; at least it must be of someone we let in. Source: RFC 8656 section 11.4.
        if peer is None or data is None or message.unknown_required or not self._peers.permits(peer):
            self.dropped += 1
            return
        self._events.append(PeerData(peer, data))
