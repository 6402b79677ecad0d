"""The proof of a key at login."""

from __future__ import annotations

from p2p.errors import IdentityError, IntegrityError
from p2p.identity import PeerId
from p2p.proto.signalling.codes import SignallingCode
from p2p.proto.signalling.messages import PROTOCOL_VERSION, Challenge, Login, login_transcript
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
        if login.version != PROTOCOL_VERSION:
            raise Refusal(SignallingCode.UNSUPPORTED_VERSION, f"this server speaks version {PROTOCOL_VERSION}")
        if self._names and login.host.lower().rstrip(".") not in self._names:
            raise Refusal(SignallingCode.WRONG_HOST, f"this server is not {login.host[:64]!r}")
        try:
            peer_id = PeerId.parse(login.peer)
            peer_id.verify(
                login.signature, login_transcript(self._nonce, peer_id.public_key, login.host, login.instance)
            )
        except (IdentityError, IntegrityError) as error:
            raise Refusal(SignallingCode.BAD_SIGNATURE, "the login is not signed by the key it names") from error
        return Seat(peer_id, login.instance)
