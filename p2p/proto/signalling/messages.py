"""The messages between peer and rendezvous: one JSON object each, told apart by ``type``.

Layout::

    {"type": "resolve", "id": 7, "peer": "<52 characters>", "service": "web"}

Bytes are base64 strings, transport addresses ``["192.0.2.1", 3478]``, instants Unix seconds. Unknown types and
unknown fields are ignored, so that either side may be newer. ``id`` is chosen by the client and repeated in the
answer. docs/protocol/signalling.md tells who sends what when.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from p2p.address import TransportAddress
from p2p.errors import DecodeError, LocalProtocolError
from p2p.proto.signalling.names import INSTANCE_PATTERN, SERVICE_NAME_PATTERN

PROTOCOL_VERSION: Final = 1
MESSAGE_MAX_BYTES: Final = 16 * 1024
BODY_MAX_BYTES: Final = 11 * 1024
"""What of a message is left for a sealed body, after base64 (4/3) and about 1 KiB for the rest."""
NONCE_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

PeerText = Annotated[str, Meta(pattern=r"^[a-z2-7]{52}\Z")]
ServiceName = Annotated[str, Meta(pattern=SERVICE_NAME_PATTERN)]
Instance = Annotated[str, Meta(pattern=INSTANCE_PATTERN)]
RequestId = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Nonce = Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
Signature = Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]
BellKey = Annotated[bytes, Meta(min_length=32, max_length=32)]
SealedBody = Annotated[bytes, Meta(min_length=1, max_length=BODY_MAX_BYTES)]
ShortText = Annotated[str, Meta(max_length=255)]
Credential = Annotated[str, Meta(max_length=763, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
"""No control characters: a relay's address is the rendezvous' word, and its credentials must not be lines of another
protocol for whoever listens there. Source: RFC 8489 sections 14.3, 14.9 and 14.10."""


class _Message(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """What all messages share: immutable, fields by name, defaults left out on the wire."""


class Challenge(_Message, frozen=True, tag="challenge"):
    """Server: the first message of a connection."""

    version: int
    nonce: Nonce


class Login(_Message, frozen=True, tag="login"):
    """Client: proves its key; the signature covers ``login_transcript``."""

    version: int
    peer: PeerText
    signature: Signature
    host: ShortText
    """The host name in the URL that the client connected to, lower case."""
    instance: Instance = ""
    """Tells the programs of one key apart: a login takes over from the one with the same key and instance."""
    token: ShortText | None = None
    agent: ShortText = ""
    """Program and version, for the operator's log."""
    nonce: Nonce | None = None
    """Of a login that comes with the upgrade and answers no challenge: see ``p2p.proto.signalling.early_login``."""

    def __repr__(self) -> str:
        token = "***" if self.token else None
        return f"Login(peer={self.peer!r}, instance={self.instance!r}, host={self.host!r}, token={token})"


class TurnServer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A relay, and the credentials for it."""

    url: ShortText
    """``turn:host:port?transport=udp|tcp`` or ``turns:host:port?transport=tcp``. Source: RFC 7065."""
    username: Credential
    password: Credential
    expires_wall: int
    """When the credentials end, Unix seconds by the server's clock."""
    realm: Credential | None = None
    nonce: Credential | None = None
    """With both, the first Allocate can be authenticated at once, which saves a round trip."""
    region: ShortText = ""
    """Where the relay is, in its operator's words."""

    def __repr__(self) -> str:
        return f"TurnServer(url={self.url!r}, username={self.username!r}, expires_wall={self.expires_wall})"


class Welcome(_Message, frozen=True, tag="welcome"):
    """Server: the login, or a ``renew``, has succeeded."""

    observed_address: TransportAddress
    """Where the server sees the client; port 0 when a proxy hides it."""
    now_wall: float
    """The server's clock, Unix seconds: what expiries are measured by."""
    stun: tuple[TransportAddress, ...] = ()
    turn: tuple[TurnServer, ...] = ()
    region: ShortText = ""
    again_s: Annotated[float, Meta(ge=0)] | None = None
    """When to ask again, if that is sooner than the credentials end: relays are expected that have not reported yet."""
    id: RequestId | None = None


class Renew(_Message, frozen=True, tag="renew"):
    """Client: send ``welcome`` again, with fresh relay credentials."""

    id: RequestId


class Publish(_Message, frozen=True, tag="publish"):
    """Client: offers a service; answered by ``done``."""

    id: RequestId
    service: ServiceName
    bell: BellKey | None = None
    """The key of those who may knock; see ``p2p.proto.signalling.knock``."""


class Unpublish(_Message, frozen=True, tag="unpublish"):
    """Client: withdraws a service; answered by ``done``."""

    id: RequestId
    service: ServiceName


class Resolve(_Message, frozen=True, tag="resolve"):
    """Client: asks whether a peer is there; answered by ``resolved``."""

    id: RequestId
    peer: PeerText
    service: ServiceName
    instance: Instance = ""


class Resolved(_Message, frozen=True, tag="resolved"):
    """Server: the answer to ``resolve``."""

    id: RequestId
    online: bool
    """The peer is logged in."""
    published: bool
    """The peer is logged in and offers the service."""


