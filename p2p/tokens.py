"""Signed tokens (JWT) with which visitors log in: their own at a gateway, an issuer's where codes are redeemed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import jwt
import msgspec

from p2p.defaults import ISSUER_CLOCK_SKEW_S
from p2p.errors import ConfigError, IntegrityError
from p2p.proto.publication import Issuer, Jwk

_ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
"""Public keys only: with a shared secret whoever checks tokens could make them, too."""


class UnknownKeyError(IntegrityError):
    """A token was signed by a key that we do not have, perhaps a new one of the issuer."""


class TokenCheck:
    """Checks tokens of some issuers.

    Args:
        issuers: With their keys.

    Raises:
        ConfigError: A key is none.
    """

    def __init__(self, issuers: Sequence[Issuer]) -> None:
        self._issuers = [(issuer, _keys(issuer.keys)) for issuer in issuers]

    def check(self, token: str, now_wall: float) -> Mapping[str, Any]:
        """Check a token's signature, times, issuer and audience.

        Args:
            token: As it came, of a length that the caller finds reasonable.
            now_wall: Unix time in seconds.

        Returns:
            What it claims.

        Raises:
            UnknownKeyError: No issuer has the key that it names.
            IntegrityError: It is not good.

        Source: RFC 7519 section 7.2, RFC 8725 section 3.
        """
        try:
            header = jwt.get_unverified_header(token)
        except _NOT_GOOD as error:
            raise IntegrityError(f"not a token: {error}") from error
        candidates = [(issuer, key) for issuer, keys in self._issuers for key in keys if _may_be(key, header)]
        if not candidates:
            raise UnknownKeyError("signed by a key that is not known")
        reason: Exception | None = None
        for issuer, key in candidates:
            try:
                claims = _claims(token, key, issuer)
                _check_times(claims, now_wall)
            except _NOT_GOOD as error:
                reason = error
            else:
                return claims
        raise IntegrityError(f"a token that is not good: {reason}") from reason


_NOT_GOOD: Final = (jwt.PyJWTError, ValueError, TypeError, RecursionError, IntegrityError)
"""What the library raises for the tokens of strangers: JSON nested a thousand deep is among them."""


def _keys(keys: Sequence[Jwk]) -> list[jwt.PyJWK]:
    parsed = []
    for key in keys:
        try:
            parsed.append(jwt.PyJWK({name: value for name, value in msgspec.structs.asdict(key).items() if value}))
        except jwt.PyJWKError:
            continue  # an issuer may have keys for other algorithms beside, of which the library knows some
        except (jwt.PyJWTError, ValueError) as error:
            raise ConfigError(f"an issuer's key cannot be used: {error}") from error
    return [key for key in parsed if key.algorithm_name in _ALGORITHMS]


def _may_be(key: jwt.PyJWK, header: Mapping[str, Any]) -> bool:
    return key.algorithm_name == header.get("alg") and header.get("kid") in (None, key.key_id)


def _claims(token: str, key: jwt.PyJWK, issuer: Issuer) -> Mapping[str, Any]:
    return jwt.decode(
        token,
        key,
        algorithms=_ALGORITHMS,
        audience=issuer.audience or None,
        issuer=issuer.issuer or None,
        options={
            "require": ["exp"],
            "enforce_minimum_key_length": True,
            # The library asks the clock itself; here the time is told.
            "verify_exp": False,
            "verify_nbf": False,
            "verify_iat": False,
        },
    )


def _check_times(claims: Mapping[str, Any], now_wall: float) -> None:
    if not float(claims["exp"]) + ISSUER_CLOCK_SKEW_S > now_wall:
        raise IntegrityError("it has expired")
    if float(claims.get("nbf", 0)) - ISSUER_CLOCK_SKEW_S > now_wall:
        raise IntegrityError("it is not valid yet")
