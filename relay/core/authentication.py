"""The long-term credential mechanism, as a server.

Source: RFC 8489 section 9.2.4, RFC 8656 section 5.
"""

from __future__ import annotations

from p2p.errors import IntegrityError
from p2p.proto.stun.attributes import NONCE, PASSWORD_ALGORITHM, REALM, USERNAME
from p2p.proto.stun.integrity import IntegrityAlgorithm, verify
from p2p.proto.stun.message import AttributeValue, Message
from relay.core.allocation import Allocation
from relay.core.counters import RelayCounters
from relay.core.credentials import CredentialStore, UserKeys
from relay.core.five_tuple import FiveTuple
from relay.core.nonces import NonceSource
from relay.core.request import Proof, RefusedError, StunError


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
        self._credentials = credentials
        self._nonces = nonces
        self._counters = counters

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
        username, realm, nonce = message.get(USERNAME), message.get(REALM), message.get(NONCE)
        if username is None or realm is None or nonce is None or message.get(PASSWORD_ALGORITHM) is not None:
            # No password algorithm was offered, so none can have been chosen.
            self._counters.authentication_failures["incomplete credentials"] += 1
            raise RefusedError(StunError.BAD_REQUEST, "incomplete credentials")
        try:
            user = self._user(username, allocation, now_wall)
        except IntegrityError as error:
            self._counters.authentication_failures[error.detail] += 1
            raise self._challenge(StunError.UNAUTHENTICATED, error.detail, five_tuple, now_wall) from error
        key = _matching_key(message, user.keys)
        if key is None:
            self._counters.authentication_failures["wrong password or realm"] += 1
            raise self._challenge(StunError.UNAUTHENTICATED, "wrong password or realm", five_tuple, now_wall)
        try:
            self._nonces.check(nonce, five_tuple.client, now_wall)
        except IntegrityError as error:
            self._counters.authentication_failures["stale nonce"] += 1
            raise self._challenge(StunError.STALE_NONCE, error.detail, five_tuple, now_wall) from error
        algorithm = IntegrityAlgorithm.SHA256 if message.integrity_sha256_at else IntegrityAlgorithm.SHA1
        return Proof(username, user.quota_owner, key, algorithm)

    def _user(self, username: str, allocation: Allocation | None, now_wall: float) -> UserKeys:
        if allocation is not None and allocation.owner == username:
            return UserKeys((allocation.key,), allocation.quota_owner)
        return self._credentials.find(username, now_wall)

    def _challenge(self, number: StunError, detail: str, five_tuple: FiveTuple, now_wall: float) -> RefusedError:
        attributes: tuple[AttributeValue, ...] = (
            REALM(self._realm),
            NONCE(self._nonces.issue(five_tuple.client, now_wall)),
        )
        return RefusedError(number, detail, *attributes)


def _matching_key(message: Message, keys: tuple[bytes, ...]) -> bytes | None:
    for key in keys:
        try:
            verify(message, key)
        except IntegrityError:
            continue
        return key
    return None
