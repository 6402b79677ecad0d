"""What peers tell each other through the rendezvous, inside sealed bodies that it cannot read.

    dialer                                exposer
      Offer    --------------------------->          proves the ticket, brings addresses
               <---------------------------  Answer  or Refusal
      Trickle  <-------------------------->  Trickle  addresses that come and go, NAT facts, ports to guess
      Farewell <-------------------------->  Farewell the session is over

Each is a JSON object with a ``type``, or in a knock the same in MessagePack, where packets are a quarter shorter.
Unknown types and fields are ignored. Candidates are lines as in
``p2p.proto.ice.candidate``.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Protocol, TypeVar

import msgspec
from msgspec import Meta, Struct

from p2p.errors import DecodeError, LocalProtocolError
from p2p.proto.signalling.messages import BODY_MAX_BYTES
from p2p.proto.signalling.names import INSTANCE_PATTERN, SERVICE_NAME_PATTERN

MAX_FLIGHT_PACKETS: Final = 4
"""The first packets of a side of the handshake: one for the client, two or three for the server."""
MAX_CANDIDATES: Final = 32
"""Per message: more than any host needs, few enough that a liar cannot make us send many checks."""
SEALING_OVERHEAD_BYTES: Final = 512
"""What sealing may add to a body."""

T_co = TypeVar("T_co", covariant=True)
SessionId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
CandidateLine = Annotated[str, Meta(max_length=300)]
CandidateLines = Annotated[tuple[CandidateLine, ...], Meta(max_length=MAX_CANDIDATES)]
Flight = Annotated[
    tuple[Annotated[bytes, Meta(min_length=1, max_length=1500)], ...], Meta(max_length=MAX_FLIGHT_PACKETS)
]
Reason = Annotated[str, Meta(max_length=255)]


class _Body(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """What all bodies share."""

    session: SessionId


class Offer(_Body, frozen=True, tag="offer"):
    """Dialer: asks for a session."""

    service: Annotated[str, Meta(pattern=SERVICE_NAME_PATTERN)]
    proof: Annotated[bytes, Meta(min_length=32, max_length=32)]
    """Shows that the dialer holds the ticket: see ``p2p.proto.tunnel.ticket_proof``."""
    ice: dict[str, Any]
    """ICE credentials: see ``p2p.proto.ice.Credentials``."""
    initial_dcid: Annotated[bytes, Meta(min_length=8, max_length=20)]
    """The destination connection id of the dialer's first QUIC packet."""
    candidates: CandidateLines = ()
    end: bool = False
    """Whether no more candidates are expected for now."""
    nat: dict[str, Any] = {}
    """What the dialer knows of its NAT: see ``p2p.proto.path.reason``."""
    seen_at: Annotated[str, Meta(max_length=45)] = ""
    """The IP address that the rendezvous sees the dialer at, known before any candidate is."""
    instance: Annotated[str, Meta(pattern=INSTANCE_PATTERN)] = ""
    """In a knock, whose sender the rendezvous does not know: which of the dialer's programs."""
    flight: Flight = ()
    """The first packets of the QUIC handshake; packets on the paths repeat what is lost of it."""


class Answer(_Body, frozen=True, tag="answer"):
    """Exposer: accepts the session."""

    ice: dict[str, Any]
    candidates: CandidateLines = ()
    end: bool = False
    nat: dict[str, Any] = {}
    flight: Flight = ()
    """What the exposer's side of the QUIC connection answered to the flight of the offer."""


class Refusal(_Body, frozen=True, tag="refusal"):
    """Exposer: there will be no session."""

    code: Annotated[int, Meta(ge=0, le=2**31)]
    """A ``RefusalCode``, or a number of a later version."""
    text: Reason = ""


class Trickle(_Body, frozen=True, tag="trickle"):
    """Either: more addresses, better knowledge of the NAT, or ports to guess."""

    candidates: CandidateLines = ()
    gone: CandidateLines = ()
    """Of what was named before: where the sender is no longer reached, as after a change of its network."""
    end: bool = False
    """Whether no more are expected for now."""
    nat: dict[str, Any] | None = None
    guess: dict[str, Any] | None = None
    """Where a NAT that plain checks do not pass can be met: see ``p2p.proto.path.plans.hint``."""


class Farewell(_Body, frozen=True, tag="farewell"):
    """Either: the session is over, or was never known here."""

    text: Reason = ""


PeerBody = Offer | Answer | Refusal | Trickle | Farewell

_KNOWN: Final = frozenset(str(member.__struct_config__.tag) for member in (Offer, Answer, Refusal, Trickle, Farewell))


class _Envelope(Struct, frozen=True):
    type: str


class _Decoder(Protocol[T_co]):
    """msgspec has two classes of one shape."""

    def decode(self, data: bytes, /) -> T_co: ...


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(PeerBody)
_envelope_decoder: Final = msgspec.json.Decoder(_Envelope)
_packed_encoder: Final = msgspec.msgpack.Encoder()
_packed_decoder: Final = msgspec.msgpack.Decoder(PeerBody)
_packed_envelope_decoder: Final = msgspec.msgpack.Decoder(_Envelope)


def encode(body: PeerBody) -> bytes:
    """Write a body.

    Raises:
        LocalProtocolError: It is too long to be sealed and sent.
    """
    data = _encoder.encode(body)
    if len(data) > BODY_MAX_BYTES - SEALING_OVERHEAD_BYTES:
        raise LocalProtocolError(f"a signalling body of {len(data)} bytes")
    return data


def encode_packed(body: PeerBody) -> bytes:
    """Write a body for a knock, in MessagePack."""
    return _packed_encoder.encode(body)


def decode_packed_untrusted(data: bytes) -> PeerBody | None:
    """Read what a knock carried; see ``decode_untrusted``.

    Raises:
        DecodeError: It is no such body.
    """
    return _decode(data, _packed_decoder, _packed_envelope_decoder)


def decode_untrusted(data: bytes) -> PeerBody | None:
    """Read what a peer sent.

    Returns:
        The body, or None for a type that is not known here.

    Raises:
        DecodeError: It is no such body.
    """
    return _decode(data, _decoder, _envelope_decoder)


def _decode(data: bytes, decoder: _Decoder[PeerBody], envelope_decoder: _Decoder[_Envelope]) -> PeerBody | None:
    try:
        body = decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        try:
            envelope = envelope_decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise DecodeError(f"not a signalling body: {error}") from error
        if envelope.type not in _KNOWN:
            return None
        raise DecodeError(f"malformed {envelope.type}: {error}") from error
    return body
