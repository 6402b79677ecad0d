"""Configuration: built-in value < file < environment < flag, merged here and nowhere else.

The file is TOML: ``$P2P_CONFIG``, or ``p2p/config.toml`` in the platform's configuration folder. Settings of a peer
are at its top, those of ``p2p serve`` in the table ``[serve]``. Every complaint names where the value came from.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from p2p import defaults
from p2p.errors import ConfigError, ErrorCode
from p2p.parse import parse_duration
from p2p.session.options import PeerOptions, RelayPolicy

CODE_UNREADABLE_FILE: Final = ErrorCode("P2P-1110", "Correct the file, or point P2P_CONFIG to another one.")
CODE_UNKNOWN_KEY: Final = ErrorCode("P2P-1111", "Remove the key, or spell it as docs/cli.md does.")
CODE_BAD_VALUE: Final = ErrorCode("P2P-1112", "Correct the value at the place that is named.")
CODE_CONTRADICTION: Final = ErrorCode("P2P-1113", "Give one of the two, not both.")

ENGINES: Final = ("qh3", "aioquic")
_WEBSOCKET_SCHEMES: Final = {"https": "wss", "wss": "wss", "http": "ws", "ws": "ws"}
_TRUE_WORDS: Final = frozenset({"1", "true", "yes", "on"})
_FALSE_WORDS: Final = frozenset({"0", "false", "no", "off"})


_RELAY_PEERS: Final = ("known", "public")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What ``p2p serve`` runs: a rendezvous with STUN, and a relay, on one machine."""

    listen: tuple[str, ...] = ()
    """IP addresses to bind; empty means all of this machine's."""
    public_addresses: tuple[str, ...] = ()
    """IP addresses under which the outside reaches this machine; empty means the bound ones."""
    domain: str | None = None
    """Host name that clients use; it is what the TLS certificate is for."""
    http_port: int | None = None
    """TCP port for signalling; None means 443 with TLS, else the default of the rendezvous."""
    stun_port: int = defaults.STUN_PORT
    """UDP and TCP port for STUN and TURN."""
    tls_cert: Path | None = None
    """PEM file with the certificate chain; None serves plain HTTP, for a TLS proxy in front or for a lab."""
    tls_key: Path | None = None
    """PEM file with the certificate's private key."""
    open: bool = False
    """Whether every peer is admitted; otherwise a peer needs a token."""
    tokens: tuple[str, ...] = field(default=(), repr=False)
    """Admission tokens that are accepted; secrets."""
    shared_secret: str | None = field(default=None, repr=False)
    """What rendezvous and relay share for time-limited credentials; None makes one at every start. A secret."""
    relay_ports: tuple[int, int] | None = None
    """First and last UDP port for allocations; None means the relay's default."""
    relay_mbit_s: float = 0.0
    """Payload that the relay carries in all, both directions together, in Mbit/s; 0 is no limit."""
    relay_user_mbit_s: float = 0.0
    """The same for one peer."""
    relay_peers: Literal["known", "public"] = "known"
    """Whom the relay sends to: hosts that use this server, or every public address, as WebRTC may need."""
    danger_allow_private_peers: bool = False
    """Whether the relay may send to private and loopback addresses: for labs, where those are the peers."""


class Setting(NamedTuple):
    """One value that a user can set, and every place where it can be set."""

    key: str
    """Key in the file, and what flags are handed over by; upper-case with a prefix it is the environment variable."""
    field: str
    """Field of the options class."""
    flag: str
    """The flag, for messages."""
    read: Callable[[Any], Any]
    """Turns text or a TOML value into the field's value; raises ValueError or ConfigError."""


def default_path(environ: Mapping[str, str]) -> Path:
    """Where the configuration file is.

    Args:
        environ: The process's environment.
    """
    if configured := environ.get("P2P_CONFIG"):
        return Path(configured).expanduser()
    import platformdirs

    return platformdirs.user_config_path("p2p") / "config.toml"


def read_file(path: Path, *, required: bool) -> dict[str, Any]:
    """Read a configuration file.

    Args:
        path: The file.
        required: Whether its absence is an error, as when the user named it.

    Raises:
        ConfigError: The file is missing though required, unreadable, or no TOML.
    """
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not required:
            return {}
        raise ConfigError(f"{path}: no such file", code=CODE_UNREADABLE_FILE) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}", code=CODE_UNREADABLE_FILE) from error


