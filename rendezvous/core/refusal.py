"""How the core says no: a code that goes to the client and a detail that explains it."""

from __future__ import annotations

from p2p.errors import SignallingError
from p2p.proto.signalling.codes import SignallingCode


class Refusal(SignallingError):
    """A request that is answered with ``error``, or a login that is answered with ``bye``.

    Args:
        wire_code: What the client is told.
        detail: A few words for a person; goes to the client too, so it holds no secret.
    """

    def __init__(self, wire_code: SignallingCode, detail: str) -> None:
        super().__init__(detail)
        self.wire_code = wire_code
