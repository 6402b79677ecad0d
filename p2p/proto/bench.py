"""What the two ends of a measurement say to each other on a stream of the service ``p2p/bench``.

The side that measures begins with a request; then one of three things happens until either side ends the stream:

=========  ==========================================================================================
SOURCE     the exposer sends as fast as it can, for as long as was asked
SINK       the exposer reads, and reports ten times a second how much has come
ECHO       the exposer sends back what it reads
=========  ==========================================================================================

    request: version (1 byte: 1), mode (1 byte), seconds (2 bytes)
    report:  microseconds since the first byte (8 bytes), bytes so far (8 bytes)

A flow of datagrams to the same service sends each of them back: a number (4 bytes), and padding.

Everything is big endian. Source: none; the idea is that of RFC 863 (discard), RFC 864 (chargen) and RFC 862 (echo).
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from p2p.errors import DecodeError

BENCH_SERVICE: Final = "p2p/bench"
"""The service in a stream's header. No name that a user chooses has a slash."""

_VERSION: Final = 1
_REQUEST: Final = struct.Struct("!BBH")
_REPORT: Final = struct.Struct("!QQ")
_US_PER_S: Final = 1_000_000

REQUEST_BYTES: Final = _REQUEST.size
REPORT_BYTES: Final = _REPORT.size


_NUMBER: Final = struct.Struct("!I")


class BenchMode(IntEnum):
    """What the exposer does."""

    SOURCE = 1
    SINK = 2
    ECHO = 3


class BenchRequest(NamedTuple):
    """What the side that measures asks for.

    Attributes:
        mode: What the exposer should do.
        seconds: For how long, 1 to 65,535.
    """

    mode: BenchMode
    seconds: int


class BenchReport(NamedTuple):
    """How much has come, at one instant.

    Attributes:
        elapsed_s: Seconds from the first byte to the last one counted.
        size_bytes: All bytes so far, the request left out.
    """

    elapsed_s: float
    size_bytes: int


def encode_request(request: BenchRequest) -> bytes:
    """Encode a request."""
    return _REQUEST.pack(_VERSION, request.mode, request.seconds)


def decode_request_untrusted(data: bytes) -> BenchRequest:
    """Decode a request.

    Args:
        data: ``REQUEST_BYTES`` bytes.

    Raises:
        DecodeError: It is none, or one of a later version.
    """
    if len(data) != REQUEST_BYTES:
        raise DecodeError(f"request for a measurement of {len(data)} bytes")
    version, mode, seconds = _REQUEST.unpack(data)
    if version != _VERSION:
        raise DecodeError(f"measurement of version {version}")
    if mode not in set(BenchMode) or seconds == 0:
        raise DecodeError(f"measurement of kind {mode} for {seconds} s")
    return BenchRequest(BenchMode(mode), seconds)


def encode_report(report: BenchReport) -> bytes:
    """Encode a report."""
    return _REPORT.pack(round(report.elapsed_s * _US_PER_S), report.size_bytes)


def decode_reports_untrusted(data: bytes) -> tuple[BenchReport | None, bytes]:
    """Find the last whole report.

    Args:
        data: What came, and before it what the last call left.

    Returns:
        The report, or None, and the bytes that belong to the next one.

    Raises:
        DecodeError: Never: any bytes are a report, whoever believes it.
    """
    whole = len(data) // REPORT_BYTES * REPORT_BYTES
    if not whole:
        return None, data
    elapsed_us, size_bytes = _REPORT.unpack(data[whole - REPORT_BYTES : whole])
    return BenchReport(elapsed_us / _US_PER_S, size_bytes), data[whole:]


def encode_datagram(number: int, size_bytes: int) -> bytes:
    """Make a datagram.

    Args:
        number: Which one it is.
        size_bytes: How long it is, 4 at least.
    """
    return _NUMBER.pack(number).ljust(size_bytes, b"\0")


def decode_datagram_untrusted(data: bytes) -> int:
    """Tell which datagram has come back.

    Raises:
        DecodeError: It is none of ours.
    """
    if len(data) < _NUMBER.size:
        raise DecodeError(f"datagram of {len(data)} bytes")
    number: int = _NUMBER.unpack_from(data)[0]
    return number