def load_peer_options(flags: Mapping[str, Any], *, environ: Mapping[str, str] | None = None) -> PeerOptions:
    """Merge everything into a peer's options.

    Args:
        flags: Values of flags by setting name; None means that the flag was not given.
        environ: The environment; None takes the process's.

    Raises:
        ConfigError: A value is wrong, a key unknown, or the file unreadable.
    """
    environ = os.environ if environ is None else environ
    path = default_path(environ)
    table = read_file(path, required="P2P_CONFIG" in environ)
    known = {setting.key for setting in PEER_SETTINGS}
    _reject_unknown(table, known | {"serve", "services"}, str(path))
    return PeerOptions(**_merge(PEER_SETTINGS, flags, environ, table, str(path)))


def load_services(*, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Read the table ``[services]``: what to expose, by name.

    Args:
        environ: The environment; None takes the process's.

    Returns:
        Targets as text, by name.

    Raises:
        ConfigError: The file is unreadable, or an entry is no text.
    """
    environ = os.environ if environ is None else environ
    path = default_path(environ)
    table = read_file(path, required="P2P_CONFIG" in environ).get("services", {})
    if not isinstance(table, dict) or not all(isinstance(target, str) for target in table.values()):
        raise ConfigError(f"{path} [services]: must be a table of targets such as web = '8080'", code=CODE_BAD_VALUE)
    return table


def load_serve_options(
    flags: Mapping[str, Any], *, file: Path | None = None, environ: Mapping[str, str] | None = None
) -> ServeOptions:
    """Merge everything into the options of ``p2p serve``.

    Args:
        flags: Values of flags by setting name; None means that the flag was not given.
        file: Configuration file named by a flag; None means the usual one.
        environ: The environment; None takes the process's.

    Raises:
        ConfigError: A value is wrong, a key unknown, the file unreadable, or two values contradict each other.
    """
    environ = os.environ if environ is None else environ
    path = file or default_path(environ)
    table = read_file(path, required=file is not None or "P2P_CONFIG" in environ).get("serve", {})
    place = f"{path} [serve]"
    if not isinstance(table, dict):
        raise ConfigError(f"{place}: must be a table", code=CODE_BAD_VALUE)
    _reject_unknown(table, {setting.key for setting in SERVE_SETTINGS}, place)
    options = ServeOptions(**_merge(SERVE_SETTINGS, flags, environ, table, place, prefix="P2P_SERVE_"))
    if (options.tls_cert is None) != (options.tls_key is None):
        raise ConfigError("a TLS certificate and its key are needed together: --tls-cert and --tls-key")
    if options.open and options.tokens:
        raise ConfigError("an open server asks for no token: --open and --token", code=CODE_CONTRADICTION)
    return options


def _merge(
    settings: Sequence[Setting],
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    table: Mapping[str, Any],
    file_place: str,
    *,
    prefix: str = "P2P_",
) -> dict[str, Any]:
    """Take each setting from the strongest place that has it."""
    merged: dict[str, Any] = {}
    for setting in settings:
        variable = prefix + setting.key.upper()
        if flags.get(setting.key) is not None:
            place, raw = setting.flag, flags[setting.key]
        elif environ.get(variable):
            place, raw = variable, environ[variable]
        elif setting.key in table:
            place, raw = f"{file_place}: {setting.key}", table[setting.key]
        else:
            continue
        try:
            merged[setting.field] = setting.read(raw)
        except ConfigError as error:
            raise ConfigError(f"{place}: {error.detail}", code=error.error_code) from error
        except ValueError as error:
            raise ConfigError(f"{place}: {error}", code=CODE_BAD_VALUE) from error
    return merged


def _reject_unknown(table: Mapping[str, Any], known: set[str], place: str) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            guess = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{place}: unknown key {key!r}{guess}", code=CODE_UNKNOWN_KEY)


def _text(raw: Any) -> str:
    if not isinstance(raw, str) or not raw.strip():
        raise ValueError("must be text")
    return raw.strip()


def _texts(raw: Any) -> tuple[str, ...]:
    """Read a list, or text with commas, as an environment variable has it."""
    items = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(items, (list, tuple)):
        raise ValueError("must be text or a list of texts")  # noqa: TRY004 -- the value is the user's, not a caller's
    return tuple(_text(item) for item in items)


def _urls(raw: Any) -> tuple[str, ...]:
    """Read rendezvous URLs; those of a browser's address bar are taken for the WebSocket beside them."""
    return tuple(_url(text) for text in _texts(raw))


def _url(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in _WEBSOCKET_SCHEMES or not rest.strip("/"):
        raise ValueError(f"{text!r} is not a URL such as wss://rendezvous.example")
    return f"{_WEBSOCKET_SCHEMES[scheme.lower()]}://{rest.rstrip('/')}"


def _path(raw: Any) -> Path:
    return raw if isinstance(raw, Path) else Path(_text(raw)).expanduser()


def _existing_file(raw: Any) -> Path:
    path = _path(raw)
    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    return path


def _boolean(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if word not in _TRUE_WORDS | _FALSE_WORDS:
        raise ValueError(f"{raw!r} is neither true nor false")
    return word in _TRUE_WORDS


def _port(raw: Any) -> int:
    try:
        port = int(raw)
    except (TypeError, ValueError):
        raise ValueError(f"{raw!r} is not a port number") from None
    if isinstance(raw, bool) or not 0 <= port <= 65535:
        raise ValueError(f"{raw!r} is not a port from 0 to 65535")
    return port


def _port_range(raw: Any) -> tuple[int, int]:
    first, dash, last = _text(raw).partition("-")
    ports = _port(first), _port(last)
    if not dash or not 0 < ports[0] <= ports[1]:
        raise ValueError(f"{raw!r} is not a range such as 49152-65535")
    return ports


def _duration(raw: Any) -> float:
    if isinstance(raw, (int, float)) and not isinstance(raw, bool) and raw > 0:
        return float(raw)
    return parse_duration(_text(raw))


def _engine(raw: Any) -> str:
    name = _text(raw)
    if name not in ENGINES:
        raise ValueError(f"{name!r} is not one of {', '.join(ENGINES)}")
    return name


def _relay_policy(raw: Any) -> RelayPolicy:
    try:
        return RelayPolicy(_text(raw))
    except ValueError:
        raise ValueError(f"{raw!r} is not one of {', '.join(RelayPolicy)}") from None


def _rate(raw: Any) -> float:
    try:
        rate = float(raw) if isinstance(raw, (int, float)) else float(_text(raw))
    except ValueError:
        rate = -1.0
    if not 0 <= rate < 1e9:
        raise ValueError(f"{raw!r} is not a number of Mbit/s; 0 is no limit")
    return rate


def _relay_peers(raw: Any) -> str:
    text = _text(raw)
    if text not in _RELAY_PEERS:
        raise ValueError(f"{raw!r} is not one of {', '.join(_RELAY_PEERS)}")
    return text


def _ip_addresses(raw: Any) -> tuple[str, ...]:
    import ipaddress

    return tuple(str(ipaddress.ip_address(text)) for text in _texts(raw))


PEER_SETTINGS: Final = (
    Setting("rendezvous", "rendezvous_urls", "--rendezvous", _urls),
    Setting("token", "token", "--token", _text),
    Setting("ca_file", "ca_file", "--ca-file", _existing_file),
    Setting("engine", "engine", "--engine", _engine),
    Setting("identity", "identity_path", "--identity", _path),
    Setting("relay", "relay_policy", "--relay-only or --no-relay", _relay_policy),
    Setting("birthday", "birthday", "--no-birthday", _boolean),
    Setting("port_mapping", "port_mapping", "--no-port-mapping", _boolean),
    Setting("timeout", "timeout_s", "--timeout", _duration),
    Setting("verbose", "verbose", "--verbose", _boolean),
)
SERVE_SETTINGS: Final = (
    Setting("listen", "listen", "--listen", _ip_addresses),
    Setting("public_address", "public_addresses", "--public-address", _ip_addresses),
    Setting("domain", "domain", "--domain", _text),
    Setting("http_port", "http_port", "--http-port", _port),
    Setting("stun_port", "stun_port", "--stun-port", _port),
    Setting("tls_cert", "tls_cert", "--tls-cert", _existing_file),
    Setting("tls_key", "tls_key", "--tls-key", _existing_file),
    Setting("open", "open", "--open", _boolean),
    Setting("token", "tokens", "--token", _texts),
    Setting("shared_secret", "shared_secret", "P2P_SERVE_SHARED_SECRET", _text),
    Setting("relay_ports", "relay_ports", "--relay-ports", _port_range),
    Setting("relay_mbit", "relay_mbit_s", "--relay-mbit", _rate),
    Setting("relay_user_mbit", "relay_user_mbit_s", "--relay-user-mbit", _rate),
    Setting("relay_peers", "relay_peers", "--relay-peers", _relay_peers),
    Setting("danger_allow_private_peers", "danger_allow_private_peers", "--danger-allow-private-peers", _boolean),
)
