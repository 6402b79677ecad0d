"""What the adapters of both QUIC libraries have in common."""

from __future__ import annotations

import importlib
import logging
from abc import ABC, abstractmethod
from importlib.metadata import version
from types import ModuleType
from typing import Any, Literal

from p2p.quic.adapter import SecretSink
from p2p.quic.engine import EngineConfig, EngineConnection, ServerCredentials

logger = logging.getLogger(__name__)


class LibraryEngine(ABC):
    """An engine that is a library; see ``Engine``.

    Args:
        name: The library's, in the package index and in ours.
        tuned_versions: Beginnings of the versions whose insides the adapter's tuned half knows.
        is_tuned: False keeps to the library's public interface; None uses its insides where they are known.
    """

    def __init__(self, name: str, tuned_versions: tuple[str, ...], *, is_tuned: Literal[False] | None) -> None:
        self.name = name
        self.version = version(name)
        self._tuned = None if is_tuned is False else load_tuned(f"p2p.quic.{name}_tuned", self.version, tuned_versions)
        adopt_library_log()

    @property
    def is_tuned(self) -> bool:
        """See ``Engine``."""
        return self._tuned is not None

    def client(self, config: EngineConfig) -> EngineConnection:
        """See ``Engine``."""
        return self._connection(config, None, None)

    def server(self, config: EngineConfig, credentials: ServerCredentials, initial_dcid: bytes) -> EngineConnection:
        """See ``Engine``."""
        return self._connection(config, credentials, initial_dcid)

    @abstractmethod
    def _configure(self, config: EngineConfig, sink: SecretSink, credentials: ServerCredentials | None) -> Any:
        """Make the library's configuration, a server's when there are credentials."""

    @abstractmethod
    def _plain(
        self, configuration: Any, config: EngineConfig, sink: SecretSink, initial_dcid: bytes | None
    ) -> EngineConnection:
        """Make a connection through the library's public interface."""

    def _connection(
        self, config: EngineConfig, credentials: ServerCredentials | None, initial_dcid: bytes | None
    ) -> EngineConnection:
        sink = SecretSink()
        configuration = self._configure(config, sink, credentials)
        if self._tuned is not None:
            tuned: EngineConnection = self._tuned.make(configuration, config, sink, initial_dcid)
            return tuned
        return self._plain(configuration, config, sink, initial_dcid)


class _LibraryLog(logging.Handler):
    """Sends what the libraries log under a name of their own to ours, where it is for debugging only."""

    def emit(self, record: logging.LogRecord) -> None:
        logger.debug("%s", record.getMessage())


def adopt_library_log() -> None:
    """Take over the logger both libraries share: they warn about every connection that closes."""
    library = logging.getLogger("quic")
    if not any(isinstance(handler, _LibraryLog) for handler in library.handlers):
        library.addHandler(_LibraryLog())
    library.propagate = False
    # Formatting nothing is much cheaper than formatting for a handler that drops it.
    library.setLevel(logging.DEBUG if logger.isEnabledFor(logging.DEBUG) else logging.CRITICAL)


def load_tuned(module: str, version: str, known_versions: tuple[str, ...]) -> ModuleType | None:
    """Import an adapter's tuned half, if the installed library is one whose insides it knows.

    Args:
        module: The tuned half; its ``check()`` looks whether every private name it uses exists.
        version: The library's version.
        known_versions: Beginnings of the versions it was written for.

    Returns:
        The module, or None: then the adapter works through the public interface, slower and with fewer streams.
    """
    if version.startswith(known_versions):
        try:
            tuned = importlib.import_module(module)
            tuned.check()
        except (ImportError, AttributeError) as error:
            logger.warning("%s does not fit the library's version %s: %s", module, version, error)
        else:
            return tuned
    logger.warning("using the public interface of an unknown library version (%s %s): it is slower", module, version)
    return None
