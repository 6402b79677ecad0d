"""What somebody gets who asks a TURN port for a web page: what a web server without pages would say.

Firewalls and scanners look what answers on a port. Silence, or an alert, makes a TLS port stand out; a web server does
not.
"""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus
from typing import Final

HEAD_MAX_BYTES: Final = 2048
_METHODS: Final = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT")
_END: Final = b"\r\n\r\n"
_STARTS: Final = frozenset((method + b" ")[:4] for method in _METHODS)


def is_http(data: bytes) -> bool:
    """Tell whether the first bytes of a stream can be those of an HTTP request; TURN never begins like this.

    Args:
        data: Four bytes or more.
    """
    return data[:4] in _STARTS


def answer(data: bytes, now_wall: float) -> bytes | None:
    """Answer a request.

    Args:
        data: What came so far, from the beginning of the stream.
        now_wall: Unix time in seconds.

    Returns:
        The whole answer, after which the connection is closed, or None when the head of the request is not whole.
    """
    head, end, _ = data.partition(_END)
    if not end and len(data) <= HEAD_MAX_BYTES:
        return None
    words = head.partition(b"\r\n")[0].split(b" ")
    is_sound = len(words) == 3 and words[0] in _METHODS and words[2] in (b"HTTP/1.0", b"HTTP/1.1")
    if not end:
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    elif not is_sound:
        status = HTTPStatus.BAD_REQUEST
    elif words[0] in (b"GET", b"HEAD"):
        status = HTTPStatus.NOT_FOUND
    else:
        status = HTTPStatus.METHOD_NOT_ALLOWED
    title, text = f"{status} {status.phrase}", status.phrase
    body = f"<html>\n<head><title>{title}</title></head>\n<body><h1>{text}</h1></body>\n</html>\n"
    lines = [
        f"HTTP/1.1 {status} {status.phrase}",
        f"Date: {formatdate(now_wall, usegmt=True)}",
        "Content-Type: text/html",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        lines.insert(2, "Allow: GET, HEAD")
    reply = "\r\n".join(lines).encode() + _END
    return reply if words[0] == b"HEAD" else reply + body.encode()
