"""What the audit log says of a visitor's request or connection."""

from __future__ import annotations

import datetime
from typing import Final

import msgspec

PATH_MAX_CHARACTERS: Final = 2048
"""Of a path in the log; what is longer is cut off."""
BROKE_OFF: Final = "broke_off"
"""The problem of a response that began and did not come to its end."""


class Record(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One request, connection or UDP visitor, when it is over. Never a secret: no query, no header, no body."""

    time: str = ""
    """When it began, in UTC."""
    kind: str = ""
    """``http``, ``tls``, ``tcp`` or ``udp``."""
    visitor: str = ""
    """Its address, as far as trusted fronts know it."""
    service: str = ""
    """What it was for, as `p2p gateway status` calls it; empty when nobody publishes that."""
    host: str = ""
    """The host name that was asked for."""
    method: str = ""
    path: str = ""
    """Without the query."""
    status: int = 0
    """Of the response; 0 for connections, and when the visitor left before there was one."""
    bytes_in: int = 0
    """Payload from the visitor."""
    bytes_out: int = 0
    """Payload to the visitor."""
    took_ms: float = 0.0
    instance: str = ""
    """Which one served it."""
    who: str = ""
    """What the visitor has proven to be: a user's name, the subject of a token or of a certificate."""
    problem: str = ""
    """Why it was not served, as on the page for visitors, or why it ended early."""


_encoder: Final = msgspec.json.Encoder()


def line_of(record: Record) -> bytes:
    """Write a record as a line of JSON; bytes of the visitor's that are no text become question marks."""
    try:
        return _encoder.encode(record) + b"\n"
    except UnicodeEncodeError:
        texts = {name: value for name, value in msgspec.structs.asdict(record).items() if isinstance(value, str)}
        return line_of(msgspec.structs.replace(record, **{name: _plain(value) for name, value in texts.items()}))


def time_of(now_wall: float) -> str:
    """Write a time of day, to the millisecond."""
    moment = datetime.datetime.fromtimestamp(now_wall, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def path_of(raw_path: str) -> str:
    """A path without its query, in which programs like to put secrets."""
    return raw_path.partition("?")[0][:PATH_MAX_CHARACTERS]


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
