"""Exchanging messages with peers that hold the same ticket, over datagrams that may be lost.

    caller                                              the other side
      CALL, its cookie for us          ------------->     answered out of nothing: no state yet
           <------------------------- HERE, its cookie
      PIECE 0 .. n, both cookies       ------------->     the cookie shows that the caller is where it says
           <------------------------- RECEIPT
           <------------------------- PIECE 0 .. n of its own message
      RECEIPT                          ------------->

A cookie is a hash of the address that it is given to, so that whoever shows it gets what is sent there. All but a call
needs one, and a call is answered with as many bytes as it has: nobody can have anything sent to somebody else.
Everything carries a tag that only holders of the ticket can make; what has none is dropped unanswered.

Messages to one address arrive in order, because the next one waits for the receipt of the one before. Who wrote a
message, and whether it is fresh, is not known here: that is what sealing is for.

States of a line: not there, called, open (it has given us its cookie). Timers: per line, one for calls or for what is
missing of the message on its way.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from p2p.address import TransportAddress
from p2p.defaults import (
    DIRECT_ATTEMPTS,
    DIRECT_CALL_RETRY_MAX_S,
    DIRECT_CALLS_BURST,
    DIRECT_CALLS_PER_S,
    DIRECT_LINES,
    DIRECT_MESSAGES_BURST,
    DIRECT_MESSAGES_PER_S,
    DIRECT_PIECE_BYTES,
    DIRECT_QUEUE,
)
from p2p.errors import DecodeError, LocalProtocolError
from p2p.proto.direct.datagram import (
    COOKIE_BYTES,
    MAX_PIECES,
    MESSAGE_ID_BYTES,
    NO_COOKIE,
    DirectDatagram,
    Kind,
    decode_untrusted,
    encode,
    receipt_payload,
)
from p2p.proto.direct.events import Arrived, Delivered, DirectEvent, LineOpened, Undelivered
from p2p.proto.direct.line import Line, Outgoing, cut, retry_after_s
from p2p.proto.machine import Datagram
from p2p.proto.token_bucket import TokenBucket

MESSAGE_MAX_BYTES: Final = MAX_PIECES * DIRECT_PIECE_BYTES
_COOKIE_KEY_BYTES: Final = 16


class DirectExchange:
    """One socket's direct signalling: a ``DatagramMachine``.

    Args:
        key: Of the ticket, from ``derive_key``.
        random_bytes: Gives so many random bytes.
        is_dialer: Which side we are.

    Attributes:
        dropped: Datagrams that were malformed, of another ticket, of our own side, without the cookie, or too many.
    """

    def __init__(self, key: bytes, random_bytes: Callable[[int], bytes], *, is_dialer: bool) -> None:
        self.dropped = 0
        self._key = key
        self._random_bytes = random_bytes
        self._is_dialer = is_dialer
        self._cookie_key = random_bytes(_COOKIE_KEY_BYTES)
        self._numbers = itertools.count(1)
        self._lines: OrderedDict[TransportAddress, Line] = OrderedDict()
        self._hosts: OrderedDict[str, TokenBucket] = OrderedDict()
        self._calls = TokenBucket(DIRECT_CALLS_PER_S, DIRECT_CALLS_BURST)
        self._to_send: list[Datagram] = []
        self._events: deque[DirectEvent] = deque()

    # --- commands ------------------------------------------------------------------------------------------

    def call(self, address: TransportAddress, now: float) -> None:
        """Ask again and again whether somebody with the ticket is at an address, until it answers or ``hang_up``."""
        line = self._line(address)
        line.their_cookie = None
        line.calls = 0
        line.due_at = now

    def hang_up(self) -> None:
        """Stop calling the addresses that have not answered."""
        for line in self._lines.values():
            if line.calls is not None:
                line.calls = line.due_at = None

    def send(self, address: TransportAddress, message: bytes, now: float) -> int:
        """Send a message to an address that has answered, or that a message has come from.

        Args:
            address: Where to.
            message: 1 to 17,600 bytes.
            now: The present.

        Returns:
            A number that ``Delivered`` or ``Undelivered`` will name.

        Raises:
            LocalProtocolError: The message is empty or too long.
        """
        if not 0 < len(message) <= MESSAGE_MAX_BYTES:
            raise LocalProtocolError(f"a direct message of {len(message)} bytes")
        number = next(self._numbers)
        line = self._lines.get(address)
        if line is None or line.their_cookie is None or len(line.outbox) >= DIRECT_QUEUE:
            self._events.append(Undelivered(address, number))
            return number
        line.outbox.append(Outgoing(number, self._random_bytes(MESSAGE_ID_BYTES), cut(message)))
        if len(line.outbox) == 1:
            self._send_missing(line, now)
        return number

    # --- DatagramMachine -----------------------------------------------------------------------------------

    def receive_datagram(self, data: bytes, source: TransportAddress, now: float) -> bool:
        """Take a datagram of direct signalling; see ``DatagramMachine``."""
        try:
            datagram = decode_untrusted(data, self._key)
        except DecodeError:
            self.dropped += 1
            return True
        if datagram.from_dialer is self._is_dialer:
            # Somebody gives us back what we, or one of our side, have sent.
            self.dropped += 1
        elif datagram.kind is Kind.CALL:
            if self._calls.take(now):
                self._emit(source, DirectDatagram(Kind.HERE, datagram.mine))
            else:
                self.dropped += 1
        elif not hmac.compare_digest(datagram.yours, self._cookie(source)):
            self.dropped += 1
        elif datagram.kind is Kind.PIECE:
            self._take_piece(datagram, source, now)
        elif (line := self._lines.get(source)) is None:
            self.dropped += 1
        elif datagram.kind is Kind.HERE:
            self._take_answer(datagram, line, now)
        else:
            self._take_receipt(datagram, line, now)
        return True

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """See ``DatagramMachine``."""
        taken, self._to_send = self._to_send, []
        return taken

    def get_timer(self) -> float | None:
        """See ``DatagramMachine``."""
        return min((line.due_at for line in self._lines.values() if line.due_at is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """See ``DatagramMachine``."""
        for line in list(self._lines.values()):
            if line.due_at is None or line.due_at > now:
                continue
            if line.calls is not None:
                line.calls += 1
                line.due_at = now + retry_after_s(line.calls, DIRECT_CALL_RETRY_MAX_S)
                self._emit(line.address, DirectDatagram(Kind.CALL))
            elif line.outbox[0].attempts >= DIRECT_ATTEMPTS:
                self._give_up(line)
            else:
                self._send_missing(line, now)

    def next_event(self) -> DirectEvent | None:
        """See ``DatagramMachine``."""
        return self._events.popleft() if self._events else None

    # --- what arrives --------------------------------------------------------------------------------------

    def _take_answer(self, answer: DirectDatagram, line: Line, now: float) -> None:
        if line.calls is None:
            return
        line.calls = line.due_at = None
        self._prove(line, answer)
        self._events.append(LineOpened(line.address))
        if line.outbox:
            self._send_missing(line, now)

    def _take_piece(self, piece: DirectDatagram, source: TransportAddress, now: float) -> None:
        line = self._lines.get(source)
        if line is not None and piece.message_id in line.done:
            self._prove(line, piece)
            # The receipt was lost.
            self._send_receipt(line, piece.message_id, (1 << piece.count) - 1)
            return
        is_new = line is None or piece.message_id != line.incoming_id
        if is_new and not self._host(source.host).take(now):
            self.dropped += 1
            return
        line = self._line(source)
        self._prove(line, piece)
        if is_new:
            line.begin(piece.message_id)
        message = line.add(piece)
        if message is not None:
            self._send_receipt(line, piece.message_id, (1 << piece.count) - 1)
            self._events.append(Arrived(source, message))
        else:
            self._send_receipt(line, piece.message_id, sum(1 << index for index in line.incoming))

    def _take_receipt(self, receipt: DirectDatagram, line: Line, now: float) -> None:
        self._prove(line, receipt)
        if not line.outbox or line.outbox[0].message_id != receipt.message_id:
            return
        outgoing = line.outbox[0]
        outgoing.received |= receipt.received & (1 << len(outgoing.pieces)) - 1
        if not outgoing.is_complete:
            return
        line.outbox.popleft()
        line.due_at = None
        self._events.append(Delivered(line.address, outgoing.number))
        if line.outbox:
            self._send_missing(line, now)

    def _prove(self, line: Line, datagram: DirectDatagram) -> None:
        """The other side showed our cookie: it is there, and what it wants to be shown is what it says now."""
        line.their_cookie = datagram.mine
        self._lines.move_to_end(line.address)

    # --- what leaves ---------------------------------------------------------------------------------------

    def _send_missing(self, line: Line, now: float) -> None:
        outgoing = line.outbox[0]
        outgoing.attempts += 1
        line.due_at = now + retry_after_s(outgoing.attempts)
        count = len(outgoing.pieces)
        for index in outgoing.missing():
            piece = DirectDatagram(
                Kind.PIECE,
                line.their_cookie or NO_COOKIE,
                message_id=outgoing.message_id,
                index=index,
                count=count,
                payload=outgoing.pieces[index],
            )
            self._emit(line.address, piece)

    def _send_receipt(self, line: Line, message_id: bytes, received: int) -> None:
        cookie = line.their_cookie or NO_COOKIE
        payload = receipt_payload(received)
        self._emit(line.address, DirectDatagram(Kind.RECEIPT, cookie, message_id=message_id, payload=payload))

    def _emit(self, address: TransportAddress, datagram: DirectDatagram) -> None:
        complete = replace(datagram, mine=self._cookie(address), from_dialer=self._is_dialer)
        self._to_send.append(Datagram(encode(complete, self._key), address))

    def _give_up(self, line: Line) -> None:
        """The address is silent, or knows our cookie no longer: all that waits for it is lost."""
        self._events.extend(Undelivered(line.address, outgoing.number) for outgoing in line.outbox)
        line.outbox.clear()
        line.their_cookie = line.due_at = None

    # --- lines and limits ----------------------------------------------------------------------------------

    def _cookie(self, address: TransportAddress) -> bytes:
        return hmac.digest(self._cookie_key, str(address).encode(), hashlib.sha256)[:COOKIE_BYTES]

    def _line(self, address: TransportAddress) -> Line:
        line = self._lines.get(address)
        if line is None:
            while len(self._lines) >= DIRECT_LINES:
                _, oldest = self._lines.popitem(last=False)
                self._give_up(oldest)
            line = self._lines[address] = Line(address)
        return line

    def _host(self, host: str) -> TokenBucket:
        bucket = self._hosts.get(host)
        if bucket is None:
            while len(self._hosts) >= DIRECT_LINES:
                self._hosts.popitem(last=False)
            bucket = self._hosts[host] = TokenBucket(DIRECT_MESSAGES_PER_S, DIRECT_MESSAGES_BURST)
        self._hosts.move_to_end(host)
        return bucket
