"""Running a rendezvous until the service manager wants it to stop."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from p2p.aio.loop import StopSignals
from p2p.errors import ConfigError
from rendezvous import config_file
from rendezvous.config import RendezvousConfig
from rendezvous.service import RendezvousService

logger = logging.getLogger(__name__)


async def serve(path: Path) -> None:
    """Serve until SIGTERM or SIGINT: the first one drains, the second one ends at once. SIGHUP reads the file again.

    Args:
        path: The configuration file.

    Raises:
        ConfigError: The file is wrong, or an address cannot be used.
    """
    config = config_file.load(path)
    for warning in config_file.warnings(config, path):
        logger.warning("%s", warning)
    async with RendezvousService(config) as service:
        with StopSignals(partial(_reload, service, path)) as signals:
            await signals.serve(service.drain)


def _reload(service: RendezvousService, path: Path) -> None:
    try:
        service.reload(config_file.load(path))
    except ConfigError as error:
        # A server that runs is worth more than one that stops over a typing error.
        logger.warning("the configuration stays as it was: %s", error)


def describe(config: RendezvousConfig) -> list[str]:
    """Sum a configuration up in lines for a person, without secrets."""
    stun = "none"
    if config.stun is not None:
        ports = ", ".join(str(port) for port in (config.stun.port, config.stun.alternate_port) if port)
        stun = f"{', '.join(config.stun.addresses)}, ports {ports}"
    return [
        f"signalling without TLS  {', '.join(map(str, config.listen)) or 'none'}",
        f"signalling with TLS     {', '.join(map(str, config.listen_tls)) or 'none'}",
        f"host names              {', '.join(sorted(config.names)) or 'any'}",
        f"STUN                    {stun}",
        f"relays                  {_relays(config)}",
        f"admission               {'open' if config.is_open else 'by token'}, {len(config.tokens)} tokens",
    ]


def _relays(config: RendezvousConfig) -> str:
    named = ", ".join(config.relay_urls)
    if not config.relay_secret:
        return named or "none"
    return f"{named}, and those that report" if named else "those that report"
