"""What people type, read into values: durations, and where services are. Wrong input says what to type."""

from __future__ import annotations

import os
import re
from typing import Final

from p2p.address import TransportAddress
from p2p.errors import ConfigError, ErrorCode
from p2p.target import FolderTarget, Offered, Target, TcpTarget, UdpTarget, UnixTarget

CODE_BAD_DURATION: Final = ErrorCode("P2P-1101", "Write a number and a unit: 90s, 15m, 2h, 7d, or 1h30m.")
CODE_BAD_TARGET: Final = ErrorCode(
    "P2P-1102", "Write a port (8080), host:port (localhost:8080, [::1]:8080), udp:53 or unix:/path."
)
CODE_BAD_FOLDER: Final = ErrorCode("P2P-1106", "Name a folder that is there; for a Unix socket write unix:PATH.")
CODE_BAD_LISTEN: Final = ErrorCode(
    "P2P-1103", "Write a port (9000), IP:port (127.0.0.1:9000, [::1]:9000), udp:9000 or unix:/path."
)

_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+")
_MAX_PORT: Final = 65535
_KINDS: Final = frozenset({"tcp", "udp", "unix"})
_UNIX_PATH_MAX_BYTES: Final = 107  # Source: sun_path in unix(7), with the NUL behind it


def parse_duration(text: str) -> float:
    """Read ``90s``, ``15m``, ``2h``, ``7d`` or a sum such as ``1h30m``.

    Args:
        text: The duration as typed.

    Returns:
        Seconds, more than zero.

    Raises:
        ConfigError: No unit, an unknown unit, or nothing at all.
    """
    cleaned = text.strip().lower()
    if cleaned.replace(".", "", 1).isdigit():
        raise ConfigError(f"{text!r} has no unit: seconds, minutes, hours or days?", code=CODE_BAD_DURATION)
    if not _DURATION.fullmatch(cleaned):
        raise ConfigError(f"{text!r} is not a duration", code=CODE_BAD_DURATION)
    seconds = sum(float(amount) * _UNIT_S[unit] for amount, unit in _DURATION_PART.findall(cleaned))
    if seconds <= 0:
        raise ConfigError(f"{text!r} is no time at all", code=CODE_BAD_DURATION)
    return seconds


def parse_target(text: str) -> Target:
    """Read where the service is: ``8080``, ``host:port``, ``[::1]:80``, ``udp:53``, ``unix:/path``, ``unix:@name``.

    A port alone means this machine. That is ``localhost``, not ``127.0.0.1``: some servers listen on ``::1`` only,
    and a name lets the dialer try both.

    Args:
        text: The target as typed.

    Returns:
        The target; a port is 1 to 65,535.

    Raises:
        ConfigError: Not a target, or the port cannot be dialled.
    """
    kind, cleaned = _kind(text)
    if kind == "unix":
        return _unix(cleaned, code=CODE_BAD_TARGET)
    host, port_text = _split(cleaned, code=CODE_BAD_TARGET)
    port = _port(port_text, cleaned, code=CODE_BAD_TARGET)
    if port == 0:
        raise ConfigError(f"port 0 in {text!r} is no port a service can be reached on", code=CODE_BAD_TARGET)
    return (UdpTarget if kind == "udp" else TcpTarget)(host or "localhost", port)


def parse_offer(text: str) -> Offered:
    """Read what to put on offer: a target, or a folder such as ``./public``, ``/srv/files``, ``~``.

    Args:
        text: As typed. A name without a slash is a folder's if there is one, and it could be nothing else.

    Raises:
        ConfigError: Not a target, or there is no such folder.
    """
    cleaned = text.strip()
    is_path = "://" not in cleaned and (
        cleaned in {".", "..", "~"} or cleaned.startswith(("/", "./", "../", "~/")) or cleaned.endswith("/")
    )
    is_name = ":" not in cleaned and not cleaned.isdigit() and os.path.isdir(cleaned)
    return parse_folder(cleaned) if is_path or is_name else parse_target(text)


def parse_folder(text: str) -> FolderTarget:
    """Read the name of a folder of this machine.

    Args:
        text: As typed; ``~`` is the user's home.

    Raises:
        ConfigError: There is no such folder.
    """
    path = os.path.abspath(os.path.expanduser(text))
    if not os.path.isdir(path):
        raise ConfigError(f"{path!r} is no folder", code=CODE_BAD_FOLDER)
    return FolderTarget(path)


