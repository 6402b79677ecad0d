"""Logins of browsers by OpenID Connect: what a publisher and a gateway tell each other.

publisher -> gateway:  with what it publishes, where visitors log in
gateway -> publisher:  redeem      the code that a visitor brought back
publisher -> gateway:  redeemed    who that is, or nobody
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

_Url: TypeAlias = Annotated[str, Meta(pattern=r"^https?://[!-~]{1,1000}\Z")]
_Line: TypeAlias = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{0,255}\Z")]
"""Fits into a header."""
_Secret: TypeAlias = Annotated[str, Meta(pattern=r"^[!-~]{1,4096}\Z")]
_Number: TypeAlias = Annotated[int, Meta(ge=0)]


class OidcLogin(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where visitors log in with their browser; the client's secret stays with the publisher, which redeems codes."""

    authorize: _Url
    """The authorization endpoint of the issuer."""
    client: Annotated[str, Meta(min_length=1, max_length=255)]
    """By which name the issuer knows the service."""
    scopes: Annotated[str, Meta(pattern=r"^[!-~ ]{1,255}\Z")] = "openid email profile"
    rules: Annotated[str, Meta(max_length=64)] = ""
    """Another text whenever others may come than before, so that logins by the old rules count no more."""


class Claims(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who a visitor is, by its issuer's word."""

    subject: Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{1,255}\Z")]
    """What the issuer calls it, for ever the same."""
    email: _Line = ""
    """Empty unless the issuer has checked that it is the visitor's."""
    name: _Line = ""


class Redeem(Struct, frozen=True, kw_only=True, tag="redeem"):
    """A visitor comes back from its login."""

    number: _Number
    """Which question this is."""
    code: _Secret
    verifier: _Secret
    """Proves that the same gateway asked (RFC 7636)."""
    nonce: _Secret
    """Has to be in the token."""
    redirect: _Url
    """Where the visitor was sent back to; the issuer compares it."""


class Redeemed(Struct, frozen=True, kw_only=True, tag="redeemed", omit_defaults=True):
    """What came of it."""

    number: _Number
    claims: Claims | None = None
    """Who it is; None: nobody who may come."""
