"""Which addresses of this machine the servers use."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Final, NamedTuple

from p2p.address import TransportAddress
from p2p.config import ServeOptions
from p2p.errors import ConfigError, ErrorCode

CODE_NO_ADDRESS: Final = ErrorCode(
    "P2P-1130", "Name this machine's address with --listen, and the one the world sees with --public-address."
)
CODE_ADDRESS_COUNT: Final = ErrorCode(
    "P2P-1131", "Give --public-address once for each --listen, in the same order, or --listen no more than once."
)

_FAR_AWAY: Final = {4: "192.0.2.1", 6: "2001:db8::1"}
"""Documentation addresses. Nothing is sent there: the kernel tells which address of ours it would use."""


class Host(NamedTuple):
    """An address of this machine.

    Attributes:
        bind: What the kernel knows.
        public: What the world sees instead; the same unless a NAT stands in front.
    """

    bind: str
    public: str


def find_hosts(options: ServeOptions) -> tuple[Host, ...]:
    """Find out which addresses STUN and the relay use; those must be known one by one, unlike for HTTP.

    Args:
        options: Addresses to listen on, and public ones.

    Raises:
        ConfigError: There is no address, or the public ones do not fit.
    """
    listen = listen_addresses(options)
    named = [address for address in listen if not is_wildcard(address)]
    if not options.public_addresses:
        outward = [_outward(6 if ":" in address else 4) for address in listen if is_wildcard(address)]
        found = [*named, *(address for address in outward if address is not None)]
        if not found:
            raise ConfigError("this machine has no way to the Internet to tell its address by", code=CODE_NO_ADDRESS)
        return tuple(Host(address, address) for address in dict.fromkeys(found))
    if len(named) == len(listen):
        if len(named) != len(options.public_addresses):
            raise ConfigError(
                f"{len(named)} to listen on, but {len(options.public_addresses)} public: which is which?",
                code=CODE_ADDRESS_COUNT,
            )
        return tuple(Host(*pair) for pair in zip(named, options.public_addresses, strict=True))
    hosts = []
    for public in options.public_addresses:
        bind = public if _is_ours(public) else _outward(6 if ":" in public else 4)
        if bind is None:
            raise ConfigError(f"no address of this machine to use for {public}", code=CODE_NO_ADDRESS)
        hosts.append(Host(bind, public))
    return tuple(hosts)


def listen_addresses(options: ServeOptions) -> tuple[str, ...]:
    """Where HTTP is served: as configured, or everywhere, with IPv6 where there is IPv6."""
    if options.listen:
        return options.listen
    return ("0.0.0.0", "::") if _outward(6) else ("0.0.0.0",)  # noqa: S104 -- a server for others listens everywhere


def _outward(version: int) -> str | None:
    """The address this machine uses towards the Internet; None without a way there."""
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((_FAR_AWAY[version], 9))
            return TransportAddress.from_socket(probe.getsockname()).host
    except OSError:
        return None


def _is_ours(address: str) -> bool:
    """Whether an interface of this machine has the address."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def is_wildcard(address: str) -> bool:
    """Whether the address stands for all addresses of its family."""
    return ipaddress.ip_address(address).is_unspecified


def one_of_each_family(hosts: Iterable[Host]) -> list[Host]:
    """The first IPv4 and the first IPv6 host: a second one of a family would be the same relay again."""
    chosen: dict[bool, Host] = {}
    for host in hosts:
        chosen.setdefault(":" in host.public, host)
    return list(chosen.values())
