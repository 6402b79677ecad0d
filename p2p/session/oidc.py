"""OpenID Connect on the publisher's side: the client's secret is here, so codes are redeemed here."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import re
from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

from p2p.defaults import ISSUER_CLOCK_SKEW_S
from p2p.errors import DecodeError, IdentityError
from p2p.proto.login import Claims, OidcLogin, Redeem, Redeemed
from p2p.proto.publication import Jwk, decode_key_set_untrusted
from p2p.session.issuers import DISCOVERY, IssuerKeysError, fetch
from p2p.session.options import OidcOptions

logger = logging.getLogger(__name__)

_ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
_NOT_IN_A_HEADER: Final = re.compile(r"[\x00-\x1f\x7f]")
_CLAIM_MAX_CHARACTERS: Final = 255


class _Metadata(Struct):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
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
        self._keys: tuple[Jwk, ...] = ()

    async def read(self) -> OidcLogin:
        """Find out where visitors log in.

        Raises:
            IssuerKeysError: The issuer cannot be reached, or is none.

        Source: OpenID Connect Discovery 1.0 section 4.
        """
        options = self._options
        issuer = options.issuer.rstrip("/")
        data = await fetch(issuer + DISCOVERY)
        try:
            metadata = msgspec.json.decode(data or b"", type=_Metadata)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise IssuerKeysError(f"{issuer} is no issuer of OpenID Connect") from error
        if metadata.issuer.rstrip("/") != issuer:
            raise IssuerKeysError(f"{issuer} calls itself {metadata.issuer}")
        self._metadata = metadata
        await self._read_keys()
        rules = hashlib.sha256(msgspec.json.encode((issuer, sorted(options.allow)))).hexdigest()
        return OidcLogin(authorize=metadata.authorization_endpoint, client=options.client, rules=rules)

    async def redeem(self, question: Redeem) -> Redeemed:
        """Find out who brings a code, and whether that one may come."""
        try:
            claims = await self._claims(question)
            self._check_allowed(claims)
            who = _claims_for_gateway(claims)
        except (IdentityError, IssuerKeysError, msgspec.ValidationError) as error:
            logger.info("a login came to nothing: %s", error)
            who = None
        return Redeemed(number=question.number, claims=who)

    # --- inside ------------------------------------------------------------------------------------------------

    async def _read_keys(self) -> None:
        assert self._metadata is not None
        try:
            self._keys = decode_key_set_untrusted(await fetch(self._metadata.jwks_uri) or b"")
        except DecodeError as error:
            raise IssuerKeysError(f"{self._metadata.jwks_uri}: {error.detail}") from error

    async def _claims(self, question: Redeem) -> dict[str, Any]:
        if self._metadata is None:
            await self.read()
        token = await self._token(question)
        if not self._has_key_of(token):
            await self._read_keys()
        claims = self._verified(token)
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), question.nonce.encode()):
            raise IdentityError("the token is for another login")
        if claims.get("azp", self._options.client) != self._options.client:
            raise IdentityError("the token is for another client")
        return claims

    async def _token(self, question: Redeem) -> str:
        """Redeem a code. Source: OpenID Connect Core 1.0 section 3.1.3."""
        assert self._metadata is not None
        options = self._options
        form = {
            "grant_type": "authorization_code",
            "code": question.code,
            "redirect_uri": question.redirect,
            "code_verifier": question.verifier,
            "client_id": options.client,
        }
        headers = {"Accept": "application/json"}
        if options.secret and "client_secret_basic" in self._metadata.token_endpoint_auth_methods_supported:
            # RFC 6749 section 2.3.1: both are encoded as in a form first.
            pair = f"{quote(options.client, safe='')}:{quote(options.secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif options.secret:
            form["client_secret"] = options.secret
        data = await fetch(self._metadata.token_endpoint, form=form, headers=headers)
        try:
            return msgspec.json.decode(data or b"", type=_Tokens).id_token
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise IdentityError("the issuer gave no token for the code") from error

    def _has_key_of(self, token: str) -> bool:
        import jwt

        try:
            kid = jwt.get_unverified_header(token).get("kid")
        except jwt.PyJWTError as error:
            raise IdentityError("what the issuer gave is no token") from error
        return kid is None or any(key.kid == kid for key in self._keys)

    def _verified(self, token: str) -> dict[str, Any]:
        """Check a token. Source: OpenID Connect Core 1.0 section 3.1.3.7."""
        # A long import, for the few who need it.
        import jwt

        assert self._metadata is not None
        kid = jwt.get_unverified_header(token).get("kid")
        reason: Exception | None = None
        for key in self._keys:
            if kid not in (None, key.kid):
                continue
            try:
                return dict(
                    jwt.decode(
                        token,
                        jwt.PyJWK({name: value for name, value in msgspec.structs.asdict(key).items() if value}),
                        algorithms=_ALGORITHMS,
                        audience=self._options.client,
                        issuer=self._metadata.issuer,
                        leeway=ISSUER_CLOCK_SKEW_S,
                        options={"require": ["exp", "iat", "sub"]},
                    )
                )
            except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
                reason = error
        raise IdentityError(f"the issuer's token is not good: {reason or 'signed by a key that is not known'}")

    def _check_allowed(self, claims: dict[str, Any]) -> None:
        allow = self._options.allow
        if not allow:
            return
        email = _email(claims)
        names = {f"sub:{claims['sub']}", email, f"@{email.rpartition('@')[2]}"} if email else {f"sub:{claims['sub']}"}
        if not names & set(allow):
            raise IdentityError("somebody who may not come")


def _email(claims: dict[str, Any]) -> str:
    """The mail address, if the issuer says that it has checked it: otherwise anybody can write anybody's."""
    email = claims.get("email")
    is_checked = claims.get("email_verified") in (True, "true")
    return email.lower() if is_checked and isinstance(email, str) and "@" in email else ""


def _claims_for_gateway(claims: dict[str, Any]) -> Claims:
    name = claims.get("preferred_username") or claims.get("name") or ""
    said = {"subject": str(claims["sub"]), "email": _email(claims), "name": str(name)}
    return msgspec.convert(
        {key: _NOT_IN_A_HEADER.sub(" ", value)[:_CLAIM_MAX_CHARACTERS] for key, value in said.items()}, Claims
    )
