"""What a publisher and a gateway tell each other, on the first flow of their session.

    publisher -> gateway:  publish                one service, and how the public may reach it
                           keys                   the issuers' keys have changed
                           redeemed               who a visitor is that has logged in
                           drain                  no new visitors, please
    gateway -> publisher:  published | refused    its URLs, or why not
    gateway -> publisher:  visited ...            each request or connection that has ended, for the user to see
                           keys_wanted            a visitor's token was signed by a key that is not known
                           redeem                 a visitor comes back from its login (``p2p.proto.login``)
                           drained                after ``drain``: all requests are answered

Each message is a line of JSON of at most 64 KiB. The service is on offer until the flow ends. Visitors arrive as
flows that the gateway opens; their header has the visitor's address as origin.
"""

from __future__ import annotations

import contextlib
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from p2p.errors import DecodeError
from p2p.proto.login import OidcLogin, Redeem, Redeemed
from p2p.proto.signalling.names import SERVICE_NAME_PATTERN

PUBLICATION_SERVICE: Final = "publication"
"""The service that the header of the publisher's flow names."""
LINE_MAX_BYTES: Final = 64 << 10
ISSUER_KEYS_MAX: Final = 16
"""Keys of one issuer: those in use, and those before and after them."""

_Text: TypeAlias = Annotated[str, Meta(max_length=255)]
_Texts: TypeAlias = Annotated[tuple[_Text, ...], Meta(max_length=64)]
_Port: TypeAlias = Annotated[int, Meta(ge=0, le=65_535)]
_Count: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000)]

Kind: TypeAlias = Literal["http", "tls", "tcpmux", "tcp", "udp"]
"""Virtual host of the gateway's HTTP server; TLS passed through by its server name; TCP by the name in an HTTP CONNECT;
a TCP or a UDP port."""


class Jwk(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The public half of an issuer's key, as RFC 7517 writes it; no member of a private key has a place here."""

    kty: Literal["RSA", "EC", "OKP"]
    kid: _Text = ""
    alg: _Text = ""
    crv: _Text = ""
    n: Annotated[str, Meta(max_length=1400)] = ""
    """The modulus of RSA, of 8192 bits at most."""
    e: _Text = ""
    x: _Text = ""
    y: _Text = ""


class Issuer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whose signed tokens (JWT, RFC 7519) let a visitor in."""

    keys: Annotated[tuple[Jwk, ...], Meta(max_length=ISSUER_KEYS_MAX)]
    issuer: _Text = ""
    """What ``iss`` must be; empty takes any."""
    audience: _Texts = ()
    """One of these must be in ``aud``; without any, only tokens without an audience are taken."""


_Issuers: TypeAlias = Annotated[tuple[Issuer, ...], Meta(max_length=4)]


class Webhook(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whose signature over the body lets a request in."""

    kind: Literal["github", "stripe", "hmac"]
    """How the signature is written: ``X-Hub-Signature-256``, ``Stripe-Signature``, or HMAC-SHA256 in any header."""
    secret: Annotated[str, Meta(min_length=1, max_length=255)]
    header: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{0,64}\Z")] = ""
    """For ``hmac``: where the signature is."""


class Access(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whom the gateway lets through to a service; empty lets everybody through."""

    allow: _Texts = ()
    """Networks (CIDR) of the visitors that may come; empty means all."""
    deny: _Texts = ()
    """Networks of visitors that may not, even if ``allow`` has them."""
    basic: _Texts = ()
    """``user:password`` pairs for HTTP basic authentication."""
    bearer: _Texts = ()
    """Tokens for HTTP bearer authentication."""
    jwt: _Issuers = ()
    """Issuers whose tokens are taken as bearer tokens as well."""
    webhooks: Annotated[tuple[Webhook, ...], Meta(max_length=8)] = ()
    """Whose signature over a request's body lets it in as well."""
    oidc: OidcLogin | None = None
    """Where visitors log in with their browser; it lets them in as well."""
    client_ca: Annotated[str, Meta(max_length=16_384)] = ""
    """Certificates (PEM) of those whose certificates let visitors in, over TLS that ends at the gateway; all must show
    one then."""
    requests_per_s: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0
    """New requests or connections of one address a second, with bursts of twice as many; 0 means any number."""
    connections: _Count = 0
    """Requests or connections of one address at a time; 0 means any number."""
    header_max_bytes: Annotated[int, Meta(ge=0)] = 0
    """The largest headers of a request; 0 means as many as the gateway takes."""
    body_max_bytes: Annotated[int, Meta(ge=0)] = 0
    """The largest body of a request; 0 means any size."""


class HeaderRule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A change to the headers of requests on their way to the service."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}\Z")]
    value: Annotated[str, Meta(pattern=r"^[ -~]{0,1024}\Z")] | None = None
    """What it is set to, whatever the visitor said; None removes it."""


