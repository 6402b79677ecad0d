"""Finding each other on one network by multicast DNS. The only module that knows ``zeroconf``.

What is announced is one service of type ``_p2p-toolkit._udp``: a label that only holders of its ticket can make, the
addresses of this host, and the ports of its sockets. The label stands for the host's name too, which is not told.

Source: RFC 6762, RFC 6763.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from zeroconf import NotRunningException
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from p2p.address import TransportAddress
from p2p.errors import ConnectivityError, ErrorCode
from p2p.gather.interfaces import host_addresses

logger = logging.getLogger(__name__)

CODE_NO_MULTICAST: Final = ErrorCode(
    "P2P-4104", "Use the ticket as it is: its addresses work without, as long as they stay the same.", retryable=True
)

_TYPE: Final = "_p2p-toolkit._udp.local."
_IPV6_PORT: Final = "6"
_MOST_ADDRESSES: Final = 8
"""Taken of one answer: anybody may answer, with any number."""


class LanAnnouncement:
    """Announces a service while its ``async with`` block runs, and takes it back at the end.

    Concurrency: one event loop; the library has tasks of its own, which end with the block.

    Args:
        label: From ``p2p.proto.direct.lan_label``.
        addresses: Where this host is reached; those of one family have one port.

    Raises:
        ConnectivityError: There is no address, or multicast DNS cannot be used on this host.
    """

    def __init__(self, label: str, addresses: Sequence[TransportAddress]) -> None:
        ports = {address.is_ipv6: address.port for address in addresses}
        self._hosts = [address.host for address in addresses]
        self._info = AsyncServiceInfo(
            _TYPE,
            f"{label}.{_TYPE}",
            port=ports.get(False, 0),
            properties={_IPV6_PORT: str(ports[True])} if True in ports else {},
            server=f"{label}.local.",
            parsed_addresses=self._hosts,
        )
        self._zeroconf: AsyncZeroconf | None = None

    async def __aenter__(self) -> Self:
        self._zeroconf = _open(self._hosts)
        # No other host has the label, and a program of ours that is about to end may have it for another moment.
        await self._zeroconf.async_register_service(self._info, cooperating_responders=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._zeroconf is not None:
            await self._zeroconf.async_close()


async def look_up(label: str, hosts: Sequence[str], timeout_s: float) -> tuple[TransportAddress, ...]:
    """Ask for a service's addresses. Anybody on the network may answer: nothing about the answer is proven.

    Args:
        label: From ``p2p.proto.direct.lan_label``.
        hosts: Addresses of this host: it asks on their interfaces.
        timeout_s: How long to wait for the first answer.

    Returns:
        The addresses, as the first answer says; none when there was no answer.

    Raises:
        ConnectivityError: There is no address, or multicast DNS cannot be used on this host.
    """
    zeroconf = _open(hosts)
    try:
        info = question(label)
        return read_untrusted(info) if await info.async_request(zeroconf.zeroconf, timeout_s * 1000) else ()
    except NotRunningException as error:
        raise ConnectivityError(f"multicast DNS: {error}", code=CODE_NO_MULTICAST) from error
    finally:
        await zeroconf.async_close()


def question(label: str) -> AsyncServiceInfo:
    """Make what the library fills in with the answers about a service."""
    return AsyncServiceInfo(_TYPE, f"{label}.{_TYPE}")


def read_untrusted(info: AsyncServiceInfo) -> tuple[TransportAddress, ...]:
    """Read the addresses out of an answer; never raises.

    Args:
        info: As somebody on the network filled it in.

    Returns:
        Eight at most; those of a family for which no port was told are left out.
    """
    ports = {False: info.port or 0, True: _port(info.decoded_properties.get(_IPV6_PORT))}
    found = (TransportAddress(host, ports[":" in host]) for host in info.parsed_addresses())
    return tuple(address for address in found if address.port)[:_MOST_ADDRESSES]


def _open(hosts: Sequence[str]) -> AsyncZeroconf:
    # The library leaves a socket open when it is given an address that has just gone.
    present = set(host_addresses())
    interfaces = [host for host in hosts if host in present]
    if not interfaces:
        raise ConnectivityError("multicast DNS: this host has no network address", code=CODE_NO_MULTICAST)
    try:
        return AsyncZeroconf(interfaces=interfaces)
    except (OSError, RuntimeError) as error:
        # The library says RuntimeError of an address that has gone this very moment.
        raise ConnectivityError(f"multicast DNS: {error}", code=CODE_NO_MULTICAST) from error


def _port(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and int(text) < 1 << 16 else 0
