"""Getting an address on a relay: over UDP if that answers, else over TCP or TLS, whichever is first."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Coroutine, Sequence
from typing import Any

from p2p.address import TransportAddress
from p2p.aio.tasks import deadline
from p2p.defaults import RELAY_ALLOCATE_TIMEOUT_S, RELAY_RACE_SPACING_BLOCKED_S, RELAY_RACE_SPACING_S
from p2p.errors import DeadlineExceededError, ErrorCode, P2PError, RelayError
from p2p.gather.relay_server import RelayServer
from p2p.path.carriers import StreamCarrier, UdpCarrier
from p2p.path.endpoint import Endpoint
from p2p.path.relay_base import RelayBase
from p2p.proto.ice.candidate import RelayProtocol
from p2p.proto.turn.client import AllocationClient

CODE_NO_RELAY = ErrorCode(
    "P2P-5202",
    "Ask the rendezvous operator to run a relay, or check that UDP, TCP or TLS to it passes.",
    retryable=True,
)


async def resolve(host: str, port: int) -> list[TransportAddress]:
    """Look a host up; an IP address is returned as it is.

    Raises:
        RelayError: The name is not known.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise RelayError(f"cannot resolve {host!r}: {error.strerror}", code=CODE_NO_RELAY) from error
    return list(dict.fromkeys(TransportAddress.from_socket(entry[4]) for entry in found))


async def allocate(endpoint: Endpoint, server: RelayServer, *, ssl_context: ssl.SSLContext | None = None) -> RelayBase:
    """Get an address on one relay over one protocol.

    Args:
        endpoint: Gets the new base.
        server: The relay.
        ssl_context: Trust for TLS; None means the system's authorities.

    Raises:
        RelayError: The relay refused or did not answer in ``RELAY_ALLOCATE_TIMEOUT_S``.
    """
    problem: P2PError = RelayError(f"no usable address for {server.host}", code=CODE_NO_RELAY)
    for address in await resolve(server.host, server.port):
        if not server.may_be_local and (address.ip.is_loopback or address.ip.is_link_local):
            continue
        try:
            async with deadline(RELAY_ALLOCATE_TIMEOUT_S, f"allocating on {server.url}"):
                return await _allocate_at(endpoint, server, address, ssl_context)
        except (RelayError, DeadlineExceededError) as error:
            problem = error
    raise RelayError(problem.detail, code=problem.error_code) from problem


async def allocate_first(
    endpoint: Endpoint,
    servers: Sequence[RelayServer],
    *,
    udp_is_blocked: bool = False,
    ssl_context: ssl.SSLContext | None = None,
) -> RelayBase:
    """Get an address on the first relay that gives one: all over UDP first, then TCP, then TLS, with a head start.

    Where UDP is blocked, most ports of TCP mostly are, too, and those that pass are not known: there the head start is
    short, and the fewest round trips win.

    Args:
        endpoint: Gets the new base.
        servers: In order of preference among those of one protocol.
        udp_is_blocked: Whether UDP seems not to pass, so that it is tried last.
        ssl_context: Trust for TLS; None means the system's authorities.

    Raises:
        RelayError: None did; the text has each one's reason.
    """
    preference = [RelayProtocol.UDP, RelayProtocol.TCP, RelayProtocol.TLS]
    if udp_is_blocked:
        preference = [*preference[1:], RelayProtocol.UDP]
    order = sorted(servers, key=lambda server: preference.index(server.protocol))
    attempts = [allocate(endpoint, server, ssl_context=ssl_context) for server in order]
    spacing_s = RELAY_RACE_SPACING_BLOCKED_S if udp_is_blocked else RELAY_RACE_SPACING_S
    return await _first(attempts, [server.url for server in order], spacing_s)


async def _allocate_at(
    endpoint: Endpoint, server: RelayServer, address: TransportAddress, ssl_context: ssl.SSLContext | None
) -> RelayBase:
    loop = asyncio.get_running_loop()
    carrier: UdpCarrier | StreamCarrier
    if server.protocol is RelayProtocol.UDP:
        sockets = [base for base in endpoint.sockets if base.local_address.is_ipv6 is address.is_ipv6]
        if not sockets:
            raise RelayError(f"no socket of the address family of {address}", code=CODE_NO_RELAY)
        carrier = UdpCarrier(endpoint, sockets[0], address)
    else:
        is_tls = server.protocol is RelayProtocol.TLS
        try:
            _, carrier = await loop.create_connection(
                lambda: StreamCarrier(endpoint, server.protocol),
                address.host,
                address.port,
                ssl=(ssl_context or ssl.create_default_context()) if is_tls else None,
                server_hostname=server.host if is_tls else None,
            )
        except (OSError, ssl.SSLError) as error:
            raise RelayError(f"cannot connect to {server.url}: {error}", code=CODE_NO_RELAY) from error
    client = AllocationClient(
        server=address,
        username=server.username,
        password=server.password,
        random_bytes=os.urandom,
        reliable=server.protocol is not RelayProtocol.UDP,
        realm=server.realm,
        nonce=server.nonce,
    )
    relay = RelayBase(loop, endpoint, endpoint.new_base_id(), client, carrier, address)
    carrier.attach(relay)
    if isinstance(carrier, StreamCarrier):
        carrier.on_ended = relay.carrier_lost
    try:
        await relay.allocate()
    except BaseException:
        relay.close()
        raise
    endpoint.add(relay)
    return relay


async def _first(attempts: list[Coroutine[Any, Any, RelayBase]], names: list[str], spacing_s: float) -> RelayBase:
    """Start the attempts one after the other, the next one as soon as one fails or its head start is over."""
    problems: list[str] = []
    winner: RelayBase | None = None
    won = asyncio.Event()

    async def run(attempt: Coroutine[Any, Any, RelayBase], name: str) -> None:
        nonlocal winner
        try:
            relay = await attempt
        except RelayError as error:
            problems.append(f"{name}: {error.detail}")
        else:
            if winner is None:
                winner = relay
                won.set()
            else:
                await relay.release()

    pending = list(zip(attempts, names, strict=True))
    try:
        async with asyncio.TaskGroup() as group:
            tasks: set[asyncio.Task[Any]] = set()
            has_won = group.create_task(won.wait())
            while (pending or tasks) and winner is None:
                if pending:
                    attempt, name = pending.pop(0)
                    tasks.add(group.create_task(run(attempt, name)))
                done, _ = await asyncio.wait(
                    {*tasks, has_won},
                    timeout=spacing_s if pending else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                tasks -= done
            for task in (has_won, *tasks):
                task.cancel()
    finally:
        for attempt, _ in pending:
            attempt.close()
    if winner is None:
        raise RelayError("; ".join(problems) or "the rendezvous names no relay", code=CODE_NO_RELAY)
    return winner
