"""How a STUN request fails."""

from __future__ import annotations

from typing import Final

from p2p.errors import ErrorCode

CODE_NO_ANSWER: Final = ErrorCode(
    "P2P-4201", "Check that the STUN server runs at this address and that UDP to it is not blocked.", retryable=True
)
CODE_REFUSED: Final = ErrorCode("P2P-4202", "Use another STUN server, or see this one's log for why it refused.")
