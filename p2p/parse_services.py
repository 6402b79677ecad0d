"""What people type for several services at once: names, ranges of ports, the configuration's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from p2p import defaults
from p2p.errors import ConfigError, ErrorCode
from p2p.parse import parse_offer, parse_place, parse_target
from p2p.target import FolderTarget, Offered, Target, TcpTarget, UdpTarget, UnixTarget

CODE_BAD_SERVICES: Final = ErrorCode(
    "P2P-1105", "Write services as NAME=TARGET, each name once: web=8080 ssh=nas.lan:22 game=udp:27015 8000-8010."
)

_NAMED: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._:-]{0,63})=(.+)", re.DOTALL)
_PATHS: Final = ("unix:", "/", "./", "../", "~")
_RANGE: Final = re.compile(r"(|.*[:.-])(\d{1,5})-(\d{1,5})", re.DOTALL)


OfferedT = TypeVar("OfferedT", bound=Offered)


def parse_targets(texts: Sequence[str], known: Mapping[str, str]) -> dict[str, Offered]:
    """Read what ``p2p expose`` puts on offer.

    Args:
        texts: Each a target, a name and a target (``web=8080``), a range (``8000-8010``), or a name out of ``known``.
            None at all means everything that is known.
        known: Services of the configuration file: targets as text, by name.

    Returns:
        The targets by name. A single one that was given no name has the empty one.

    Raises:
        ConfigError: A target is wrong, a name is missing or there twice, or there is nothing to expose.
    """
    named = [f"{name}={target}" for name, target in known.items()]
    if texts:
        named = [f"{text}={known[text]}" if text in known else text for text in texts]
    if not named:
        raise ConfigError("nothing to expose: no target, and no services in the file", code=CODE_BAD_SERVICES)
    if len(named) == 1 and _is_plain(named[0]):
        return {"": parse_offer(named[0])}
    return _collect(named, parse_offer)


def parse_places(texts: Sequence[str]) -> dict[str, Target]:
    """Read where ``p2p connect`` puts services.

    Args:
        texts: Each a service's name and a place (``web=8080``), or a place alone for the service that is called by the
            same port.

    Returns:
        The places by name.

    Raises:
        ConfigError: A place is wrong, a name is missing or there twice.
    """
    return _collect(texts, parse_place)


def parse_wanted(texts: Sequence[str]) -> dict[str, Target]:
    """Read where ``p2p expose --accept-reverse`` puts services of connecting sides.

    Args:
        texts: See ``parse_places``; a single place without a name is for the service without a name.

    Raises:
        ConfigError: A place is wrong, a name is missing or there twice.
    """
    if len(texts) == 1 and _is_plain(texts[0]):
        return {"": parse_place(texts[0])}
    return parse_places(texts)


def parse_reverse(texts: Sequence[str]) -> dict[str, Target]:
    """Read what ``p2p connect --reverse`` offers; see ``parse_targets``.

    Raises:
        ConfigError: A target is wrong or a folder, a name is missing or there twice.
    """
    if len(texts) == 1 and _is_plain(texts[0]):
        return {"": parse_target(texts[0])}
    return _collect(texts, parse_target)


def _is_plain(text: str) -> bool:
    return not (_NAMED.fullmatch(text) or _is_range(text))


def _collect(texts: Sequence[str], parse: Callable[[str], OfferedT]) -> dict[str, OfferedT]:
    found: dict[str, OfferedT] = {}
    for text in texts:
        for name, target in _expand(text, parse):
            if name in found:
                raise ConfigError(f"there are two services {name!r}", code=CODE_BAD_SERVICES)
            found[name] = target
    if len(found) > defaults.SERVICES_MAX:
        raise ConfigError(f"{len(found)} services, at most {defaults.SERVICES_MAX}", code=CODE_BAD_SERVICES)
    return found


def _expand(text: str, parse: Callable[[str], OfferedT]) -> Iterator[tuple[str, OfferedT]]:
    """Make names and targets of one text, one for each port of a range."""
    match = _NAMED.fullmatch(text.strip())
    name, rest = (match[1], match[2]) if match else ("", text.strip())
    if not _is_range(rest):
        target = parse(rest)
        yield name or _name_of(target, text), target
        return
    head, ports = _ports(rest, text)
    if not name:
        names: Iterator[str] | None = None
    elif _is_range(name):
        name_head, numbers = _ports(name, text)
        if len(numbers) != len(ports):
            raise ConfigError(f"{text!r} has {len(numbers)} names for {len(ports)} ports", code=CODE_BAD_SERVICES)
        names = iter(f"{name_head}{number}" for number in numbers)
    else:
        names = iter(f"{name}-{port}" for port in ports)
    for port in ports:
        target = parse(f"{head}{port}")
        yield next(names) if names is not None else _name_of(target, text), target


def _is_range(text: str) -> bool:
    return not text.startswith(_PATHS) and _RANGE.fullmatch(text) is not None


def _ports(text: str, whole: str) -> tuple[str, range]:
    match = _RANGE.fullmatch(text)
    assert match is not None
    ports = range(int(match[2]), int(match[3]) + 1)
    if not 0 < len(ports) <= defaults.SERVICES_MAX:
        raise ConfigError(f"{whole!r} is no range of 1 to {defaults.SERVICES_MAX} ports", code=CODE_BAD_SERVICES)
    return match[1], ports


def _name_of(target: Offered, text: str) -> str:
    """Call a service by its port, as both sides do without being told."""
    match target:
        case UdpTarget(_, port) if port:
            return f"udp:{port}"
        case TcpTarget(_, port) if port:
            return str(port)
        case UdpTarget() | TcpTarget() | UnixTarget() | FolderTarget():
            raise ConfigError(f"{text!r} needs a name: NAME={text}", code=CODE_BAD_SERVICES)
