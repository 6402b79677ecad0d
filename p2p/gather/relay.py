"""Getting an address on a relay: over UDP if that answers, else over TCP or TLS, whichever is first."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Sequence
from dataclasses import replace

from p2p.address import TransportAddress
from p2p.aio.race import race
from p2p.aio.tasks import deadline
from p2p.defaults import (
    RELAY_ALLOCATE_TIMEOUT_S,
    RELAY_RACE_SPACING_BLOCKED_S,
    RELAY_RACE_SPACING_S,
    STUN_INITIAL_RTO_S,
    TURN_BACKOFF,
)
from p2p.errors import DeadlineExceededError, P2PError, RelayError
from p2p.gather.relay_distances import RelayDistances
from p2p.gather.relay_server import CODE_NO_RELAY, RelayServer, resolve
from p2p.path.carriers import StreamCarrier, UdpCarrier
from p2p.path.endpoint import Endpoint
from p2p.path.relay_base import RelayBase
from p2p.proto.ice.candidate import RelayProtocol
from p2p.proto.turn.client import AllocationClient
from p2p.proto.turn.events import RelayRedirectedError

logger = logging.getLogger(__name__)


async def allocate(endpoint: Endpoint, server: RelayServer, *, ssl_context: ssl.SSLContext | None = None) -> RelayBase:
    """Get an address on one relay over one protocol, or on the one that it names instead.

    Args:
        endpoint: Gets the new base.
        server: The relay.
        ssl_context: Trust for TLS; None means the system's authorities.

    Raises:
        RelayError: The relay refused or did not answer in ``RELAY_ALLOCATE_TIMEOUT_S``.
    """
    problem: P2PError = RelayError(f"no usable address for {server.host}", code=CODE_NO_RELAY)
    for address in await resolve(server.host, server.port):
        if not server.accepts(address):
            continue
        try:
            async with deadline(RELAY_ALLOCATE_TIMEOUT_S, f"allocating on {server.url}"):
                return await _allocate_there(endpoint, server, address, ssl_context)
        except (RelayError, DeadlineExceededError) as error:
            problem = error
    raise RelayError(problem.detail, code=problem.error_code) from problem


async def allocate_first(
    endpoint: Endpoint,
    servers: Sequence[RelayServer],
    *,
    udp_is_blocked: bool = False,
    ssl_context: ssl.SSLContext | None = None,
    distances: RelayDistances | None = None,
    ended: RelayServer | None = None,
) -> RelayBase:
    """Get an address on the first relay that gives one: all over UDP first, then TCP, then TLS, with a head start.

    Of several hosts the nearest comes first; when none has told yet how far it is, the first one that does.

    Where UDP is blocked, most ports of TCP mostly are, too, and those that pass are not known: there the head start is
    short, and the fewest round trips win.

    Args:
        endpoint: Gets the new base.
        servers: In order of preference among those of one protocol.
        udp_is_blocked: Whether UDP seems not to pass, so that it is tried last.
        ssl_context: Trust for TLS; None means the system's authorities.
        distances: How far the relays are, as far as it is known; None leaves them in their order.
        ended: One of them that has ended our connection: it is asked again and again, for it may be back in a moment.

    Raises:
        RelayError: None did; the text has each one's reason.
    """
    preference = [RelayProtocol.UDP, RelayProtocol.TCP, RelayProtocol.TLS]
    if udp_is_blocked:
        preference = [*preference[1:], RelayProtocol.UDP]
    if distances is not None and not udp_is_blocked:
        await distances.first_answer(RELAY_RACE_SPACING_S)
    waiting = list(servers)

    async def allocate_next() -> RelayBase | str:
        """Ask the best of those that are left: more may be known of them by now. A text says what is wrong."""
        near = waiting if distances is None else distances.order(waiting)
        server = min(near, key=lambda server: preference.index(server.protocol))
        waiting.remove(server)
        ask = _allocate_when_back if server is ended else allocate
        try:
            return await ask(endpoint, server, ssl_context=ssl_context)
        except RelayError as error:
            return f"{server.url}: {error.detail}"

    results = await race(
        [allocate_next] * len(waiting),
        spacing_s=RELAY_RACE_SPACING_BLOCKED_S if udp_is_blocked else RELAY_RACE_SPACING_S,
        is_good=lambda result: not isinstance(result, str),
        undo=_release,
    )
    if results and not isinstance(results[0], str):
        return results[0]
    problems = [result for result in results if isinstance(result, str)]
    raise RelayError("; ".join(problems) or "the rendezvous names no relay", code=CODE_NO_RELAY)


async def _allocate_when_back(
    endpoint: Endpoint, server: RelayServer, *, ssl_context: ssl.SSLContext | None
) -> RelayBase:
    """As ``allocate``, but a refusal is no answer for as long as silence would not be one."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + RELAY_ALLOCATE_TIMEOUT_S
    pause_s = STUN_INITIAL_RTO_S
    while True:
        try:
            return await allocate(endpoint, server, ssl_context=ssl_context)
        except RelayError:
            if loop.time() + pause_s > ends_at:
                raise
        await asyncio.sleep(pause_s)
        pause_s *= TURN_BACKOFF


async def _release(result: RelayBase | str) -> None:
    if not isinstance(result, str):
        await result.release()


async def _allocate_there(
    endpoint: Endpoint, server: RelayServer, address: TransportAddress, ssl_context: ssl.SSLContext | None
) -> RelayBase:
    """Ask one address, and the one that it sends us to, if it does; no further, for two could send us round.

    Source: RFC 8656 section 7.4, RFC 8489 section 10: the same protocol, credentials and name.
    """
    try:
        return await _allocate_at(endpoint, server, address, ssl_context)
    except RelayRedirectedError as redirected:
        alternate = redirected.alternate_server
        if alternate == address or not server.accepts(alternate):
            raise
        logger.info("the relay %s sends us to %s", address, alternate)
        # What the first one would challenge us with, the other one does not know.
        return await _allocate_at(endpoint, replace(server, realm=None, nonce=None), alternate, ssl_context)


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
    relay = RelayBase(
        loop, endpoint, endpoint.new_base_id(), client, carrier, address, host=server.host, region=server.region
    )
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
