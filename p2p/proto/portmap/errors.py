"""How asking a router for a port fails."""

from __future__ import annotations

from typing import Final

from p2p.errors import ConnectivityError, ErrorCode

CODE_REFUSED: Final = ErrorCode(
    "P2P-4301", "Allow port mapping in the router's settings, or forward a UDP port by hand.", retryable=True
)
CODE_UNUSABLE: Final = ErrorCode(
    "P2P-4302", "Restart the router, or install a newer version of what runs on it.", retryable=True
)


class PortMappingError(ConnectivityError):
    """The router does not forward a port, or what it says cannot be used.

    Args:
        detail: What happened.
        upnp_code: The number of the UPnP error, where the router gave one.
        retry_after_s: How long the router asks us to wait, in seconds; None when it does not say.
    """

    default_code = CODE_REFUSED

    def __init__(
        self,
        detail: str = "",
        *,
        code: ErrorCode | None = None,
        upnp_code: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail, code=code)
        self.upnp_code = upnp_code
        self.retry_after_s = retry_after_s
