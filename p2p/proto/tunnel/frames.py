"""The frames of the control stream, and how they look on the wire.

     0                   1                   2
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3
    +---------------+-------------------------------+
    |     type      |    length of the payload      |
    +---------------+-------------------------------+
    |    payload ...

    type  name         payload
    0x01  HELLO        fields: 1 protocol versions (varints), 2 toolkit version (text),
                       3 features (length byte and text, repeated), 4 services (kind byte, length byte and
                       name, repeated), 5 names of services that the sender listens for (length byte and
                       name, repeated)
    0x02  AUTH         fields: 1 identity proof, 2 service (text), 3 ticket proof (32 bytes)
    0x03  AUTH_RESULT  code (varint, 0 means accepted), text
    0x04  CREDIT       stream id (varint), offset up to which the stream may send (varint)
    0x05  PING         id (varint)
    0x06  PONG         id of the ping (varint)
    0x07  DRAIN        nothing
    0x08  DRAINED      nothing
    0x09  GOODBYE      code (varint), text
    0x80  END          stream id (varint), how many bytes the stream has in all (varint)

Types from 0x80 on may be skipped by whoever does not know them, all others must be understood. Whatever follows what
a payload is defined to hold is skipped too, so that every frame can grow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from p2p.errors import DecodeError
from p2p.proto.tunnel.fields import (
    decode_fields_untrusted,
    decode_text_untrusted,
    decode_varint_untrusted,
    encode_fields,
    encode_text,
    encode_varint,
)
from p2p.proto.tunnel.header import SERVICE_NAME_MAX_BYTES, FlowKind

FRAME_HEADER_BYTES: Final = 3
FRAME_MAX_PAYLOAD_BYTES: Final = 4096
"""The largest frame is AUTH with a few hundred bytes; this is what one unfinished frame can make us hold."""
TEXT_MAX_BYTES: Final = 256
_FEATURES_MAX: Final = 64
_VERSIONS_MAX: Final = 16
_FEATURE_NAME_MAX_BYTES: Final = 32
_SERVICES_MAX_BYTES: Final = 2560
"""Leaves a frame room for the other fields; with more of them none is named, though all can be asked for."""
_WANTED_MAX_BYTES: Final = 1024
"""The same for the services that the sender listens for."""
FIRST_OPTIONAL_TYPE: Final = 0x80


class FrameType(IntEnum):
    """The frame types of this version."""

    HELLO = 0x01
    AUTH = 0x02
    AUTH_RESULT = 0x03
    CREDIT = 0x04
    PING = 0x05
    PONG = 0x06
    DRAIN = 0x07
    DRAINED = 0x08
    GOODBYE = 0x09
    END = 0x80


REVERSE_FEATURE: Final = "reverse"
"""An exposer that listens for services of its dialers says so."""


class OfferedService(NamedTuple):
    """A service that a dialer may open flows to.

    Attributes:
        name: What a stream's header calls it.
        kind: A ``FlowKind``, or a number that only a later version knows.
    """

    name: str
    kind: int = FlowKind.STREAM


@dataclass(frozen=True, slots=True)
class Hello:
    """What a side is and can do.

    Attributes:
        versions: Versions of this protocol that it speaks.
        toolkit: Version of its software, for logs.
        features: Names of what it supports beyond the version's minimum.
        services: What the other side may open flows to; none if they are too many to tell.
        wanted: Services of the other side that the sender listens for; none if they are too many to tell.
    """

    versions: tuple[int, ...]
    toolkit: str = ""
    features: frozenset[str] = frozenset()
    services: tuple[OfferedService, ...] = ()
    wanted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class AuthRequest:
    """Who the dialer is and what it wants. Its representation shows no proof.

    Attributes:
        proof: Proof of the dialer's identity, bound to the QUIC connection; opaque here.
        service: The service to be opened.
        ticket_proof: Proof of the ticket's secret; None without a ticket.
    """

    proof: bytes
    service: str
    ticket_proof: bytes | None = None

    def __repr__(self) -> str:
        return f"AuthRequest(service={self.service!r}, ticket={'no' if self.ticket_proof is None else 'yes'})"


@dataclass(frozen=True, slots=True)
class AuthResult:
    """The exposer's verdict: code 0 or a ``RefusalCode``, and words for the user."""

    code: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Credit:
    """How far the receiver of this frame may send on a stream."""

    stream_id: int
    max_offset: int


