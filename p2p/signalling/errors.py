"""The stable names of what can go wrong between a peer and its rendezvous."""

from __future__ import annotations

from typing import Final

from p2p.errors import ErrorCode, SignallingError
from p2p.proto.signalling.codes import SignallingCode

CODE_URL: Final = ErrorCode("P2P-1401", "Give the rendezvous as wss://host, wss://host:port or ws://host:port.")

CODE_UNREACHABLE: Final = ErrorCode(
    "P2P-3101", "Check the rendezvous URL, that the server runs, and that a firewall lets TCP through.", retryable=True
)
CODE_TLS: Final = ErrorCode("P2P-3102", "Check the server's certificate, or name its private CA with --ca-file.")
CODE_NO_RENDEZVOUS: Final = ErrorCode(
    "P2P-3103", "Check the rendezvous URL: something else answered there, or the server is full or going down.", True
)
CODE_CONNECTION_LOST: Final = ErrorCode("P2P-3104", "Wait: the connection is made again by itself.", retryable=True)
CODE_NO_ANSWER: Final = ErrorCode("P2P-3105", "Try again; if it stays, ask the operator of the server.", retryable=True)
CODE_NOT_OPEN: Final = ErrorCode("P2P-3106", "This is a bug in the caller: the client was used outside of its block.")

CODE_TOKEN_REQUIRED: Final = ErrorCode("P2P-3201", "Ask the operator of the server for a token; give it with --token.")
CODE_TOKEN_REFUSED: Final = ErrorCode("P2P-3202", "Ask the operator of the server for a new token.")
CODE_LOGIN_REFUSED: Final = ErrorCode("P2P-3203", "Use the server's own host name in the URL, and a current version.")
CODE_TAKEN_OVER: Final = ErrorCode(
    "P2P-3204", "Stop the other program that uses the same key, or use another key file."
)
CODE_NOT_ALLOWED: Final = ErrorCode(
    "P2P-3205", "Choose a service name that your token covers, or ask for another token."
)
CODE_RATE_LIMITED: Final = ErrorCode("P2P-3206", "Wait a little, then try again.", retryable=True)
CODE_TOO_MANY: Final = ErrorCode("P2P-3207", "Offer fewer services at once.")
CODE_SERVER: Final = ErrorCode("P2P-3208", "Report it to the operator of the server, with the text of the error.")

CODE_PEER_OFFLINE: Final = ErrorCode(
    "P2P-3301", "Start `p2p expose` on the other side, or wait for it.", retryable=True
)
CODE_PEER_SILENT: Final = ErrorCode(
    "P2P-3302",
    "Start `p2p expose --lan` on the other side, in the same network; if it runs, take the ticket that it prints now.",
    retryable=True,
)

_OF_WIRE: Final = {
    SignallingCode.TOKEN_REQUIRED: CODE_TOKEN_REQUIRED,
    SignallingCode.TOKEN_REFUSED: CODE_TOKEN_REFUSED,
    SignallingCode.BAD_SIGNATURE: CODE_LOGIN_REFUSED,
    SignallingCode.WRONG_HOST: CODE_LOGIN_REFUSED,
    SignallingCode.UNSUPPORTED_VERSION: CODE_LOGIN_REFUSED,
    SignallingCode.TAKEN_OVER: CODE_TAKEN_OVER,
    SignallingCode.NOT_ALLOWED: CODE_NOT_ALLOWED,
    SignallingCode.RATE_LIMITED: CODE_RATE_LIMITED,
    SignallingCode.TOO_MANY: CODE_TOO_MANY,
    SignallingCode.PEER_OFFLINE: CODE_PEER_OFFLINE,
    SignallingCode.DRAINING: CODE_CONNECTION_LOST,
    SignallingCode.SLOW_CONSUMER: CODE_CONNECTION_LOST,
    SignallingCode.TIMEOUT: CODE_CONNECTION_LOST,
    SignallingCode.LEAVING: CODE_CONNECTION_LOST,
}

LOGIN_REFUSALS: Final = frozenset({CODE_TOKEN_REQUIRED, CODE_TOKEN_REFUSED, CODE_LOGIN_REFUSED})
"""Codes that the same login would meet again."""


def error_of_wire(code: str, detail: str) -> SignallingError:
    """Translate what the server said into an error of ours.

    Args:
        code: From ``error`` or ``bye``; a newer server may know more codes than we do.
        detail: From the same message.
    """
    try:
        known = _OF_WIRE.get(SignallingCode(code), CODE_SERVER)
    except ValueError:
        known = CODE_SERVER
    return SignallingError(
        f"the rendezvous says {code}: {detail}" if detail else f"the rendezvous says {code}", code=known
    )
