"""The long-term credential mechanism, as a server.

Source: RFC 8489 section 9.2.4, RFC 8656 section 5.
"""

from __future__ import annotations

from typing import Final

from p2p.errors import IntegrityError
from p2p.proto.stun.attributes import (
    MD5_ALGORITHM,
    NONCE,
    PASSWORD_ALGORITHM,
    PASSWORD_ALGORITHMS,
    REALM,
    SHA256_ALGORITHM,
    USERHASH,
    USERNAME,
    PasswordAlgorithm,
)
from p2p.proto.stun.integrity import IntegrityAlgorithm, user_hash, verify
from p2p.proto.stun.message import AttributeValue, Message
from relay.core.allocation import Allocation
from relay.core.counters import RelayCounters
from relay.core.credentials import CredentialStore, LongTermKeys, UserKeys
from relay.core.five_tuple import FiveTuple
from relay.core.nonces import NonceSource
from relay.core.request import Proof, RefusedError, StunError

OFFERED_ALGORITHMS: Final = (SHA256_ALGORITHM, MD5_ALGORITHM)
"""How a client may make its key, the better one first. Source: RFC 8489 section 14.11."""


class Authenticator:
    """Finds out who sent a request.

    Time-limited credentials are good for making allocations until they expire; an allocation that exists can be kept
    alive with the credentials that made it, so that a relayed session outlives them.

    Args:
        realm: The relay's realm.
        credentials: Who may use the relay.
        nonces: Issues and checks nonces.
        counters: What is counted.
    """

    def __init__(
        self, *, realm: str, credentials: CredentialStore, nonces: NonceSource, counters: RelayCounters
    ) -> None:
        self._realm = realm
        self._counters = counters
        self.use(credentials, nonces)

    def use(self, credentials: CredentialStore, nonces: NonceSource) -> None:
        """Go by these from now on.

        Args:
            credentials: Who may use the relay.
            nonces: Issues and checks nonces; those of another source are stale.
        """
        self._credentials = credentials
        self._nonces = nonces

    def is_guess(self, message: Message, allocation: Allocation | None) -> bool:
        """Whether a request may be one of many that try passwords.

        Args:
            message: The request.
            allocation: The client's allocation, if there is one.
        """
        return message.has_integrity and allocation is None and self._credentials.is_guessable(message.get(USERNAME))

    def authenticate(
        self, message: Message, five_tuple: FiveTuple, allocation: Allocation | None, now_wall: float
    ) -> Proof:
        """Check a request in the order of the RFC.

        Args:
            message: The request.
            five_tuple: Where it came from.
            allocation: The client's allocation, if there is one.
            now_wall: Unix time in seconds.

        Raises:
            RefusedError: 400, 401 or 438, with what the client needs to try again.
        """
        if not message.has_integrity:
            # Not a failure: every client begins like this.
            raise self._challenge(StunError.UNAUTHENTICATED, "no credentials yet", five_tuple, now_wall)
        realm, nonce = message.get(REALM), message.get(NONCE)
        is_named = message.get(USERNAME) is not None or message.get(USERHASH) is not None
        if not is_named or realm is None or nonce is None:
            self._counters.authentication_failures["incomplete credentials"] += 1
            raise RefusedError(StunError.BAD_REQUEST, "incomplete credentials")
        algorithm = self._algorithm(message)
        try:
            user = self._user(message, allocation, now_wall)
        except IntegrityError as error:
            self._counters.authentication_failures[error.detail] += 1
            raise self._challenge(StunError.UNAUTHENTICATED, error.detail, five_tuple, now_wall) from error
        keys = _matching_keys(message, user.keys, algorithm)
        if keys is None:
            self._counters.authentication_failures["wrong password or realm"] += 1
            raise self._challenge(StunError.UNAUTHENTICATED, "wrong password or realm", five_tuple, now_wall)
        try:
            self._nonces.check(nonce, five_tuple.client, now_wall)
        except IntegrityError as error:
            self._counters.authentication_failures["stale nonce"] += 1
            raise self._challenge(StunError.STALE_NONCE, error.detail, five_tuple, now_wall) from error
        integrity = IntegrityAlgorithm.SHA256 if message.integrity_sha256_at else IntegrityAlgorithm.SHA1
        return Proof(user.username, user.quota_owner, keys, keys.of(algorithm), integrity)

    def _algorithm(self, message: Message) -> PasswordAlgorithm:
        """Find out how the client made its key. Source: RFC 8489 section 9.2.4, the checks on both attributes."""
        offered, chosen = message.get(PASSWORD_ALGORITHMS), message.get(PASSWORD_ALGORITHM)
        if offered is None and chosen is None:
            return MD5_ALGORITHM
        # Both or none, and the list as it was sent: else somebody on the way has made it shorter.
        if offered != OFFERED_ALGORITHMS or chosen not in OFFERED_ALGORITHMS:
            self._counters.authentication_failures["wrong password algorithms"] += 1
            raise RefusedError(StunError.BAD_REQUEST, "password algorithms that were not offered")
        return chosen

    def _user(self, message: Message, allocation: Allocation | None, now_wall: float) -> UserKeys:
        username, hashed = message.get(USERNAME), message.get(USERHASH)
        if allocation is not None and (
            allocation.owner == username or (username is None and hashed == user_hash(allocation.owner, self._realm))
        ):
            return UserKeys(allocation.owner, (allocation.keys,), allocation.quota_owner)
        if username is not None:
            return self._credentials.find(username, now_wall)
        assert hashed is not None
        return self._credentials.find_hashed(hashed, now_wall)

    def _challenge(self, number: StunError, detail: str, five_tuple: FiveTuple, now_wall: float) -> RefusedError:
        attributes: tuple[AttributeValue, ...] = (
            REALM(self._realm),
            NONCE(self._nonces.issue(five_tuple.client, now_wall)),
            PASSWORD_ALGORITHMS(OFFERED_ALGORITHMS),
        )
        return RefusedError(number, detail, *attributes)


def _matching_keys(
    message: Message, keys: tuple[LongTermKeys, ...], algorithm: PasswordAlgorithm
) -> LongTermKeys | None:
    for candidate in keys:
        try:
            verify(message, candidate.of(algorithm))
        except IntegrityError:
            continue
        return candidate
    return None
