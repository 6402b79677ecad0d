"""What the adapters of both QUIC libraries have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib.metadata import version
from typing import Any, Literal

from p2p.quic.adapter import SecretSink, adopt_library_log, load_tuned
from p2p.quic.engine import EngineConfig, EngineConnection, ServerCredentials


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
