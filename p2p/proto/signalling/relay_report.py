"""What a relay tells a rendezvous about itself: where clients reach it, in which region, and how much room it has.

A report is a MAC and a JSON object behind it, sent by HTTP POST to ``REPORT_PATH``. The MAC is made with the secret
that relay and rendezvous share for credentials, so that nobody else can send clients anywhere.
docs/protocol/signalling.md has the exchange.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from p2p.defaults import RELAY_REPORT_SKEW_S, RELAY_ROOM_SHARE
from p2p.errors import DecodeError, IntegrityError

REPORT_PATH: Final = "/v1/relay"
REPORT_MAX_BYTES: Final = 4096
REPORT_URLS_MAX: Final = 8
_MAC_BYTES: Final = 32

_TURN_URL: Final = r"^turns?:[A-Za-z0-9.:\[\]-]+(\?transport=(udp|tcp))?\Z"
TurnUrl = Annotated[str, Meta(max_length=255, pattern=_TURN_URL)]
Count = Annotated[int, Meta(ge=0)]
Rate = Annotated[float, Meta(ge=0)]


class RelayReport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one process of a relay does, at one instant."""

    reporter: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
    """Tells processes apart: the workers of a relay, one before a restart from the one after it."""
    at_wall: float
    """When it was made, Unix seconds. Later reports of a process have later instants."""
    urls: Annotated[tuple[TurnUrl, ...], Meta(min_length=1, max_length=REPORT_URLS_MAX)]
    """Where clients reach the relay, the best way first. Source of the form: RFC 7065."""
    region: Annotated[str, Meta(max_length=64)] = ""
    """Where it is, in its operator's words."""
    is_draining: bool = False
    """Whether it takes nobody new."""
    is_gone: bool = False
    """Whether it is about to end."""
    addresses: Count = 0
    """Relayed addresses in use."""
    addresses_max: Count
    """Relayed addresses that there may be."""
    mbit_s: Rate = 0.0
    """Payload relayed since the last report, both directions together."""
    mbit_s_max: Rate = 0.0
    """Its limit; 0 for none."""

    @property
    def load(self) -> float:
        """The share of its room that is taken, 0 to 1 and beyond: of what is scarcest."""
        of_addresses = self.addresses / self.addresses_max if self.addresses_max else 1.0
        return max(of_addresses, self.mbit_s / self.mbit_s_max if self.mbit_s_max else 0.0)

    @property
    def has_room(self) -> bool:
        """Whether new clients may be sent there."""
        return not self.is_draining and not self.is_gone and self.load < RELAY_ROOM_SHARE


def is_turn_url(text: str) -> bool:
    """Whether a text may be one of the URLs of a report."""
    return len(text) <= 255 and re.match(_TURN_URL, text) is not None


_decoder = msgspec.json.Decoder(RelayReport)
_encoder = msgspec.json.Encoder()


def seal(report: RelayReport, secret: str) -> bytes:
    """Write a report.

    Args:
        report: The report.
        secret: What relay and rendezvous share.
    """
    body = _encoder.encode(report)
    return _mac(body, secret) + body


def open_untrusted(data: bytes, secret: str, now_wall: float) -> RelayReport:
    """Read a report that anybody may have sent.

    Args:
        data: What came.
        secret: What relay and rendezvous share.
        now_wall: Unix time in seconds.

    Raises:
        IntegrityError: It was not made with the secret, or not about now.
        DecodeError: It is no report.
    """
    body = data[_MAC_BYTES:]
    if not hmac.compare_digest(data[:_MAC_BYTES], _mac(body, secret)):
        raise IntegrityError("not made with the shared secret")
    try:
        report = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"not a relay's report: {error}") from error
    if not abs(now_wall - report.at_wall) <= RELAY_REPORT_SKEW_S:
        raise IntegrityError("made at another time, or the clocks differ")
    return report


def _mac(body: bytes, secret: str) -> bytes:
    key = hmac.digest(secret.encode(), b"relay report key", hashlib.sha256)
    return hmac.digest(key, body, hashlib.sha256)