def parse_place(text: str) -> Target:
    """Read where a service shall appear: ``9000``, ``[::1]:9000``, ``udp:9000``, ``unix:/path``, ``unix:@name``.

    Args:
        text: The place as typed; see ``parse_listen`` for addresses.

    Returns:
        Where to listen; hosts are IP addresses.

    Raises:
        ConfigError: Not a place to listen at.
    """
    kind, cleaned = _kind(text)
    if kind == "unix":
        return _unix(cleaned, code=CODE_BAD_LISTEN)
    return (UdpTarget if kind == "udp" else TcpTarget)(*parse_listen(cleaned))


def parse_listen(text: str) -> TransportAddress:
    """Read an address to listen at: ``9000``, ``127.0.0.1:9000``, ``[::1]:9000``.

    Args:
        text: The address as typed. A port alone means 127.0.0.1, so that nobody else on the network gets in. Port 0
            picks a free one.

    Raises:
        ConfigError: Not an address to listen at.
    """
    cleaned = text.strip()
    host, port_text = _split(cleaned, code=CODE_BAD_LISTEN)
    port = _port(port_text, cleaned, code=CODE_BAD_LISTEN)
    if host in {"", "localhost"}:
        host = "127.0.0.1"
    if host == "*":
        host = "0.0.0.0"  # noqa: S104 -- the user asked for every interface
    try:
        return TransportAddress.parse(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    except ConfigError as error:
        raise ConfigError(f"{host!r} is a name, not an IP address of this machine", code=CODE_BAD_LISTEN) from error


def parse_public_listen(text: str) -> TransportAddress:
    """Read an address for the public to come to: as ``parse_listen``, but a port alone means every interface.

    Args:
        text: The address as typed.

    Raises:
        ConfigError: Not an address to listen at.
    """
    cleaned = text.strip()
    return parse_listen(f"*:{cleaned}" if cleaned.isdigit() else cleaned)


def parse_port_range(text: str) -> tuple[int, int]:
    """Read a range of ports: ``20000-20999``, or one port.

    Args:
        text: The range as typed.

    Returns:
        The first and the last port.

    Raises:
        ConfigError: Not a range of ports.
    """
    first_text, _, last_text = text.strip().partition("-")
    first, last = (_port(part, text, code=CODE_BAD_LISTEN) for part in (first_text, last_text or first_text))
    if not 0 < first <= last:
        raise ConfigError(f"{text!r} is not a range of ports such as 20000-20999", code=CODE_BAD_LISTEN)
    return first, last


def _kind(text: str) -> tuple[str, str]:
    """Cut off ``tcp:``, ``udp:`` or ``unix:``; without one of them it is TCP."""
    cleaned = text.strip()
    kind, colon, rest = cleaned.partition(":")
    if colon and kind.lower() in _KINDS and not rest.startswith("//"):
        return kind.lower(), rest
    return "tcp", cleaned


def _unix(path: str, *, code: ErrorCode) -> UnixTarget:
    """Check the path of a Unix socket; a name that begins with ``@`` is abstract."""
    if len(path) < 2 or not path.startswith(("/", "@", "./", "../")):
        raise ConfigError(f"{path!r} is neither a path such as /run/app.sock nor a name such as @app", code=code)
    if "\0" in path or len(path.encode()) > _UNIX_PATH_MAX_BYTES:
        raise ConfigError(f"{path!r} is no possible path of a socket: at most {_UNIX_PATH_MAX_BYTES} bytes", code=code)
    return UnixTarget(path)


def _split(text: str, *, code: ErrorCode) -> tuple[str, str]:
    """Cut into host and port text; the host is empty when there is only a port."""
    if not text:
        raise ConfigError("nothing given", code=code)
    if "://" in text:
        rest = text.partition("://")[2].split("/")[0]
        raise ConfigError(f"{text!r} is a URL; write only host and port, such as {rest!r}", code=code)
    if "/" in text:
        raise ConfigError(f"{text!r} is a path; for a Unix socket write unix:{text}", code=code)
    if text.isdigit():
        return "", text
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or not rest.startswith(":"):
            raise ConfigError(f"{text!r} has no port after the brackets", code=code)
        return host, rest[1:]
    host, colon, port_text = text.rpartition(":")
    if not colon:
        raise ConfigError(f"{text!r} has no port", code=code)
    if ":" in host:
        raise ConfigError(f"an IPv6 address needs brackets, such as [{host}]:{port_text}", code=code)
    return host, port_text


def _port(port_text: str, text: str, *, code: ErrorCode) -> int:
    if not port_text.isascii() or not port_text.isdigit():
        raise ConfigError(f"{port_text!r} in {text!r} is not a port number", code=code)
    port = int(port_text)
    if port > _MAX_PORT:
        raise ConfigError(f"port {port} in {text!r} is beyond {_MAX_PORT}", code=code)
    return port