@dataclass(frozen=True, slots=True)
class End:
    """The sender of this frame sends no more on a stream than so many bytes; said by QUIC, too, but see ``Flow``."""

    stream_id: int
    final_offset: int


@dataclass(frozen=True, slots=True)
class Ping:
    """A request to send the id back."""

    ping_id: int


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping."""

    ping_id: int


@dataclass(frozen=True, slots=True)
class Drain:
    """The sender opens no new flows, and asks the other side to open none."""


@dataclass(frozen=True, slots=True)
class Drained:
    """The sender was asked to drain, and its last flow has ended."""


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The sender ends the session now: a ``GoodbyeCode`` and words for the user."""

    code: int
    reason: str = ""


Frame: TypeAlias = Hello | AuthRequest | AuthResult | Credit | End | Ping | Pong | Drain | Drained | Goodbye


def encode_frame(frame: Frame) -> bytes:
    """Encode a frame with its header.

    Args:
        frame: Texts that are too long are cut.
    """
    match frame:
        case Hello():
            frame_type, payload = FrameType.HELLO, _encode_hello(frame)
        case AuthRequest():
            frame_type, payload = FrameType.AUTH, _encode_auth(frame)
        case AuthResult(code, text):
            frame_type, payload = FrameType.AUTH_RESULT, encode_varint(code) + encode_text(text, TEXT_MAX_BYTES)
        case Credit(stream_id, max_offset):
            frame_type, payload = FrameType.CREDIT, encode_varint(stream_id) + encode_varint(max_offset)
        case End(stream_id, final_offset):
            frame_type, payload = FrameType.END, encode_varint(stream_id) + encode_varint(final_offset)
        case Ping(ping_id):
            frame_type, payload = FrameType.PING, encode_varint(ping_id)
        case Pong(ping_id):
            frame_type, payload = FrameType.PONG, encode_varint(ping_id)
        case Drain():
            frame_type, payload = FrameType.DRAIN, b""
        case Drained():
            frame_type, payload = FrameType.DRAINED, b""
        case Goodbye(code, reason):
            frame_type, payload = FrameType.GOODBYE, encode_varint(code) + encode_text(reason, TEXT_MAX_BYTES)
    return bytes((frame_type,)) + len(payload).to_bytes(2, "big") + payload


def frame_length_untrusted(data: bytes | bytearray) -> int | None:
    """Tell how many bytes the frame has that ``data`` begins with.

    Args:
        data: What has arrived and was not decoded yet.

    Returns:
        The length, or None when more bytes are needed to tell.

    Raises:
        DecodeError: The frame would be longer than allowed.
    """
    if len(data) < FRAME_HEADER_BYTES:
        return None
    length = data[1] << 8 | data[2]
    if length > FRAME_MAX_PAYLOAD_BYTES:
        raise DecodeError(f"control frame with {length} bytes of payload")
    return FRAME_HEADER_BYTES + length


def decode_frame_untrusted(data: bytes) -> Frame | None:
    """Decode a whole frame.

    Args:
        data: As many bytes as ``frame_length_untrusted`` told.

    Returns:
        The frame, or None if its type is unknown and may be skipped.

    Raises:
        DecodeError: It is not a frame, or of an unknown type that must be understood.
    """
    if frame_length_untrusted(data) != len(data):
        raise DecodeError("control frame is cut short, or bytes follow it")
    decode = _DECODERS.get(data[0])
    if decode is not None:
        return decode(bytes(data[FRAME_HEADER_BYTES:]))
    if data[0] >= FIRST_OPTIONAL_TYPE:
        return None
    raise DecodeError(f"control frame of unknown type {data[0]:#04x}")


def _encode_hello(hello: Hello) -> bytes:
    features = b"".join(
        bytes((len(name),)) + name
        for name in sorted(encode_text(feature, _FEATURE_NAME_MAX_BYTES) for feature in hello.features)
    )
    versions = b"".join(encode_varint(version) for version in hello.versions)
    fields = [(1, versions), (2, encode_text(hello.toolkit, TEXT_MAX_BYTES)), (3, features)]
    if services := _encode_services(hello.services):
        fields.append((4, services))
    wanted = b"".join(bytes((len(name),)) + name for name in _service_names(hello.wanted))
    if 0 < len(wanted) <= _WANTED_MAX_BYTES:
        fields.append((5, wanted))
    return encode_fields(fields)


def _service_names(names: Iterable[str]) -> Iterator[bytes]:
    return (encode_text(name, SERVICE_NAME_MAX_BYTES) for name in names)


