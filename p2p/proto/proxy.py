"""The beginning of a connection to a proxy: SOCKS5, or CONNECT of HTTP, told apart by the first byte.

    SOCKS5   client  version 5, count, methods          proxy  5, method (0: none needed; 255: none that will do)
             client  5, command, 0, destination         proxy  5, reply, 0, address
    HTTP     client  CONNECT host:port HTTP/1.1 ...     proxy  HTTP/1.1 200 ...

    destination: kind (1: IPv4, 3: name with its length, 4: IPv6), address, port (2 bytes)

Source: RFC 1928; RFC 9110 section 9.3.6.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from p2p.errors import DecodeError

PROXY_SERVICE: Final = "p2p/proxy"
"""The service in a stream's header. No name that a user chooses has a slash."""

REQUEST_MAX_BYTES: Final = 8192
"""Header fields of browsers fit; whoever sends more says something else."""

_SOCKS5: Final = 5
_METHOD_NONE: Final = 0
_NO_METHOD: Final = 255
_COMMAND_CONNECT: Final = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_LENGTHS: Final = {_IPV4: 4, _IPV6: 16}
_REQUEST_LINE: Final = re.compile(rb"CONNECT (\S{1,300}) HTTP/1\.[01]\r\n")
_AUTHORITY: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([^\[\]:@/?#\s]{1,255})):(\d{1,5})")
_END: Final = b"\r\n\r\n"


class Outcome(Enum):
    """What became of a wish: the reply of SOCKS5, and status and words of HTTP."""

    CONNECTED = (0, 200, "Connected")
    FAILED = (1, 502, "Bad Gateway")
    NOT_ALLOWED = (2, 403, "Not Allowed by the Exposing Side")
    UNREACHABLE = (4, 502, "Host Unreachable")
    REFUSED = (5, 502, "Connection Refused")
    TIMEOUT = (6, 504, "Gateway Timeout")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a client wants to go.

    Attributes:
        host: A name, in lower case, or an IP address.
        port: 1 to 65,535.
    """

    host: str
    port: int


class RefusedError(DecodeError):
    """What a client wants cannot be; it is told why.

    Args:
        detail: Why, in words.
        reply: The bytes that tell the client.
    """

    def __init__(self, detail: str, reply: bytes) -> None:
        super().__init__(detail)
        self.reply = reply


class ProxyHandshake:
    """The proxy's side until it is known where to connect to, and the answer to that.

    Drive: ``receive`` with what the client sends until it returns a destination; meanwhile ``data_to_send`` has
    answers. Then ``answer`` once. What the client has sent behind its wish is in ``early``.
    """

    def __init__(self) -> None:
        self.early = b""
        """What the client has sent for the destination already."""
        self._received = b""
        self._to_send = b""
        self._is_greeted = False
        self._is_http = False

    def data_to_send(self) -> bytes:
        """Take what there is for the client; empty when there is nothing."""
        data, self._to_send = self._to_send, b""
        return data

    def receive(self, data: bytes) -> Destination | None:
        """Take what the client says.

        Returns:
            Where it wants to go, once that is known.

        Raises:
            RefusedError: It wants what this proxy does not do; the error has the answer for it.
            DecodeError: It speaks no protocol of a proxy, and gets no answer.
        """
        self._received += data
        if not self._received:
            return None
        if self._received[0] == _SOCKS5:
            return self._socks()
        if self._received[0] == 4:
            raise RefusedError("SOCKS4 has no names and no IPv6: use SOCKS5", b"\x00\x5b" + bytes(6))
        self._is_http = True
        return self._http()

    def answer(self, outcome: Outcome) -> bytes:
        """Write what the client is told of its wish."""
        reply, status, words = outcome.value
        if not self._is_http:
            return _socks_reply(reply)
        if outcome is Outcome.CONNECTED:
            return f"HTTP/1.1 {status} {words}\r\n\r\n".encode()
        return _http_reply(status, words)

    def _socks(self) -> Destination | None:
        if not self._is_greeted:
            if len(self._received) < 2 or len(self._received) < (end := 2 + self._received[1]):
                return None
            methods, self._received = self._received[2:end], self._received[end:]
            if _METHOD_NONE not in methods:
                raise RefusedError("this proxy takes no user names: leave them out", bytes((_SOCKS5, _NO_METHOD)))
            self._is_greeted = True
            self._to_send += bytes((_SOCKS5, _METHOD_NONE))
        return self._socks_request()

    def _socks_request(self) -> Destination | None:
        data = self._received
        if len(data) < 5:
            return None
        version, command, _, kind, first = data[:5]
        if version != _SOCKS5:
            raise DecodeError(f"version {version} in the middle of SOCKS5")
        if command != _COMMAND_CONNECT:
            raise RefusedError("this proxy only connects: no BIND, no UDP", _socks_reply(7))
        if kind == _NAME:
            start, end = 5, 5 + first
        elif kind in _LENGTHS:
            start, end = 4, 4 + _LENGTHS[kind]
        else:
            raise RefusedError(f"addresses of kind {kind}", _socks_reply(8))
        if len(data) < end + 2:
            return None
        port = int.from_bytes(data[end : end + 2], "big")
        self.early = data[end + 2 :]
        try:
            host = data[start:end].decode("ascii") if kind == _NAME else str(ipaddress.ip_address(data[start:end]))
            return _destination_untrusted(host, port)
        except (UnicodeDecodeError, DecodeError) as error:
            raise RefusedError("a destination that is none", _socks_reply(Outcome.FAILED.value[0])) from error

    def _http(self) -> Destination | None:
        head, end, rest = self._received.partition(_END)
        if not end:
            if len(head) > REQUEST_MAX_BYTES:
                raise DecodeError("a request without an end")
            return None
        line = _REQUEST_LINE.match(head + b"\r\n")
        if line is None:
            if not re.match(rb"[A-Z]{3,10} \S+ HTTP/1\.[01]\r\n", head + b"\r\n"):
                raise DecodeError("neither SOCKS5 nor HTTP")
            raise RefusedError("over HTTP this proxy takes CONNECT only", _http_reply(405, "Only CONNECT"))
        authority = _AUTHORITY.fullmatch(line[1].decode("latin-1"))
        try:
            if authority is None:
                raise DecodeError("no host:port")
            destination = _destination_untrusted(authority[1] or authority[2], int(authority[3]))
        except DecodeError as error:
            raise RefusedError("a destination that is none", _http_reply(400, "Bad Request")) from error
        self.early = rest
        return destination


def _destination_untrusted(host: str, port: int) -> Destination:
    try:
        return _with_port(str(ipaddress.ip_address(host)), port)
    except ValueError:
        pass
    name = host.lower().removesuffix(".")
    # Other ways to write an IP address, which a resolver would take, are no names: 127.1, 0x7f000001, 2130706433.
    is_name = re.fullmatch(r"[a-z0-9_]([a-z0-9._-]{0,252}[a-z0-9_])?", name) and not re.fullmatch(
        r"(.*\.)?(\d+|0x[0-9a-f]*)", name
    )
    if not is_name:
        raise DecodeError("no name of a host")
    return _with_port(name, port)


def _with_port(host: str, port: int) -> Destination:
    if not 0 < port < 1 << 16:
        raise DecodeError(f"port {port}")
    return Destination(host, port)


def _socks_reply(code: int) -> bytes:
    # The address that the proxy used is of no use to anybody, and nobody else's business.
    return bytes((_SOCKS5, code, 0, _IPV4)) + bytes(6)


def _http_reply(status: int, words: str) -> bytes:
    allow = "Allow: CONNECT\r\n" if status == 405 else ""
    return f"HTTP/1.1 {status} {words}\r\n{allow}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
