"""STUN servers that a user names, and whether they are there at all."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import Final

from p2p.address import TransportAddress
from p2p.defaults import STUN_PORT, STUN_RESOLVE_TIMEOUT_S, STUN_TCP_TIMEOUT_S
from p2p.errors import ConfigError, DecodeError, ErrorCode
from p2p.proto.stun.client import BindingClient, BindingSucceeded
from p2p.proto.turn.framing import StreamFramer

CODE_BAD_STUN_SERVER: Final = ErrorCode(
    "P2P-1104", "Write a STUN server as host or host:port (stun.example, stun.example:3478, [2001:db8::1]:3478)."
)
_READ_BYTES: Final = 2048


async def resolve_stun_servers(names: Sequence[str]) -> tuple[TransportAddress, ...]:
    """Look up STUN servers: of each, the first address of each family.

    Args:
        names: ``host``, ``host:port``, ``[IPv6]:port``.

    Returns:
        Addresses in the order of the names, each once.

    Raises:
        ConfigError: A name is no such name, or has no address.
    """
    found = await asyncio.gather(*(_resolve(name) for name in names))
    return tuple(dict.fromkeys(address for addresses in found for address in addresses))


async def _resolve(name: str) -> list[TransportAddress]:
    host, port = _split(name)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(STUN_RESOLVE_TIMEOUT_S):
            entries = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError, TimeoutError) as error:
        reason = getattr(error, "strerror", None) or "no answer from the name server"
        raise ConfigError(f"cannot look up the STUN server {name!r}: {reason}", code=CODE_BAD_STUN_SERVER) from error
    by_family: dict[bool, TransportAddress] = {}
    for entry in entries:
        address = TransportAddress.from_socket(entry[4])
        by_family.setdefault(address.is_ipv6, address)
    return list(by_family.values())


def _split(name: str) -> tuple[str, int]:
    text = name.strip().removeprefix("stun:")
    host, separator, port_text = text.rpartition(":")
    if not separator or (":" in host and not host.startswith("[")):
        host, port_text = text, str(STUN_PORT)
    host = host.removeprefix("[").removesuffix("]")
    port = int(port_text) if port_text.isascii() and port_text.isdecimal() else 0
    if not host or any(character in host for character in "/ @?") or not 0 < port < 1 << 16:
        raise ConfigError(f"not a STUN server: {name!r}", code=CODE_BAD_STUN_SERVER)
    return host, port


async def answers_over_tcp(server: TransportAddress) -> bool:
    """Find out whether a STUN server answers over TCP, for when it does not over UDP. Takes some seconds at most.

    Args:
        server: Its address; nearly all serve TCP on the port of UDP. Source: RFC 8489 section 6.2.2.
    """
    try:
        async with asyncio.timeout(STUN_TCP_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(server.host, server.port)
            try:
                return await _ask(server, reader, writer)
            finally:
                writer.close()
    except (OSError, TimeoutError, DecodeError):
        return False


async def _ask(server: TransportAddress, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    loop = asyncio.get_running_loop()
    client = BindingClient(server, os.urandom, reliable=True)
    client.start(loop.time())
    for sent in client.datagrams_to_send(loop.time()):
        writer.write(sent.data)
    framer = StreamFramer()
    while data := await reader.read(_READ_BYTES):
        framer.receive_data(data)
        while (message := framer.next_frame()) is not None:
            if client.receive_datagram(message, server, loop.time()):
                return isinstance(client.next_event(), BindingSucceeded)
    return False
