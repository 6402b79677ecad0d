"""An issuer of tokens."""

from __future__ import annotations

import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from p2p.proto.publication import Jwk, decode_key_set_untrusted

_MAKE = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


class SigningKey:
    """A key of an issuer."""

    def __init__(self, algorithm: str, kid: str = "") -> None:
        self._algorithm = algorithm
        self._private: Any = _MAKE[algorithm]()
        public = json.loads(get_default_algorithms()[algorithm].to_jwk(self._private.public_key()))
        self.jwk = {**public, "alg": algorithm, **({"kid": kid} if kid else {})}

    @property
    def public(self) -> Jwk:
        """What the gateway gets."""
        return decode_key_set_untrusted(key_set(self))[0]

    def token(self, *, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """Sign claims."""
        kid = {"kid": self.jwk["kid"]} if "kid" in self.jwk else {}
        return jwt.encode(claims, self._private, algorithm=self._algorithm, headers={**kid, **(headers or {})})


def key_set(*keys: SigningKey) -> bytes:
    """Write a key set."""
    return json.dumps({"keys": [key.jwk for key in keys]}).encode()
