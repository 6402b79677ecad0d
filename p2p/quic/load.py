"""Choosing the QUIC library."""

from __future__ import annotations

import importlib
from typing import Final

from p2p.errors import ConfigError, ErrorCode
from p2p.quic.engine import Engine

ENGINE_NAMES: Final = ("qh3", "aioquic")
"""The libraries, the preferred one first: qh3 moves seven times as much with the same CPU."""

CODE_NO_ENGINE: Final = ErrorCode("P2P-1201", "Install the QUIC library that is named, or choose another --engine.")


def load_engine(name: str | None = None) -> Engine:
    """Import a QUIC library and make its engine.

    Args:
        name: One of ``ENGINE_NAMES``; None takes the first that is installed.

    Raises:
        ConfigError: There is no library of that name, or it is not installed.
    """
    if name is not None and name not in ENGINE_NAMES:
        raise ConfigError(f"no QUIC engine {name!r}; choose one of {', '.join(ENGINE_NAMES)}", code=CODE_NO_ENGINE)
    failures = []
    for candidate in ENGINE_NAMES if name is None else (name,):
        try:
            module = importlib.import_module(f"p2p.quic.{candidate}_engine")
        except ImportError as error:
            failures.append(f"{candidate}: {error}")
            continue
        engine: Engine = module.ENGINE_CLASS()
        return engine
    raise ConfigError(f"no QUIC engine can be loaded ({'; '.join(failures)})", code=CODE_NO_ENGINE)
