"""OpenID Connect on the publisher's side: the client's secret is here, so codes are redeemed here."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import re
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

from p2p.defaults import ISSUER_CLOCK_SKEW_S
from p2p.errors import ConfigError, IdentityError, IntegrityError
from p2p.proto.login import Claims, OidcLogin, Redeem, Redeemed
from p2p.proto.publication import Issuer
from p2p.session.issuers import Discovery, discover, fetch, fetch_keys
from p2p.session.options import OidcOptions
from p2p.tokens import TokenCheck, UnknownKeyError

logger = logging.getLogger(__name__)

_NOT_IN_A_HEADER: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""JSON can name half of a character, which no text of ours can hold."""
_CLAIM_MAX_CHARACTERS: Final = 255


class _Metadata(Discovery, kw_only=True):
    authorization_endpoint: str
    token_endpoint: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class _Tokens(Struct):
    id_token: str


class OidcProvider:
    """An issuer at which visitors log in with their browser.

    Args:
        options: Which one, and who may come.
    """

    def __init__(self, options: OidcOptions) -> None:
        self._options = options
        self._metadata: _Metadata | None = None
        self._tokens = TokenCheck(())

    async def read(self) -> OidcLogin:
        """Find out where visitors log in.

        Raises:
            ConfigError: The issuer cannot be reached, or is none, or one of its keys is none.
        """
        options = self._options
        metadata = self._metadata = await discover(options.issuer, _Metadata)
        await self._read_keys(metadata)
        rules = hashlib.sha256(msgspec.json.encode((options.issuer.rstrip("/"), sorted(options.allow)))).hexdigest()
        return OidcLogin(authorize=metadata.authorization_endpoint, client=options.client, rules=rules)

    async def redeem(self, question: Redeem) -> Redeemed:
        """Find out who brings a code, and whether that one may come."""
        try:
            claims = await self._claims(question)
            self._check_allowed(claims)
            who = _claims_for_gateway(claims)
        except (IdentityError, IntegrityError, ConfigError, msgspec.ValidationError) as error:
            logger.info("a login came to nothing: %s", error)
            who = None
        return Redeemed(number=question.number, claims=who)

    # --- inside ------------------------------------------------------------------------------------------------

    async def _read_keys(self, metadata: _Metadata) -> None:
        keys = await fetch_keys(metadata.jwks_uri)
        self._tokens = TokenCheck([Issuer(keys=keys, issuer=metadata.issuer, audience=(self._options.client,))])

    async def _claims(self, question: Redeem) -> Mapping[str, Any]:
        """Redeem a code, and check what comes for it. Source: OpenID Connect Core 1.0 section 3.1.3.7."""
        if self._metadata is None:
            await self.read()
        assert self._metadata is not None
        token, now_wall = await self._token(question, self._metadata), time.time()
        try:
            claims = self._tokens.check(token, now_wall)
        except UnknownKeyError:
            await self._read_keys(self._metadata)
            claims = self._tokens.check(token, now_wall)
        issued = claims.get("iat")
        if "sub" not in claims or not (isinstance(issued, int | float) and issued <= now_wall + ISSUER_CLOCK_SKEW_S):
            raise IdentityError("the token does not say who logged in, or when")
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(errors="replace"), question.nonce.encode()):
            raise IdentityError("the token is for another login")
        if claims.get("azp", self._options.client) != self._options.client:
            raise IdentityError("the token is for another client")
        return claims

    async def _token(self, question: Redeem, metadata: _Metadata) -> str:
        """Redeem a code. Source: OpenID Connect Core 1.0 section 3.1.3."""
        options = self._options
        form = {
            "grant_type": "authorization_code",
            "code": question.code,
            "redirect_uri": question.redirect,
            "code_verifier": question.verifier,
            "client_id": options.client,
        }
        headers = {"Accept": "application/json"}
        if options.secret and "client_secret_basic" in metadata.token_endpoint_auth_methods_supported:
            # RFC 6749 section 2.3.1: both are encoded as in a form first.
            pair = f"{quote(options.client, safe='')}:{quote(options.secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif options.secret:
            form["client_secret"] = options.secret
        data = await fetch(metadata.token_endpoint, form=form, headers=headers)
        try:
            return msgspec.json.decode(data or b"", type=_Tokens).id_token
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise IdentityError("the issuer gave no token for the code") from error

    def _check_allowed(self, claims: Mapping[str, Any]) -> None:
        allow = self._options.allow
        if not allow:
            return
        email = _email(claims)
        names = {f"sub:{claims['sub']}", email, f"@{email.rpartition('@')[2]}"} if email else {f"sub:{claims['sub']}"}
        if not names & set(allow):
            raise IdentityError("somebody who may not come")


def _email(claims: Mapping[str, Any]) -> str:
    """The mail address, if the issuer says that it has checked it: otherwise anybody can write anybody's."""
    email = claims.get("email")
    is_checked = claims.get("email_verified") in (True, "true")
    return email.lower() if is_checked and isinstance(email, str) and "@" in email else ""


def _claims_for_gateway(claims: Mapping[str, Any]) -> Claims:
    name = claims.get("preferred_username") or claims.get("name") or ""
    said = {"subject": str(claims["sub"]), "email": _email(claims), "name": str(name)}
    return msgspec.convert(
        {key: _NOT_IN_A_HEADER.sub(" ", value)[:_CLAIM_MAX_CHARACTERS] for key, value in said.items()}, Claims
    )