def _encode_services(services: Iterable[OfferedService]) -> bytes:
    encoded = b""
    for service in services:
        name = encode_text(service.name, SERVICE_NAME_MAX_BYTES)
        encoded += bytes((service.kind, len(name))) + name
    return encoded if len(encoded) <= _SERVICES_MAX_BYTES else b""


def _decode_names_untrusted(data: bytes, max_bytes: int) -> tuple[str, ...]:
    names: list[str] = []
    offset = 0
    while offset < len(data):
        end = offset + 1 + data[offset]
        if end > len(data):
            raise DecodeError("name is cut short")
        names.append(decode_text_untrusted(data[offset + 1 : end], max_bytes))
        offset = end
    return tuple(names)


def _decode_services_untrusted(data: bytes) -> tuple[OfferedService, ...]:
    services: list[OfferedService] = []
    offset = 0
    while offset < len(data):
        start = offset + 2
        if start > len(data) or (end := start + data[offset + 1]) > len(data):
            raise DecodeError("service name is cut short")
        services.append(OfferedService(decode_text_untrusted(data[start:end], SERVICE_NAME_MAX_BYTES), data[offset]))
        offset = end
    return tuple(services)


def _decode_hello_untrusted(payload: bytes) -> Hello:
    fields = decode_fields_untrusted(payload)
    versions: list[int] = []
    data, offset = fields.get(1, b""), 0
    while offset < len(data):
        version, offset = decode_varint_untrusted(data, offset)
        versions.append(version)
    features = _decode_names_untrusted(fields.get(3, b""), _FEATURE_NAME_MAX_BYTES)
    if not versions or len(versions) > _VERSIONS_MAX or len(features) > _FEATURES_MAX:
        raise DecodeError(f"hello with {len(versions)} versions and {len(features)} features")
    return Hello(
        tuple(versions),
        decode_text_untrusted(fields.get(2, b""), TEXT_MAX_BYTES),
        frozenset(features),
        _decode_services_untrusted(fields.get(4, b"")),
        _decode_names_untrusted(fields.get(5, b""), SERVICE_NAME_MAX_BYTES),
    )


def _encode_auth(request: AuthRequest) -> bytes:
    fields = [(1, request.proof), (2, encode_text(request.service, SERVICE_NAME_MAX_BYTES))]
    if request.ticket_proof is not None:
        fields.append((3, request.ticket_proof))
    return encode_fields(fields)


def _decode_auth_untrusted(payload: bytes) -> AuthRequest:
    fields = decode_fields_untrusted(payload)
    proof = fields.get(1)
    if not proof:
        raise DecodeError("authentication without an identity proof")
    return AuthRequest(proof, decode_text_untrusted(fields.get(2, b""), SERVICE_NAME_MAX_BYTES), fields.get(3))


def _decode_auth_result_untrusted(payload: bytes) -> AuthResult:
    code, offset = decode_varint_untrusted(payload, 0)
    return AuthResult(code, decode_text_untrusted(payload[offset:], TEXT_MAX_BYTES))


def _decode_credit_untrusted(payload: bytes) -> Credit:
    stream_id, offset = decode_varint_untrusted(payload, 0)
    return Credit(stream_id, decode_varint_untrusted(payload, offset)[0])


def _decode_end_untrusted(payload: bytes) -> End:
    stream_id, offset = decode_varint_untrusted(payload, 0)
    return End(stream_id, decode_varint_untrusted(payload, offset)[0])


def _decode_goodbye_untrusted(payload: bytes) -> Goodbye:
    code, offset = decode_varint_untrusted(payload, 0)
    return Goodbye(code, decode_text_untrusted(payload[offset:], TEXT_MAX_BYTES))


_DECODERS: Final[Mapping[int, Callable[[bytes], Frame]]] = {
    FrameType.HELLO: _decode_hello_untrusted,
    FrameType.AUTH: _decode_auth_untrusted,
    FrameType.AUTH_RESULT: _decode_auth_result_untrusted,
    FrameType.CREDIT: _decode_credit_untrusted,
    FrameType.PING: lambda payload: Ping(decode_varint_untrusted(payload, 0)[0]),
    FrameType.PONG: lambda payload: Pong(decode_varint_untrusted(payload, 0)[0]),
    FrameType.DRAIN: lambda payload: Drain(),
    FrameType.DRAINED: lambda payload: Drained(),
    FrameType.GOODBYE: _decode_goodbye_untrusted,
    FrameType.END: _decode_end_untrusted,
}
