"""What a proxy changes in the headers of HTTP: who the visitor is, and what concerns one connection only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from p2p.address import TransportAddress
from p2p.proto.publication import HeaderRule

_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Source: RFC 9110 section 7.6.1."""
_SAYS_WHO: Final = frozenset(
    {
        "client-cert",
        "client-cert-chain",
        "forwarded",
        "x-client-subject",
        "x-forwarded-email",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-preferred-username",
        "x-forwarded-proto",
        "x-forwarded-user",
        "x-real-ip",
    }
)
"""What the exposed service believes about the visitor; a visitor may not say it."""

_OF_THE_MESSAGE: Final = frozenset({"content-length", "expect", "sec-websocket-accept", "sec-websocket-key"})
"""What tells where a request ends, or belongs to its handshake: a rule that changes it would break requests."""

Headers = list[tuple[str, str]]


class Visit(NamedTuple):
    """Who asks for what.

    Attributes:
        visitor: The visitor's address, as far as trusted fronts know it.
        scheme: ``http`` or ``https``, as the visitor used it.
        host: The Host header as it came.
        local: The address that the visitor connected to.
        target: The path and query as they came.
        proven: Headers that tell what the visitor has proven about itself.
    """

    visitor: TransportAddress
    scheme: str
    host: str
    local: TransportAddress
    target: str
    proven: tuple[tuple[str, str], ...] = ()

    @property
    def subject(self) -> str:
        """Whose certificate the visitor has shown, or who it has logged in as, if any."""
        proven = dict(self.proven)
        return proven.get("X-Client-Subject", "") or proven.get("X-Forwarded-User", "")


def asks_for_websocket(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether a request wants its connection to become a WebSocket (RFC 6455 section 4.1)."""
    given = list(headers)
    upgrades = [value.lower() for name, value in given if name.lower() == "upgrade"]
    return upgrades == ["websocket"] and "upgrade" in _named_by_connection(given)


def end_to_end(headers: Iterable[tuple[str, str]]) -> Headers:
    """Leave out what concerns one connection only, what Connection names included."""
    given = list(headers)
    dropped = _HOP_BY_HOP | _named_by_connection(given)
    return [(name, value) for name, value in given if name.lower() not in dropped]


def for_service(headers: Iterable[tuple[str, str]], visit: Visit) -> Headers:
    """Make the headers of the request to the exposed service.

    Args:
        headers: The visitor's, in order.
        visit: Who it is.
    """
    kept = [(name, value) for name, value in end_to_end(headers) if not _says_who(name)]
    visitor = visit.visitor
    node = f'"[{visitor.host}]"' if visitor.is_ipv6 else visitor.host
    return [
        *kept,
        ("X-Forwarded-For", visitor.host),
        ("X-Forwarded-Proto", visit.scheme),
        ("X-Forwarded-Host", visit.host),
        ("X-Forwarded-Port", str(visit.local.port)),
        ("X-Real-IP", visitor.host),
        ("Forwarded", f"for={node};host={_quoted(visit.host)};proto={visit.scheme}"),
        *visit.proven,
    ]


def _named_by_connection(headers: Headers) -> set[str]:
    return {
        token.strip().lower() for name, value in headers if name.lower() == "connection" for token in value.split(",")
    }


def _says_who(name: str) -> bool:
    # Many frameworks read X_Real_IP as X-Real-IP, by way of a CGI variable.
    return name.lower().replace("_", "-") in _SAYS_WHO


def trailers_for_service(trailers: Headers) -> Headers:
    """Leave out of the fields after a body what would be believed, or would say where the message ends, as a header."""
    lies = _OF_THE_MESSAGE | {"host", "authorization", "cookie"}
    kept = [(name, value) for name, value in end_to_end(trailers) if not _says_who(name)]
    return [(name, value) for name, value in kept if name.lower() not in lies]


def size_of(headers: Iterable[tuple[str, str]]) -> int:
    """How many bytes headers take in HTTP/1.1."""
    return sum(len(name) + len(value) + len(": \r\n") for name, value in headers)


def is_for_rules(name: str) -> bool:
    """Whether a publisher may have this header changed."""
    return name.lower() not in _HOP_BY_HOP | _OF_THE_MESSAGE


def apply_rules(headers: Headers, rules: Sequence[HeaderRule]) -> Headers:
    """Change headers as a publisher wishes.

    Args:
        headers: Of the request to the service.
        rules: Its wishes, in order.
    """
    for rule in rules:
        headers = [(name, value) for name, value in headers if name.lower() != rule.name.lower()]
        if rule.value is not None:
            headers.append((rule.name, rule.value))
    return headers


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
