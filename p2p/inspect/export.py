"""Exchanges for people and other programs: JSON, a curl command, HAR; secrets are masked unless asked for."""

from __future__ import annotations

import base64
import datetime
import shlex
from typing import Any, Final

from p2p.inspect.recording import Body, Exchange, Headers

_SECRET_NAMES: Final = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
_SECRET_WORDS: Final = ("token", "secret", "password", "api-key", "apikey", "signature")


def mask(headers: Headers) -> Headers:
    """Hide the values of headers that carry secrets; their length stays."""
    return [(name, f"(hidden, {len(value)} characters)" if _is_secret(name) else value) for name, value in headers]


def _is_secret(name: str) -> bool:
    lower = name.lower()
    return lower in _SECRET_NAMES or any(word in lower for word in _SECRET_WORDS)


def summary(exchange: Exchange) -> dict[str, Any]:
    """What the list shows of an exchange."""
    return {
        "number": exchange.number,
        "service": exchange.service,
        "visitor": exchange.visitor,
        "began": exchange.began_wall,
        "method": exchange.method,
        "target": exchange.target,
        "status": exchange.status,
        "took_s": exchange.took_s,
        "request_size": exchange.request.size,
        "response_size": exchange.response.size,
        "note": exchange.note,
        "replay_of": exchange.replay_of,
    }


def details(exchange: Exchange, *, unmasked: bool) -> dict[str, Any]:
    """All that is kept of an exchange."""
    shown = (lambda headers: headers) if unmasked else mask
    return {
        **summary(exchange),
        "first_byte_s": exchange.first_byte_s,
        "request": {"headers": shown(exchange.request_headers), "body": _body(exchange.request)},
        "response": {"headers": shown(exchange.response_headers), "body": _body(exchange.response)},
        "curl": curl(exchange, unmasked=unmasked),
    }


def curl(exchange: Exchange, *, unmasked: bool) -> str:
    """Write the request as a command."""
    if not exchange.method:
        return ""
    headers = exchange.request_headers if unmasked else mask(exchange.request_headers)
    host = _header(headers, "host", "localhost")
    words = ["curl", "-X", exchange.method, f"http://{host}{exchange.target}"]
    for name, value in headers:
        if name.lower() not in ("host", "content-length", "connection", "transfer-encoding"):
            words += ["-H", f"{name}: {value}"]
    if exchange.request.size:
        words += ["--data-binary", exchange.request.kept.decode("utf-8", "backslashreplace")]
    return shlex.join(words)


def har(exchanges: list[Exchange], *, version: str, unmasked: bool) -> dict[str, Any]:
    """Write exchanges as an HTTP archive.

    Args:
        exchanges: Those that are HTTP are taken.
        version: Of the program.
        unmasked: Whether secrets are shown.

    Source: http://www.softwareishard.com/blog/har-12-spec/
    """
    entries = [_har_entry(exchange, unmasked=unmasked) for exchange in exchanges if exchange.method]
    return {"log": {"version": "1.2", "creator": {"name": "p2p", "version": version}, "entries": entries}}


def _har_entry(exchange: Exchange, *, unmasked: bool) -> dict[str, Any]:
    shown = (lambda headers: headers) if unmasked else mask
    host = _header(exchange.request_headers, "host", "localhost")
    wait_ms = round(1000 * (exchange.first_byte_s or 0.0), 3)
    took_ms = round(1000 * (exchange.took_s or 0.0), 3)
    began = datetime.datetime.fromtimestamp(exchange.began_wall, datetime.UTC).isoformat()
    entry: dict[str, Any] = {
        "startedDateTime": began,
        "time": took_ms,
        "request": {
            "method": exchange.method,
            "url": f"http://{host}{exchange.target}",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": _har_headers(shown(exchange.request_headers)),
            "queryString": [],
            "headersSize": -1,
            "bodySize": exchange.request.size,
        },
        "response": {
            "status": exchange.status or 0,
            "statusText": "",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": _har_headers(shown(exchange.response_headers)),
            "content": {"size": exchange.response.size, **_har_content(exchange)},
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": exchange.response.size,
        },
        "cache": {},
        "timings": {"send": 0, "wait": wait_ms, "receive": max(0.0, round(took_ms - wait_ms, 3))},
    }
    if exchange.request.size:
        kind = _header(exchange.request_headers, "content-type")
        entry["request"]["postData"] = {"mimeType": kind, "text": _body(exchange.request)["text"]}
    return entry


def _har_headers(headers: Headers) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers]


def _har_content(exchange: Exchange) -> dict[str, str]:
    body = _body(exchange.response)
    kind = _header(exchange.response_headers, "content-type")
    return {"mimeType": kind, "text": body["text"], **({"encoding": "base64"} if body["is_base64"] else {})}


def _header(headers: Headers, wanted: str, default: str = "") -> str:
    return next((value for name, value in headers if name.lower() == wanted), default)


def _body(body: Body) -> dict[str, Any]:
    """A body as text if it is text, else in base64."""
    try:
        text, is_base64 = body.kept.decode(), False
    except UnicodeDecodeError:
        text, is_base64 = base64.b64encode(body.kept).decode(), True
    return {"text": text, "is_base64": is_base64, "size": body.size, "is_whole": body.is_whole}
