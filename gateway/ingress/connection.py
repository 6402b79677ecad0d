"""What is known of the connection that a request came on."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeAlias

from aiohttp import web

from gateway.core.audit import Record
from gateway.core.client_certificates import ClientCertificate
from gateway.ingress.front import Arrival


class Connection(NamedTuple):
    """A visitor's connection that HTTP is spoken on.

    Attributes:
        arrival: Where it came from.
        scheme: ``http``, or ``https`` when TLS ends here.
        client: The certificate that the visitor has shown, if it had to.
    """

    arrival: Arrival
    scheme: str
    client: ClientCertificate | None = None


class Tls(NamedTuple):
    """How TLS ends here.

    Attributes:
        context: With the certificate for the name that the visitor asked for.
        authorities: Those who signed the visitor's own certificate (PEM), if it must show one.
    """

    context: ssl.SSLContext
    authorities: str = ""


CONNECTION: Final = web.RequestKey("connection", Connection)
"""Where a request holds its connection."""
RECORD: Final = web.RequestKey("record", Record)
"""Where a request holds what the audit log will say of it."""
SERVER: Final = "p2p-gateway"
"""What our own responses say of us."""
KEEP_ALIVE_S: Final = 75.0
"""How long a connection may be without a whole request."""

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""Answers a request."""
