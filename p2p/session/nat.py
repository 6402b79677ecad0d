"""What ``p2p nat`` asks: how the network in front of us behaves, and what gets through it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.errors import ConfigError, P2PError
from p2p.gather.classic import classic_name
from p2p.gather.hosts import ANY_ADDRESSES
from p2p.gather.interfaces import host_addresses
from p2p.gather.nat import discover_behaviour
from p2p.gather.relay import allocate
from p2p.gather.relay_server import RelayServer
from p2p.identity import Identity
from p2p.path.endpoint import Endpoint
from p2p.proto.path.reason import NatFacts
from p2p.proto.signalling.messages import TurnServer, Welcome
from p2p.proto.stun.behaviour import NatBehaviour, PortAllocation
from p2p.session.describe import plain_facts
from p2p.session.dialing import new_session_id
from p2p.session.meeting import CODE_NO_RENDEZVOUS, reach_rendezvous
from p2p.session.node import trust
from p2p.session.options import PeerOptions
from p2p.session.reports import NatReport, RelayReach
from p2p.session.status import PathTransport
from p2p.signalling.client import SignallingClient


async def examine_network(options: PeerOptions) -> NatReport:
    """Run all tests against the servers that the rendezvous names.

    Args:
        options: Must name a rendezvous.

    Raises:
        P2PError: The rendezvous cannot be reached, which leaves nothing to test against.
    """
    if not options.rendezvous_urls:
        raise ConfigError("no rendezvous to learn servers from", code=CODE_NO_RENDEZVOUS)
    client = SignallingClient(
        options.rendezvous_urls,
        Identity.load_or_create(options.identity_path),
        instance=f"nat-{new_session_id()[:16]}",
        token=options.token,
        ssl_context=trust(options),
    )
    async with client, TaskScope() as scope:
        welcome = await reach_rendezvous(client, options.timeout_s)
        ipv4 = [server for server in welcome.stun if not server.is_ipv6]
        ipv6 = [server for server in welcome.stun if server.is_ipv6]
        tests_v4 = scope.start(_behaviour(ipv4), name="IPv4 tests")
        tests_v6 = scope.start(_behaviour(ipv6), name="IPv6 tests")
        relays = scope.start(_reach_relays(welcome, options), name="relay tests")
        behaviour, behaviour_v6 = await tests_v4, await tests_v6
        # After the others: its unanswered requests would only make them wait.
        classic = await classic_name(ipv4[0]) if ipv4 and behaviour is not None else None
        return _report(welcome, behaviour, behaviour_v6, classic, await relays)


def _report(
    welcome: Welcome,
    behaviour: NatBehaviour | None,
    behaviour_v6: NatBehaviour | None,
    classic: str | None,
    relays: Sequence[RelayReach],
) -> NatReport:
    main = behaviour or behaviour_v6 or NatBehaviour()
    notes = []
    if not welcome.stun:
        notes.append("The rendezvous names no STUN server, so that nothing could be asked.")
    elif len({server.host for server in welcome.stun}) < 2 and main.udp:
        notes.append("The STUN service has one address only: filtering by address and mapping by address are unknown.")
    return NatReport(
        facts=plain_facts(NatFacts.of(main), main.mapped_address),
        local_addresses=tuple(TransportAddress(host, 0) for host in host_addresses()),
        ipv4=None if behaviour is None else behaviour.udp,
        ipv6=None if behaviour_v6 is None else behaviour_v6.udp,
        hairpinning=main.hairpinning,
        allocator=_allocator(main),
        classic_name=classic,
        stun_rtt_s=main.round_trip_s,
        relays=tuple(relays),
        notes=tuple(notes),
    )


def _allocator(behaviour: NatBehaviour) -> str | None:
    if behaviour.allocation is PortAllocation.UNKNOWN:
        return None
    step = f" {behaviour.port_step:+d}" if behaviour.port_step is not None else ""
    return f"{behaviour.allocation.value}{step}"


async def _behaviour(servers: Sequence[TransportAddress]) -> NatBehaviour | None:
    """Test one address family; None where this host or the rendezvous has none."""
    if not servers:
        return None
    host = _source_of(servers[0])
    return None if host is None else await discover_behaviour(servers, local_host=host)


def _source_of(server: TransportAddress) -> str | None:
    """Find out which of our addresses leads to a server; nothing is sent."""
    with socket.socket(socket.AF_INET6 if server.is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(server)
        except OSError:
            return None
        return TransportAddress.from_socket(sock.getsockname()).host


async def _reach_relays(welcome: Welcome, options: PeerOptions) -> list[RelayReach]:
    loop = asyncio.get_running_loop()
    endpoint = Endpoint(loop, _Nobody())
    try:
        for host in ANY_ADDRESSES:
            try:
                endpoint.open_socket(TransportAddress(host, 0))
            except P2PError:
                continue
        return await asyncio.gather(*(_reach(endpoint, turn, options) for turn in welcome.turn))
    finally:
        endpoint.close()


async def _reach(endpoint: Endpoint, turn: TurnServer, options: PeerOptions) -> RelayReach:
    loop = asyncio.get_running_loop()
    transport = PathTransport.UDP
    try:
        server = RelayServer.from_url(turn.url, turn.username, turn.password, realm=turn.realm, nonce=turn.nonce)
        transport = PathTransport(server.protocol.value)
        relay = await allocate(endpoint, server, ssl_context=trust(options))
    except P2PError as error:
        return RelayReach(url=turn.url, transport=transport, reachable=False, detail=error.detail)
    # Giving the address back is one request and one answer.
    started_at = loop.time()
    await relay.release()
    rtt_s = loop.time() - started_at
    endpoint.remove(relay.base_id)
    return RelayReach(url=turn.url, transport=transport, reachable=True, rtt_s=rtt_s)


class _Nobody:
    """Takes what arrives on sockets that only ask."""

    def stun_received(self, data: bytes, base_id: int, source: TransportAddress, now: float) -> None:
        pass

    def quic_received(
        self, buffer: bytes, segment_size: int, base_id: int, source: TransportAddress, now: float
    ) -> None:
        pass

    def drained(self, now: float) -> None:
        pass
