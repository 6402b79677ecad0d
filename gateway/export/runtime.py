"""HAProxy's runtime API: changes without a reload.

Source: HAProxy Management Guide 2.6, section 9.3.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gateway.export.nginx import CODE_EXPORT
from p2p.address import TransportAddress
from p2p.errors import ConfigError
from p2p.os_errors import reason_of

_WITHIN_S: Final = 5.0
_GOOD_ANSWERS: Final = ("no need to change", "changed from", "IP changed", "port changed")


class RuntimeApiError(ConfigError):
    """HAProxy does not do at once what it was told; reading its files again would."""


class HaproxyRuntime:
    """Commands to a running HAProxy.

    Args:
        path: Its ``stats socket``, with ``level admin``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def sync_map(self, name: Path, wanted: Mapping[str, str]) -> None:
        """Make a map hold exactly these entries.

        Args:
            name: The map file, written as in HAProxy's configuration.
            wanted: Keys and values.

        Raises:
            RuntimeApiError: HAProxy does not answer, or knows no such map.
        """
        answer = self._ask(f"show map {name}")
        lines = [line.split() for line in answer.splitlines() if line.strip()]
        if any(not words[0].startswith("0x") for words in lines):
            raise self._refusal(f"show map {name}", answer)
        present = {words[1]: words[2] for words in lines if len(words) > 2}
        for key in present.keys() - wanted.keys():
            self._do(f"del map {name} {key}")
        for key, value in wanted.items():
            if key not in present:
                self._do(f"add map {name} {key} {value}")
            elif present[key] != value:
                self._do(f"set map {name} {key} {value}")

    def sync_servers(self, servers: Mapping[str, TransportAddress], *, is_draining: bool) -> None:
        """Say where servers are, and whether they take visitors.

        Raises:
            RuntimeApiError: HAProxy does not answer, or knows no such server.
        """
        for name, address in servers.items():
            self._do(f"set server {name} addr {address.host} port {address.port}")
            self._do(f"set server {name} state {'drain' if is_draining else 'ready'}")

    def _do(self, command: str) -> None:
        answer = self._ask(command).strip()
        if answer and not any(good in answer for good in _GOOD_ANSWERS):
            raise self._refusal(command, answer)

    def _refusal(self, command: str, answer: str) -> RuntimeApiError:
        return RuntimeApiError(f"HAProxy answers {command!r} with {answer.strip()[:200]!r}", code=CODE_EXPORT)

    def _ask(self, command: str) -> str:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_WITHIN_S)
                connection.connect(str(self._path))
                connection.sendall(command.encode() + b"\n")
                answer = b""
                while chunk := connection.recv(1 << 16):
                    answer += chunk
        except OSError as error:
            raise RuntimeApiError(
                f"no HAProxy answers at {self._path}: {reason_of(error)}", code=CODE_EXPORT
            ) from error
        return answer.decode("utf-8", "replace")
