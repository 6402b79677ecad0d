"""The head of an HTTP/1.1 request to a service."""

from __future__ import annotations

from typing import Final

from gateway.core.h2_head import RequestHead
from gateway.core.headers import Headers
from p2p.errors import LocalProtocolError

_MAY_HAVE_A_BODY: Final = frozenset({"PATCH", "POST", "PUT"})
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
"""Source: RFC 9110 section 9.2.2."""


def may_repeat(method: str, *, has_body: bool) -> bool:
    """Whether a request may be asked for again: it does the same twice, and nothing of it was a stream that is gone."""
    return method in _IDEMPOTENT and not has_body


def encode_request(head: RequestHead, *, has_body: bool) -> tuple[bytes, bool]:
    """Write a head as it came, and how long the body is.

    Args:
        head: With ``Host``.
        has_body: Whether there is a body; without a Content-Length, it goes in chunks.

    Returns:
        The head to its empty line, and whether the body goes in chunks.

    Raises:
        LocalProtocolError: It would not be one head, which whoever read it should have seen.

    Source: RFC 9112 sections 3 and 6; RFC 9110 section 8.6 for a length of nothing.
    """
    has_length = any(name.lower() == "content-length" for name, _ in head.headers)
    framing: Headers = []
    if not has_length and has_body:
        framing.append(("Transfer-Encoding", "chunked"))
    elif not has_length and head.method in _MAY_HAVE_A_BODY:
        framing.append(("Content-Length", "0"))
    lines = [f"{head.method} {head.target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in (*head.headers, *framing)]
    text = "\r\n".join(lines) + "\r\n\r\n"
    if not text.count("\n") == text.count("\r") == len(lines) + 1 or "\0" in text:
        raise LocalProtocolError("a header with a line break in it")
    return text.encode("utf-8", "surrogateescape"), has_body and not has_length