class Health(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the gateway asks an instance whether it is well: any response below 400 says so."""

    path: Annotated[str, Meta(pattern=r"^/[!-~]{0,254}\Z")]
    interval_s: Annotated[float, Meta(ge=1, le=3600)] = 10.0


class Publish(Struct, frozen=True, kw_only=True, tag="publish", omit_defaults=True):
    """Put a service before the public."""

    service: Annotated[str, Meta(pattern=SERVICE_NAME_PATTERN)]
    """What the gateway names in the header of a visitor's flow."""
    kind: Kind = "http"
    name: Annotated[str, Meta(max_length=63)] = ""
    """The label in front of the gateway's domain; empty lets the gateway choose."""
    hosts: _Texts = ()
    """Whole host names of the publisher's own, instead of a name."""
    path: Annotated[str, Meta(pattern=r"^(/[A-Za-z0-9._~-]+)*\Z", max_length=255)] = ""
    """For ``http``: only requests below this path; others of the same publisher may have the rest of the host."""
    strips_path: bool = False
    """Whether the service is asked for what is below the path, as if there were none."""
    port: _Port = 0
    """For ``tcp`` and ``udp``: the port; 0 lets the gateway choose."""
    group: _Text = ""
    """A secret that several publishers of one name share; empty: all programs of one key."""
    weight: Annotated[int, Meta(ge=1, le=1000)] = 1
    """How many times as many visitors as an instance of weight 1."""
    wants_address: bool = False
    """Whether the service reads a PROXY header: then each visitor gets a connection of its own."""
    speaks_h2: bool = False
    """Whether the service speaks HTTP/2 without TLS, as servers of gRPC do."""
    access: Access = Access()
    health: Health | None = None
    """How this instance is asked whether it is well; None: it is not."""
    headers: Annotated[tuple[HeaderRule, ...], Meta(max_length=32)] = ()
    """Changes to the headers of requests, in this order, after the gateway's own."""


class Keys(Struct, frozen=True, kw_only=True, tag="keys"):
    """What ``Access.jwt`` is from now on: issuers have changed their keys."""

    jwt: _Issuers


class Drain(Struct, frozen=True, tag="drain"):
    """The program is about to end: it finishes what it has, and visitors go to other instances."""


class Published(Struct, frozen=True, kw_only=True, tag="published"):
    """The service is before the public."""

    urls: _Texts
    """Where: ``https://blog.example``, ``tcp://example:2222``, ``udp://example:9000``."""
    instances: int = 1
    """How many instances serve the name now, this one included."""


class Refused(Struct, frozen=True, kw_only=True, tag="refused"):
    """The service is not put before the public."""

    reason: _Text
    """For the publisher's user."""
    is_final: bool = True
    """Whether asking again is no use."""


class Visited(Struct, frozen=True, kw_only=True, tag="visited", omit_defaults=True):
    """A visitor's request or connection has ended."""

    visitor: _Text
    """Its address."""
    took_s: float
    summary: Annotated[str, Meta(max_length=512)] = ""
    """Method and path of a request."""
    status: int = 0
    """Of the response; 0 for a connection."""


class KeysWanted(Struct, frozen=True, tag="keys_wanted"):
    """A token names a key that the gateway was not given."""


class Drained(Struct, frozen=True, tag="drained"):
    """No request is under way to this instance, and none will come; connections that were handed over may be open."""


PublisherMessage: TypeAlias = Publish | Keys | Drain | Redeemed
GatewayMessage: TypeAlias = Published | Refused | Visited | KeysWanted | Drained | Redeem

_encoder: Final = msgspec.json.Encoder()
_publisher_decoder: Final[msgspec.json.Decoder[PublisherMessage]] = msgspec.json.Decoder(PublisherMessage)
_gateway_decoder: Final[msgspec.json.Decoder[GatewayMessage]] = msgspec.json.Decoder(GatewayMessage)


def encode_line(message: PublisherMessage | GatewayMessage) -> bytes:
    """Write a message as a line."""
    return _encoder.encode(message) + b"\n"


def decode_publisher_line_untrusted(line: bytes) -> PublisherMessage:
    """Read what a publisher says.

    Raises:
        DecodeError: It is no message of a publisher.
    """
    try:
        return _publisher_decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(f"not a message of a publisher: {error}") from error


def decode_gateway_line_untrusted(line: bytes) -> GatewayMessage:
    """Read what a gateway says.

    Raises:
        DecodeError: It is no message of a gateway.
    """
    try:
        return _gateway_decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(f"not a message of a gateway: {error}") from error


class _KeySet(Struct):
    keys: Annotated[list[dict[str, object]], Meta(max_length=256)]


_key_set_decoder: Final = msgspec.json.Decoder(_KeySet)


def decode_key_set_untrusted(data: bytes) -> tuple[Jwk, ...]:
    """Read an issuer's key set; keys of other kinds and for other uses are left out, and private members too.

    Raises:
        DecodeError: It is none, or has no key that signs tokens.

    Source: RFC 7517 section 5.
    """
    try:
        known = _key_set_decoder.decode(data).keys
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"not a key set: {error}") from error
    found = []
    for key in known:
        if key.get("use", "sig") == "sig":
            with contextlib.suppress(msgspec.ValidationError):
                found.append(msgspec.convert(key, Jwk))
    if not 0 < len(found) <= ISSUER_KEYS_MAX:
        raise DecodeError(f"a key set of {len(found)} keys that sign tokens, and it should have 1 to {ISSUER_KEYS_MAX}")
    return tuple(found)
