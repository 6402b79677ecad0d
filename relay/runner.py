"""Running a relay until the service manager wants it to stop."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, start_http_server

from p2p.address import TransportAddress
from p2p.aio.control_socket import Command, ControlSocket
from p2p.aio.descriptors import raise_descriptor_limit
from p2p.aio.loop import StopSignals
from p2p.errors import ConnectivityError, ErrorCode, P2PError
from relay import config_file, log
from relay.config import RelayConfig
from relay.control_socket import RELAY
from relay.parts import part_of
from relay.service import RelayService
from relay.shell.share import Share

if TYPE_CHECKING:
    from relay.reporting import Reporter

logger = logging.getLogger(__name__)

CODE_METRICS: Final = ErrorCode("P2P-5305", "Choose another address for the relay's metrics.")


async def serve(path: Path, *, verbose: bool = False, share: Share | None = None) -> None:
    """Serve until SIGTERM or SIGINT: the first one drains, the second one ends at once. SIGHUP reads the file again.

    Args:
        path: The configuration file.
        verbose: Whether to log details.
        share: What this process has in common with other workers; None serves alone.

    Raises:
        ConfigError: The file is wrong.
        ConnectivityError: An address cannot be used.
    """
    load = partial(_load, path, share)
    config = load()
    raise_descriptor_limit()
    log.set_up(config.log, verbose=verbose)
    speaks_for_all = share is None or share.index == 0
    for warning in config_file.warnings(config, path) if speaks_for_all else ():
        logger.warning("%s", warning)
    registry = CollectorRegistry()
    async with contextlib.AsyncExitStack() as stack:
        service = await stack.enter_async_context(RelayService(config, registry=registry, share=share))
        reload = partial(_reload, service, load, path)
        signals = stack.enter_context(StopSignals(reload))
        stack.enter_context(_metrics_server(config.metrics, registry))
        reporter = await _start_reports(stack, service, registry)
        if config.control is not None:
            commands: dict[str, Command] = {
                "status": lambda: {"pid": os.getpid(), **service.status(), **_reports(reporter)},
                "reload": reload,
                "drain": partial(_drain, service, signals if share is None else None),
            }
            await stack.enter_async_context(ControlSocket(config.control, commands, RELAY))
        for line in config_file.describe(config) if speaks_for_all else ():
            logger.info("%s", line)
        await signals.serve(lambda: service.drain(service.config.drain_s))


def _load(path: Path, share: Share | None) -> RelayConfig:
    config = config_file.load(path)
    return config if share is None else part_of(config, share)


def _reload(service: RelayService, load: Callable[[], RelayConfig], path: Path) -> dict[str, Any]:
    try:
        config = load()
        needs_restart = service.reload(config)
    except P2PError as error:
        # A relay that runs is worth more than one that stops over a file that is being replaced.
        logger.warning("the configuration stays as it was: %s", error)
        return {"error": f"the configuration stays as it was: {error}"}
    for warning in config_file.warnings(config, path):
        logger.warning("%s", warning)
    if needs_restart:
        logger.warning("changed, and needs a restart: %s", ", ".join(needs_restart))
    logger.info("configuration read again")
    return {"reloaded": True, "needs_restart": list(needs_restart)}


async def _start_reports(
    stack: contextlib.AsyncExitStack, service: RelayService, registry: CollectorRegistry
) -> Reporter | None:
    if not service.config.report_to:
        return None
    # Not before it is needed: an HTTP client costs 10 MiB and a tenth of a second of every start.
    from relay.reporting import Reporter

    return await stack.enter_async_context(Reporter(service, registry))


def _reports(reporter: Reporter | None) -> dict[str, Any]:
    """What rendezvous servers were told, for the status."""
    if reporter is None:
        return {"region": "", "reports": {}}
    reports: dict[str, dict[str, int]] = {}
    for (url, result), count in reporter.results.items():
        reports.setdefault(url, {"taken": 0, "failed": 0})[result] = count
    return {"region": reporter.region, "reports": reports}


def _drain(service: RelayService, signals: StopSignals | None) -> dict[str, Any]:
    """Drain this process, or all workers if it is one of several: the parent would start it again."""
    if signals is not None:
        signals.stop()
    else:
        os.kill(os.getppid(), signal.SIGTERM)
    return {"draining": True, "allocations": service.allocations, "within_s": service.config.drain_s}


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
