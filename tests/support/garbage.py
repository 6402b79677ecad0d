"""Messages that are nearly right, and messages that are nothing: for every port there is."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence

from p2p.address import TransportAddress
from p2p.proto.stun.attributes import (
    CHANNEL_NUMBER,
    DATA,
    LIFETIME,
    NONCE,
    PRIORITY,
    REALM,
    REQUESTED_TRANSPORT,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    XOR_PEER_ADDRESS,
)
from p2p.proto.stun.message import Message, MessageClass, Method, encode

_HOST = "127.0.0.1"
_PEER = TransportAddress("203.0.113.9", 9)
_KEY = b"k" * 16
_LARGEST_DATAGRAM = 65_507


class Garbage:
    """A source of bad messages; the same seed gives the same ones.

    Args:
        seed: Any number.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._samples: tuple[bytes, ...] = (*self._stun(), *self._quic(), *self._channel_data())

    def datagram(self) -> bytes:
        """One datagram: nonsense, or a sound message with something wrong with it, or, seldom, a sound one."""
        kind = self.random.randrange(10)
        if kind == 0:
            return self.random.randbytes(self.random.randrange(64))
        if kind == 1:
            return bytes([self.random.choice((0, 1, 0x40, 0x4F, 0x7F, 0xC0, 0xFF))]) + self.random.randbytes(
                self.random.choice((0, 3, 19, 1199, 1472, _LARGEST_DATAGRAM - 1))
            )
        return self.changed(self.random.choice(self._samples))

    def changed(self, message: bytes) -> bytes:
        """Change a message in one of the ways that break parsers."""
        data = bytearray(message)
        where = self.random.randrange(len(data) + 1)
        match self.random.randrange(8):
            case 0:
                del data[where:]
            case 1:
                data[where:where] = self.random.randbytes(self.random.randrange(1, 40))
            case 2:
                data += self.random.randbytes(self.random.choice((1, 4, 1000)))
            case 3:
                data[where : where + 2] = b"\xff\xff"
            case 4:
                del data[where : where + self.random.randrange(1, 9)]
            case 5:
                data[2:4] = self.random.randbytes(2)
            case 6:
                for _ in range(self.random.randrange(1, 9)):
                    if data:
                        data[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
            case _:
                pass
        return bytes(data)

    def _stun(self) -> list[bytes]:
        transaction_id = self.random.randbytes(12)
        user = (USERNAME("2000000000:somebody"), REALM("p2p"), NONCE("n" * 40))
        bodies = {
            Method.BINDING: (USERNAME("abcd:efgh"), PRIORITY(1)),
            Method.ALLOCATE: (REQUESTED_TRANSPORT(17), LIFETIME(600), *user),
            Method.REFRESH: (LIFETIME(0), *user),
            Method.CREATE_PERMISSION: (XOR_PEER_ADDRESS(_PEER), *user),
            Method.CHANNEL_BIND: (CHANNEL_NUMBER(0x4000), XOR_PEER_ADDRESS(_PEER), *user),
            Method.SEND: (XOR_PEER_ADDRESS(_PEER), DATA(b"x" * 100)),
            Method.DATA: (XOR_PEER_ADDRESS(_PEER), DATA(b"x" * 100)),
            Method.CONNECT: (XOR_PEER_ADDRESS(_PEER), *user),
        }
        messages = [
            Message(message_class, method, transaction_id, attributes)
            for method, attributes in bodies.items()
            for message_class in MessageClass
        ]
        messages.append(Message(MessageClass.SUCCESS, Method.BINDING, transaction_id, (XOR_MAPPED_ADDRESS(_PEER),)))
        return [encode(message) for message in messages] + [
            encode(message, integrity_key=_KEY, fingerprint=True) for message in messages
        ]

    def _quic(self) -> list[bytes]:
        initial = b"\xc3\0\0\0\1" + b"\x08" + self.random.randbytes(8) + b"\x08" + self.random.randbytes(8) + b"\0"
        return [
            (initial + b"\x44\x96" + self.random.randbytes(1200))[:1200],
            (b"\xe3" + initial[1:] + self.random.randbytes(1200))[:1200],
            b"\xc0\0\0\0\0" + initial[5:] + struct.pack("!II", 1, 0x1A2A3A4A),
            b"\x40" + self.random.randbytes(1199),
            b"\x5f" + self.random.randbytes(40),
        ]

    def _channel_data(self) -> list[bytes]:
        return [struct.pack("!HH", number, 100) + self.random.randbytes(100) for number in (0x4000, 0x4001, 0x4FFF)]

    # --- streams -------------------------------------------------------------------------------------------

    def stream(self) -> bytes:
        """The beginning of a TCP connection."""
        kind = self.random.randrange(8)
        if kind < 3:
            return b"".join(self.datagram() for _ in range(self.random.randrange(1, 6)))[:70_000]
        request = self.random.choice(
            (
                b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
                b"GET /v1/signal HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
                b"POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n",
                b"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
                b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
                b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000,
                b"OPTIONS * HTTP/9.9\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + self.random.randbytes(200),
            )
        )
        if kind < 6:
            return self.changed(request)
        return request + b"".join(self.frame() for _ in range(self.random.randrange(1, 8)))

    def frame(self) -> bytes:
        """A WebSocket frame, masked as a client's must be, or not."""
        body = self.random.choice((b'{"type":"login"}', b"{" * 5000, self.random.randbytes(30), b"", b"\xff\xfe"))
        opcode = self.random.choice((0x81, 0x82, 0x80, 0x01, 0x88, 0x89, 0x8A, 0xF1, 0x8F))
        length = self.random.choice((len(body), len(body), 0x7D, 0x7FFFFFFFFFFFFFFF))
        head = bytes([opcode, 0x80 | length]) if length < 126 else struct.pack("!BBQ", opcode, 0xFF, length)
        return self.changed(head + b"\0\0\0\0" + body)

    def json(self, samples: Sequence[bytes]) -> bytes:
        """A JSON message with a wrong value, or with something wrong with its bytes."""
        sample = self.random.choice(samples)
        if self.random.randrange(2):
            return self.changed(sample)
        value = json.loads(sample)
        name = self.random.choice(list(value))
        value[name] = self.random.choice(
            (None, True, -1, 2**70, 1e308, "", "a" * 300, "\0", [], {}, [[[]]], {"a": {}}, ["x"] * 40)
        )
        return json.dumps(value).encode()


def flood_udp(garbage: Garbage, ports: Sequence[int], count: int, pause_s: float = 0.0005) -> None:
    """Send datagrams to ports in turn, from ever new sources."""
    source: socket.socket | None = None
    for number in range(count):
        if source is None or number % 64 == 0:
            if source is not None:
                source.close()
            source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            source.bind((_HOST, 0))
            source.setblocking(False)
        with contextlib.suppress(OSError):
            source.sendto(garbage.datagram(), (_HOST, ports[number % len(ports)]))
        time.sleep(pause_s)
    if source is not None:
        source.close()


def flood_tcp(garbage: Garbage, ports: Sequence[int], count: int, tls: ssl.SSLContext | None = None) -> None:
    """Open connections to ports in turn and say something; some are left hanging until the end."""
    hanging: list[socket.socket] = []
    endings: list[Callable[[socket.socket], object]] = [
        lambda sock: sock.close(),
        lambda sock: (sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)), sock.close()),
        lambda sock: (sock.shutdown(socket.SHUT_WR), sock.recv(1 << 16), sock.close()),
        hanging.append,
    ]
    for number in range(count):
        sock: socket.socket | None = None
        try:
            sock = socket.create_connection((_HOST, ports[number % len(ports)]), timeout=0.5)
            if tls is not None and garbage.random.randrange(4):
                sock = tls.wrap_socket(sock, server_hostname=_HOST)
            sock.sendall(garbage.stream())
            garbage.random.choice(endings)(sock)
        except OSError:
            if sock is not None:
                sock.close()
    for sock in hanging:
        sock.close()
