"""Running a relay until the service manager wants it to stop."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, start_http_server

from p2p.address import TransportAddress
from p2p.aio.loop import StopSignals
from p2p.errors import ConfigError, ConnectivityError, ErrorCode
from relay import config_file
from relay.service import RelayService

logger = logging.getLogger(__name__)

CODE_METRICS: Final = ErrorCode("P2P-5305", "Choose another address for the relay's metrics.")


async def serve(path: Path) -> None:
    """Serve until SIGTERM or SIGINT: the first one drains, the second one ends at once. SIGHUP reads the certificate.

    Args:
        path: The configuration file.

    Raises:
        ConfigError: The file is wrong.
        ConnectivityError: An address cannot be used.
    """
    config = config_file.load(path)
    for warning in config_file.warnings(config, path):
        logger.warning("%s", warning)
    registry = CollectorRegistry()
    async with RelayService(config, registry=registry) as service:
        for line in config_file.describe(config):
            logger.info("%s", line)
        with StopSignals(partial(_reload, service)) as signals, _metrics_server(config.metrics, registry):
            await signals.serve(partial(service.drain, config.drain_s))


def _reload(service: RelayService) -> None:
    try:
        service.reload_tls()
    except ConfigError as error:
        # A relay that runs is worth more than one that stops over a file that is being replaced.
        logger.warning("the certificate stays as it was: %s", error)


@contextlib.contextmanager
def _metrics_server(address: TransportAddress | None, registry: CollectorRegistry) -> Iterator[None]:
    """Serve metrics from a thread of their own, so that a slow reader never meets the data path."""
    if address is None:
        yield
        return
    try:
        server, thread = start_http_server(address.port, address.host, registry)
    except OSError as error:
        raise ConnectivityError(f"cannot serve metrics on {address}: {error}", code=CODE_METRICS) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
