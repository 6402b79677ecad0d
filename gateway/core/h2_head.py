"""The head of an HTTP/2 request, as HTTP/1.1 would write it; and fields in the other direction."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from gateway.core.h2_limits import HEADERS_MAX
from gateway.core.headers import Headers, end_to_end
from p2p.errors import DecodeError

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PATH: Final = re.compile(r"/[!-~\x80-\ud7ff\ue000-\U0010ffff]*")
_AUTHORITY: Final = re.compile(r"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]+")
_NOT_IN_A_VALUE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class RequestHead(NamedTuple):
    """What a request asks for.

    Attributes:
        method: As the visitor wrote it.
        target: Path and query; ``*`` for the whole server.
        headers: With ``Host``, and without pseudo-header fields.
    """

    method: str
    target: str
    headers: Headers


def request_head_untrusted(fields: Iterable[tuple[bytes, bytes]]) -> RequestHead:
    """Read the fields of a request that the HTTP/2 library let through.

    The library has checked that pseudo-header fields are there once each and first, that :authority and Host agree,
    that no field concerns the connection, and that names are in lower case without control characters. What HTTP/1.1
    gives a meaning beyond that is checked here, because the request to the service is written in it.

    Args:
        fields: In the order in which they came.

    Raises:
        DecodeError: HTTP/1.1 could not write it, or something could be understood in two ways.

    Source: RFC 9113 sections 8.2.1, 8.3.1 and 10.3.
    """
    pseudo: dict[str, str] = {}
    headers: Headers = []
    for raw_name, raw_value in fields:
        # As the HTTP/1.1 library reads them, so that it writes the same bytes again.
        name, value = raw_name.decode("latin-1"), raw_value.decode("utf-8", "surrogateescape")
        if name.startswith(":"):
            pseudo[name] = value
        elif not _TOKEN.fullmatch(name) or _NOT_IN_A_VALUE.search(value):
            raise DecodeError("a header that HTTP/1.1 could not write")
        else:
            headers.append((name, value))
    if len(headers) > HEADERS_MAX:
        raise DecodeError("too many headers")
    method, target = pseudo.get(":method", ""), pseudo.get(":path", "")
    if not _TOKEN.fullmatch(method) or method == "CONNECT":
        raise DecodeError("not a method for a service")
    if not (_PATH.fullmatch(target) or (target == "*" and method == "OPTIONS")):
        raise DecodeError("not a path")
    if pseudo.get(":scheme", "").lower() not in ("http", "https"):
        raise DecodeError("not a scheme of HTTP")
    lengths = [value for name, value in headers if name == "content-length"]
    if len(lengths) > 1 or not all(length.isascii() and length.isdigit() for length in lengths):
        raise DecodeError("a length that is none")
    hosts = [value for name, value in headers if name == "host"]
    authority = pseudo.get(":authority", *hosts)
    if not _AUTHORITY.fullmatch(authority):
        raise DecodeError("not a host")
    return RequestHead(method, target, [("Host", authority), *((n, v) for n, v in headers if n != "host")])


def fields_of(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Write headers for HTTP/2; the library puts names in lower case.

    Args:
        headers: Nothing that concerns one connection is taken over.
    """
    return [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in end_to_end(headers)]


def fields_of_request(head: RequestHead) -> list[tuple[bytes, bytes]]:
    """Write the head of a request to a service that speaks HTTP/2."""
    host = next((value for name, value in head.headers if name.lower() == "host"), "")
    pseudo = {":method": head.method, ":scheme": "http", ":authority": host, ":path": head.target}
    return [
        *((name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in pseudo.items()),
        *((name, value) for name, value in fields_of(head.headers) if name.lower() != b"host"),
        # Servers of gRPC ask for it; and trailers are passed on.
        (b"te", b"trailers"),
    ]


def headers_of(fields: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Read fields, as the HTTP/1.1 library reads headers."""
    return [(name.decode("latin-1"), value.decode("utf-8", "surrogateescape")) for name, value in fields]
