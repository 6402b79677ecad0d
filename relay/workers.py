"""One relay in several processes: a parent that holds the sockets, and workers that use them.

The kernel gives each UDP client to one worker, by a hash of its address. The parent's sockets outlive a worker, so one
that is started again has the clients that it had before, and nobody else's clients move.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from p2p.address import TransportAddress
from p2p.aio import loop
from p2p.aio.udp_options import bind
from p2p.defaults import RELAY_WORKER_STARTS_S
from p2p.errors import ConfigError, P2PError
from relay import config_file, log, runner
from relay.config import RelayConfig
from relay.shell.share import PortParts, Share
from relay.shell.stream_listener import listen

logger = logging.getLogger(__name__)

_WATCHED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_PR_SET_PDEATHSIG: Final = 1


def run(path: Path, *, verbose: bool = False) -> int:
    """Run the relay that a configuration file describes, until a signal ends it.

    Args:
        path: The configuration file.
        verbose: Whether to log details.

    Returns:
        The exit status.

    Raises:
        ConfigError: The file is wrong.
        ConnectivityError: An address cannot be used.
    """
    config = config_file.load(path)
    if config.workers == 1:
        loop.run(runner.serve(path, verbose=verbose))
        return 0
    if sys.platform != "linux":
        raise ConfigError("workers: only Linux shares the clients of one port among several processes")
    log.set_up(config.log, verbose=verbose)
    return Supervisor(path, config, verbose=verbose).run()


class Supervisor:
    """Starts the workers, passes signals on to them, and starts again those that die.

    Args:
        path: The configuration file, which workers read for themselves.
        config: What it said when the relay was started.
        verbose: Whether to log details.

    Raises:
        ConnectivityError: An address cannot be used.
    """

    def __init__(self, path: Path, config: RelayConfig, *, verbose: bool = False) -> None:
        self._path = path
        self._verbose = verbose
        self._count = config.workers
        self._ports = PortParts(first=config.port_first, last=config.port_last, count=config.workers)
        self._udp = dict(_bind_shared(address, config.workers) for address in config.udp)
        listeners = [listen(address) for address in (*config.tcp, *config.tls)]
        self._tcp = dict(zip((*config.tcp, *config.tls), listeners, strict=True))
        self._mailboxes = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(config.workers)]
        self._workers: dict[int, tuple[int, float]] = {}
        self._is_stopping = False
        self._status = 0

    def run(self) -> int:
        """Run until all workers have ended; return the exit status."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        for index in range(self._count):
            self._start(index)
        logger.info("%d workers", self._count)
        while self._workers:
            number = signal.sigwait(_WATCHED)
            if number == signal.SIGCHLD:
                self._reap()
            elif number == signal.SIGHUP:
                self._tell(number)
            else:
                self._is_stopping = True
                self._tell(signal.SIGTERM)
        return self._status

    def _start(self, index: int) -> None:
        pid = os.fork()
        if pid:
            self._workers[pid] = (index, time.monotonic())
            return
        status = 1
        try:
            status = self._work(index)
        finally:
            os._exit(status)

    def _work(self, index: int) -> int:
        """Be a worker."""
        os.setpgid(0, 0)  # what is typed at a terminal reaches the parent, who tells the workers
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
        share = Share(index=index, ports=self._ports, udp=self._udp, tcp=self._tcp, mailboxes=self._mailboxes)
        try:
            loop.run(runner.serve(self._path, verbose=self._verbose, share=share))
        except P2PError as error:
            logger.warning("worker %d cannot serve: %s (%s)", index, error, error.hint)
            return error.exit_code
        except Exception:
            logger.exception("worker %d", index)
            return 1
        return 0

    def _reap(self) -> None:
        while self._workers:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            index, started_at = self._workers.pop(pid, (-1, 0.0))
            if index < 0 or self._is_stopping:
                continue
            code = os.waitstatus_to_exitcode(status)
            if code > 0 and time.monotonic() - started_at < RELAY_WORKER_STARTS_S:
                # It could not even start, and would not the next time.
                self._status, self._is_stopping = code, True
                self._tell(signal.SIGTERM)
                continue
            logger.warning("worker %d ended with %d and is started again", index, code)
            self._start(index)

    def _tell(self, number: int) -> None:
        for pid in self._workers:
            os.kill(pid, number)


def _bind_shared(address: TransportAddress, count: int) -> tuple[TransportAddress, Sequence[socket.socket]]:
    """Bind a socket for each worker; return them under the address as it was asked for."""
    bind(address).close()  # sharing would let two relays of one user have the same port without knowing
    first = bind(address, share_port=True)
    bound = TransportAddress.from_socket(first.getsockname())
    return address, (first, *(bind(bound, share_port=True) for _ in range(count - 1)))
