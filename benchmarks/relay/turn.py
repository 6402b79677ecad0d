"""The smallest TURN client that can allocate and bind: it blocks, because nothing else goes on meanwhile."""

from __future__ import annotations

import os
import socket
from typing import Final

from p2p.address import TransportAddress
from p2p.proto.stun.attributes import (
    CHANNEL_NUMBER,
    ERROR_CODE,
    LIFETIME,
    NONCE,
    REALM,
    REQUESTED_TRANSPORT,
    USERNAME,
    XOR_PEER_ADDRESS,
    XOR_RELAYED_ADDRESS,
)
from p2p.proto.stun.integrity import long_term_key
from p2p.proto.stun.message import AttributeValue, Message, MessageClass, Method, decode_untrusted, encode

USER: Final = "bench"
PASSWORD: Final = "bench-password"
CHANNEL: Final = 0x4001


class TurnError(Exception):
    """A relay refused what the benchmark needs."""


class Turn:
    """One allocation.

    Args:
        sock: A connected UDP or TCP socket.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._is_stream = sock.type == socket.SOCK_STREAM
        self._own: tuple[AttributeValue, ...] = ()
        self._key: bytes | None = None

    def allocate(self) -> TransportAddress:
        """Allocate and return the relayed address."""
        answer = self._ask(Method.ALLOCATE, REQUESTED_TRANSPORT(17), LIFETIME(3600))
        relayed = answer.get(XOR_RELAYED_ADDRESS)
        assert relayed is not None
        return relayed

    def bind(self, peer: tuple[str, int]) -> None:
        """Give a peer the channel ``CHANNEL``."""
        self._ask(Method.CHANNEL_BIND, CHANNEL_NUMBER(CHANNEL), XOR_PEER_ADDRESS(TransportAddress(*peer)))

    def _ask(self, method: Method, *attributes: AttributeValue) -> Message:
        for _ in range(3):
            message = Message(MessageClass.REQUEST, method, os.urandom(12), (*attributes, *self._own))
            answer = self._exchange(encode(message, integrity_key=self._key), message.transaction_id)
            error = answer.get(ERROR_CODE)
            if error is None:
                return answer
            realm, nonce = answer.get(REALM), answer.get(NONCE)
            if error.code not in (401, 438) or realm is None or nonce is None:
                raise TurnError(f"{method.name}: {error.code} {error.reason}")
            self._own = (USERNAME(USER), REALM(realm), NONCE(nonce))
            self._key = long_term_key(USER, realm, PASSWORD)
        raise TurnError(f"{method.name}: challenged again and again")

    def _exchange(self, request: bytes, transaction_id: bytes) -> Message:
        for _ in range(5):
            self.sock.settimeout(1)
            try:
                self.sock.sendall(request)
                while True:
                    answer = decode_untrusted(self._receive())
                    if answer.transaction_id == transaction_id:
                        return answer
            except TimeoutError:
                continue
        raise TurnError("no answer")

    def _receive(self) -> bytes:
        if not self._is_stream:
            return self.sock.recv(2048)
        head = self.sock.recv(20, socket.MSG_WAITALL)
        return head + self.sock.recv(int.from_bytes(head[2:4], "big"), socket.MSG_WAITALL)