class SignalRequest(_Message, frozen=True, tag="signal"):
    """Client: hand this to a peer. With an ``id`` it is answered by ``done``; only failure is without."""

    to: PeerText
    body: SealedBody
    instance: Instance = ""
    """Which of the receiver's programs."""
    id: RequestId | None = None
    knock: Nonce | None = None
    """The knock that it answers: a receiver that has not logged in yet gets it when it has."""


class SignalDelivery(_Message, frozen=True, tag="signal"):
    """Server: a peer sent this. The name is the rendezvous's word; the sealed body has the proof."""

    sender: PeerText = msgspec.field(name="from")
    body: SealedBody
    instance: Instance = ""
    """Which of the sender's programs, for the answer."""


class KnockDelivery(_Message, frozen=True, tag="knock"):
    """Server: somebody who knows the bell's key has knocked. Who it is, the sealed body tells."""

    body: SealedBody
    nonce: Nonce
    """For the answers."""
    source: TransportAddress
    """Where the knock came from, by UDP."""


class Done(_Message, frozen=True, tag="done"):
    """Server: the request has been carried out."""

    id: RequestId


class Error(_Message, frozen=True, tag="error"):
    """Server: a request has failed; the connection stays."""

    code: ShortText
    detail: ShortText = ""
    id: RequestId | None = None
    to: PeerText | None = None
    """The receiver of a ``signal`` that failed."""


class Bye(_Message, frozen=True, tag="bye"):
    """Either: the connection ends now, for this reason."""

    code: ShortText
    detail: ShortText = ""


class Draining(_Message, frozen=True, tag="draining"):
    """Server: the connection will end; a client that knows another server moves there."""

    within_s: Annotated[float, Meta(ge=0, le=86_400)]
    """A moving client waits a random part of this, so that not all arrive at once."""


ClientMessage = Login | Renew | Publish | Unpublish | Resolve | SignalRequest | Bye
ServerMessage = Challenge | Welcome | Resolved | SignalDelivery | KnockDelivery | Done | Error | Bye | Draining


class _Envelope(Struct, frozen=True):
    """As much of a message as shows whether we know its type."""

    type: str


_encoder: Final = msgspec.json.Encoder()
_envelope_decoder: Final = msgspec.json.Decoder(_Envelope)
_client_decoder: Final = msgspec.json.Decoder(ClientMessage)
_server_decoder: Final = msgspec.json.Decoder(ServerMessage)
_client_types: Final = frozenset(
    str(member.__struct_config__.tag) for member in (Login, Renew, Publish, Unpublish, Resolve, SignalRequest, Bye)
)
_server_types: Final = frozenset(
    str(member.__struct_config__.tag)
    for member in (Challenge, Welcome, Resolved, SignalDelivery, KnockDelivery, Done, Error, Bye, Draining)
)

MessageT = TypeVar("MessageT")


def encode(message: ClientMessage | ServerMessage) -> bytes:
    """Write a message as UTF-8 JSON.

    Raises:
        LocalProtocolError: The result is longer than ``MESSAGE_MAX_BYTES``.
    """
    data = _encoder.encode(message)
    if len(data) > MESSAGE_MAX_BYTES:
        raise LocalProtocolError(f"a message of {len(data)} bytes, more than {MESSAGE_MAX_BYTES}")
    return data


def decode_client_untrusted(data: bytes) -> ClientMessage | None:
    """Read what a client sent.

    Returns:
        The message, or None for a type that is not known here.

    Raises:
        DecodeError: It is no message.
    """
    return _decode(data, _client_decoder, _client_types)


def decode_server_untrusted(data: bytes) -> ServerMessage | None:
    """Read what a server sent.

    Returns:
        The message, or None for a type that is not known here.

    Raises:
        DecodeError: It is no message.
    """
    message = _decode(data, _server_decoder, _server_types)
    if isinstance(message, Welcome):
        for address in (message.observed_address, *message.stun):
            _check_address(address)
    elif isinstance(message, KnockDelivery):
        _check_address(message.source)
    return message


def login_transcript(
    nonce: bytes, public_key: bytes, host: str, instance: str = "", *, is_early: bool = False
) -> bytes:
    """What a login signs: this login, to this server, and nothing else.

    The host keeps a server from passing another server's challenge on and logging in there as the client.

    Args:
        nonce: From the challenge, or the client's own.
        public_key: The client's raw Ed25519 key.
        host: The host name in the client's URL, lower case.
        instance: Which of the key's programs logs in.
        is_early: Whether it answers no challenge: then no challenge can make a client sign the same.
    """
    label = b"p2p rendezvous early login v1" if is_early else b"p2p rendezvous login v1"
    return b"\0".join((label, nonce + public_key + host.encode(), instance.encode()))


def _decode(data: bytes, decoder: msgspec.json.Decoder[MessageT], known: frozenset[str]) -> MessageT | None:
    if len(data) > MESSAGE_MAX_BYTES:
        raise DecodeError(f"a message of {len(data)} bytes, more than {MESSAGE_MAX_BYTES}")
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        try:
            envelope = _envelope_decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise DecodeError(f"not a signalling message: {error}") from error
        if envelope.type not in known:
            return None
        raise DecodeError(f"malformed {envelope.type}: {error}") from error


def _check_address(address: TransportAddress) -> None:
    try:
        ipaddress.ip_address(address.host)
    except ValueError as error:
        raise DecodeError(f"not an IP address: {address.host[:64]!r}") from error
    if not 0 <= address.port <= 65535:
        raise DecodeError(f"not a port: {address.port}")
