"""Requests that two programs could understand differently: what one takes for a body is a request for the other."""

from __future__ import annotations

from typing import Final

HIDDEN: Final = b"GET /smuggled HTTP/1.1\r\nHost: other.gw.test\r\n\r\n"
"""Nobody asks for this: it is never to reach a service."""
_HOST: Final = b"Host: blog.gw.test\r\n"


def _post(*lines: bytes, body: bytes = b"") -> bytes:
    return b"POST /outer HTTP/1.1\r\n" + _HOST + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def _get(*lines: bytes) -> bytes:
    return b"GET /outer HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


_ENDED: Final = b"0\r\n\r\n" + HIDDEN
_COUNTED: Final = b"Content-Length: %d" % len(_ENDED)

LENGTHS: Final = {
    "cl.te": _post(_COUNTED, b"Transfer-Encoding: chunked", body=_ENDED),
    "te.cl": _post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=b"%x\r\n" % len(HIDDEN) + HIDDEN),
    "two lengths": _post(b"Content-Length: 0", _COUNTED, body=_ENDED),
    "a list of lengths": _post(b"Content-Length: 0, %d" % len(_ENDED), body=_ENDED),
    "the same length in a list": _post(b"Content-Length: 5, 5", body=_ENDED),
    "plus": _post(b"Content-Length: +%d" % len(_ENDED), body=_ENDED),
    "minus": _post(b"Content-Length: -1", body=_ENDED),
    "hex": _post(b"Content-Length: 0x%x" % len(_ENDED), body=_ENDED),
    "underscore": _post(b"Content-Length: 1_0", body=_ENDED),
    "other digits": _post("Content-Length: ٥".encode(), body=_ENDED),
    "space in the number": _post(b"Content-Length: 1 0", body=_ENDED),
    "no number": _post(b"Content-Length: ", body=_ENDED),
    "space before the colon": _post(b"Content-Length : %d" % len(_ENDED), body=_ENDED),
    "tab before the colon": _post(b"Transfer-Encoding\t: chunked", body=_ENDED),
}
CODINGS: Final = {
    name: _post(line, _COUNTED, body=_ENDED)
    for name, line in {
        "unknown": b"Transfer-Encoding: xchunked",
        "identity": b"Transfer-Encoding: identity",
        "chunked is not last": b"Transfer-Encoding: chunked, identity",
        "chunked twice": b"Transfer-Encoding: chunked, chunked",
        "two headers": b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "vertical tab": b"Transfer-Encoding: \x0bchunked",
        "nul": b"Transfer-Encoding: chunked\x00",
        "quoted": b'Transfer-Encoding: "chunked"',
        "parameter": b"Transfer-Encoding: chunked;x=y",
        "other letters": "Transfer-Encoding: chun\u212aed".encode(),
        "folded": b"Transfer-Encoding:\r\n chunked",
        "bare cr": b"X: a\rTransfer-Encoding: chunked",
        "bare lf in a name": b"X: a\nTransfer-Encoding: chunked",
    }.items()
}
_CHUNKED: Final = b"Transfer-Encoding: chunked"
CHUNKS: Final = {
    name: _post(_CHUNKED, body=body)
    for name, body in {
        "hex prefix": b"0x5\r\nhello\r\n" + _ENDED,
        "plus": b"+5\r\nhello\r\n" + _ENDED,
        "minus": b"-1\r\n" + _ENDED,
        "underscore": b"1_0\r\n" + bytes(16) + b"\r\n" + _ENDED,
        "huge": b"f" * 40 + b"\r\n" + _ENDED,
        "empty size": b"\r\nhello\r\n" + _ENDED,
        "longer than it says": b"3\r\nhello\r\n" + _ENDED,
        "shorter than it says": b"9\r\nhello\r\n" + _ENDED,
        "no line end after the data": b"5\r\nhello" + _ENDED,
        "lf ends the size": b"5\nhello\n0\n\n" + HIDDEN,
        "lf in an extension": b"5;x=\n%x\r\nhello\r\n" % len(HIDDEN) + _ENDED,
        "cr in an extension": b"5;x\r;y\r\nhello\r\n" + _ENDED,
        "space in front": b" 5\r\nhello\r\n" + _ENDED,
    }.items()
}
HOSTS: Final = {
    "two": _get(b"Host: blog.gw.test", b"Host: other.gw.test"),
    "twice the same": _get(b"Host: blog.gw.test", b"Host: blog.gw.test"),
    "none": _get(),
    "empty": _get(b"Host:"),
    "a list": _get(b"Host: blog.gw.test, other.gw.test"),
    "user": _get(b"Host: blog.gw.test@other.gw.test"),
    "path": _get(b"Host: blog.gw.test/../other.gw.test"),
    "nul": _get(b"Host: blog.gw.test\x00.other.gw.test"),
    "space in front": _get(b" Host: other.gw.test", b"Host: blog.gw.test"),
    "another url": b"GET http://other.gw.test/smuggled HTTP/1.1\r\n" + _HOST + b"\r\n",
    "another url with user": b"GET http://blog.gw.test@other.gw.test/smuggled HTTP/1.1\r\n" + _HOST + b"\r\n",
    "authority": b"GET other.gw.test:80 HTTP/1.1\r\n" + _HOST + b"\r\n",
    "two paths": b"GET /outer /smuggled HTTP/1.1\r\n" + _HOST + b"\r\n",
    "no version": b"GET /smuggled\r\n" + _HOST + b"\r\n",
    "version 0.9": b"GET /smuggled HTTP/0.9\r\n" + _HOST + b"\r\n",
    "version 3": b"GET /smuggled HTTP/3.0\r\n" + _HOST + b"\r\n",
    "lf alone": b"GET /smuggled HTTP/1.1\nHost: blog.gw.test\n\n",
    "lower case": b"get /smuggled http/1.1\r\n" + _HOST + b"\r\n",
    "control in the path": b"GET /smuggled\x01 HTTP/1.1\r\n" + _HOST + b"\r\n",
    "fragment": b"GET /smuggled#/outer HTTP/1.1\r\n" + _HOST + b"\r\n",
    "asterisk": b"GET * HTTP/1.1\r\n" + _HOST + b"\r\n",
    "header without a colon": _get(b"Host: blog.gw.test", b"nonsense"),
    "header without a name": _get(b"Host: blog.gw.test", b": x"),
    "nul in a value": _get(b"Host: blog.gw.test", b"X: a\x00b"),
    "a line as long as a book": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + _HOST + b"\r\n",
    "a value as long": _get(b"Host: blog.gw.test", b"X: " + b"a" * 100_000),
    "a thousand headers": _get(b"Host: blog.gw.test", *[b"X: a"] * 1000),
}
CORPUS: Final = {
    f"{group}: {name}": data
    for group, requests in (("length", LENGTHS), ("coding", CODINGS), ("chunk", CHUNKS), ("host", HOSTS))
    for name, data in requests.items()
}
