"""What a gateway answers under its own name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from gateway.ingress.connection import SERVER

_ABOUT: Final = "This is a p2p gateway: services that their owners publish appear below this name.\n"


class OwnSite:
    """A page for whoever is curious, and a health endpoint for proxies in front.

    Args:
        is_draining: Whether visitors should go elsewhere.
    """

    def __init__(self, is_draining: Callable[[], bool]) -> None:
        self._is_draining = is_draining

    def __call__(self, request: web.BaseRequest) -> web.Response:
        """Answer a request for the gateway's own host name."""
        if request.path == "/healthz":
            status, text = (503, "draining\n") if self._is_draining() else (200, "ok\n")
        else:
            status, text = 200 if request.path == "/" else 404, _ABOUT
        return web.Response(status=status, text=text, headers={"Server": SERVER})
