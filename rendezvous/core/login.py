"""The proof of a key at login."""

from __future__ import annotations

from p2p.defaults import EARLY_LOGIN_SKEW_S, EARLY_LOGINS_REMEMBERED
from p2p.errors import IdentityError, IntegrityError
from p2p.identity import PeerId
from p2p.proto.signalling.codes import SignallingCode
from p2p.proto.signalling.messages import PROTOCOL_VERSION, Challenge, Login, login_transcript
from rendezvous.core.freshness import FreshNonces
from rendezvous.core.refusal import Refusal
from rendezvous.core.registry import Seat


class LoginChallenge:
    """One challenge of one connection. It can be answered once, rightly or wrongly.

    Args:
        nonce: 32 random bytes that were never used before.
        names: The host names of this server; empty accepts what any client signed for.
    """

    __slots__ = ("_is_used", "_names", "_nonce")

    def __init__(self, nonce: bytes, names: frozenset[str]) -> None:
        self._nonce = nonce
        self._names = names
        self._is_used = False

    def message(self) -> Challenge:
        """The message that opens the connection."""
        return Challenge(version=PROTOCOL_VERSION, nonce=self._nonce)

    def withdraw(self) -> None:
        """Take no answer any more: the client has logged in without the challenge."""
        self._is_used = True

    def verify(self, login: Login) -> Seat:
        """Check the answer.

        Returns:
            Whose key it is, and which of its programs.

        Raises:
            Refusal: The challenge was answered before, or the answer is wrong.
        """
        if self._is_used:
            raise Refusal(SignallingCode.UNEXPECTED, "this connection has been logged in already")
        self._is_used = True
        return _proven_seat(login, self._nonce, self._names, is_early=False)


class EarlyLogins:
    """Takes logins that came with the upgrade: each once, while it is fresh.

    Args:
        now_wall: When the server started, Unix seconds.
    """

    def __init__(self, now_wall: float) -> None:
        self._nonces = FreshNonces(now_wall, skew_s=EARLY_LOGIN_SKEW_S, limit=EARLY_LOGINS_REMEMBERED)

    def verify(self, login: Login, *, names: frozenset[str], now_wall: float) -> Seat | None:
        """Check an early login.

        Args:
            login: With a nonce.
            names: The host names of this server; empty accepts what any client signed for.
            now_wall: The present, Unix seconds.

        Returns:
            Whose key it is; None when a challenge must decide, because of the clocks, a repetition, or a mistake.
        """
        if login.nonce is None or not self._nonces.is_fresh(login.nonce, now_wall):
            return None
        try:
            seat = _proven_seat(login, login.nonce, names, is_early=True)
        except Refusal:
            return None
        self._nonces.use(login.nonce)
        return seat


def _proven_seat(login: Login, nonce: bytes, names: frozenset[str], *, is_early: bool) -> Seat:
    """Whose key it is, and which of its programs, if the login is for this server and signed by that key."""
    if login.version != PROTOCOL_VERSION:
        raise Refusal(SignallingCode.UNSUPPORTED_VERSION, f"this server speaks version {PROTOCOL_VERSION}")
    if names and login.host.lower().rstrip(".") not in names:
        raise Refusal(SignallingCode.WRONG_HOST, f"this server is not {login.host[:64]!r}")
    try:
        peer_id = PeerId.parse(login.peer)
        signed = login_transcript(nonce, peer_id.public_key, login.host, login.instance, is_early=is_early)
        peer_id.verify(login.signature, signed)
    except (IdentityError, IntegrityError) as error:
        raise Refusal(SignallingCode.BAD_SIGNATURE, "the login is not signed by the key it names") from error
    return Seat(peer_id, login.instance)
