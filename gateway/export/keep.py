"""Keeps the files of a proxy as the gateway is."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, Protocol

from gateway.export import haproxy, nginx
from gateway.export.files import write_if_changed
from gateway.export.nginx import CODE_EXPORT
from gateway.export.published import Published
from gateway.export.runtime import HaproxyRuntime, RuntimeApiError
from p2p.errors import ConfigError, P2PError

HOOK_WITHIN_S: Final = 60.0
RETRY_S: Final = 5.0
"""Between attempts while something is wrong."""
_SERVER: Final = re.compile(r"(?m)^(    server \S+) \S+")


class Export(Protocol):
    """Files for one kind of proxy."""

    def put(self, published: Published) -> bool:
        """Write what has changed.

        Returns:
            Whether the proxy has to read its files again.

        Raises:
            ConfigError: A file cannot be written, or the proxy does not fit the gateway.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NginxFiles:
    """Files that nginx includes."""

    http: Path | None
    stream: Path | None
    listen: str

    def put(self, published: Published) -> bool:
        """See ``Export``."""
        # Both are made before one is written: a contradiction changes nothing.
        texts = [
            (self.http, "" if self.http is None else nginx.http_part(published)),
            (self.stream, "" if self.stream is None else nginx.stream_part(published, self.listen)),
        ]
        are_other = [write_if_changed(path, text) for path, text in texts if path is not None]
        return any(are_other)


@dataclass(frozen=True, slots=True, kw_only=True)
class HaproxyFiles:
    """Files that HAProxy reads, and the running HAProxy, which is told of names without a reload."""

    config: Path
    hosts: Path | None
    tls_hosts: Path | None
    listen: str
    runtime: HaproxyRuntime | None

    def put(self, published: Published) -> bool:
        """See ``Export``."""
        maps = {
            path: entries
            for path, entries in (
                (self.hosts, haproxy.http_map(published)),
                (self.tls_hosts, haproxy.tls_map(published)),
            )
            if path is not None
        }
        before = self.config.read_text() if self.config.is_file() else ""
        text = haproxy.sections(published, self.listen)
        are_other = [write_if_changed(path, haproxy.as_map_file(entries)) for path, entries in maps.items()]
        are_other.append(write_if_changed(self.config, text))
        if self.runtime is None:
            return any(are_other)
        if _structure(text) != _structure(before):
            return True
        for path, entries in maps.items():
            self.runtime.sync_map(path, entries)
        self.runtime.sync_servers(haproxy.servers(published), is_draining=published.is_draining)
        return False


class Keeper:
    """Writes the files, once or again and again.

    Args:
        export: The files.
        ask: What is published now.
        then: A command that makes the proxy read its files again; run when it has to.
        tell: Takes what happens, for the user.
    """

    def __init__(self, export: Export, ask: Callable[[], Published], *, then: str, tell: Callable[[str], None]) -> None:
        self._export = export
        self._ask = ask
        self._then = then
        self._tell = tell
        self._last: Published | None = None
        self._has_to_read = False

    def look(self) -> None:
        """Write what has changed since the last time.

        Raises:
            P2PError: The gateway does not answer, a file cannot be written, or the proxy cannot be told.
        """
        published = self._ask()
        if published != self._last:
            try:
                self._has_to_read |= self._export.put(published)
            except RuntimeApiError as error:
                if not self._then:
                    raise
                # It reads files then, if it runs at all.
                self._tell(error.detail)
                self._has_to_read = True
            self._last = published
        if self._has_to_read and self._then:
            _run(self._then)
            self._tell(f"changed: {self._then}")
        self._has_to_read = False

    def watch(self, every_s: float) -> NoReturn:
        """Look again and again; what goes wrong is told, once, and tried again."""
        told = ""
        while True:
            try:
                self.look()
                told = ""
            except P2PError as error:
                if error.detail != told:
                    self._tell(error.detail)
                told = error.detail
            time.sleep(max(every_s, RETRY_S) if told else every_s)


def _run(command: str) -> None:
    try:
        ended = subprocess.run(  # noqa: S603 -- the operator's own words
            shlex.split(command), capture_output=True, check=False, timeout=HOOK_WITHIN_S
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{command}: {error}", code=CODE_EXPORT) from error
    if ended.returncode:
        said = ended.stderr.decode("utf-8", "replace").strip()[-500:]
        raise ConfigError(f"{command}: status {ended.returncode}: {said}", code=CODE_EXPORT)


def _structure(text: str) -> str:
    """All but the addresses of servers, which the runtime API can change."""
    return _SERVER.sub(r"\1", text)
