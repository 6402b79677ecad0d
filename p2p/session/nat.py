"""What ``p2p nat`` asks: how the network in front of us behaves, and what gets through it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.defaults import CLASSIC_ROUND_TRIPS, CLASSIC_TEST_LEAST_S, CLASSIC_TEST_TIMEOUT_S, SERVERS_USED
from p2p.errors import ConfigError, ConnectivityError, P2PError
from p2p.gather.classic import classic_name
from p2p.gather.interfaces import host_addresses
from p2p.gather.nat import discover_behaviour
from p2p.gather.stun_servers import answers_over_tcp, resolve_stun_servers
from p2p.proto.signalling.messages import Welcome
from p2p.proto.stun.behaviour import NatBehaviour
from p2p.proto.stun.combine import combine
from p2p.session.meeting import CODE_NO_RENDEZVOUS
from p2p.session.nat_report import NatReport, RelayReach
from p2p.session.nat_verdict import Findings, make_report
from p2p.session.options import PeerOptions
from p2p.session.relay_reach import reach_relays
from p2p.session.visit import visit_rendezvous


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What the user wants to know, and from whom."""

    stun: tuple[str, ...] = ()
    """STUN servers to ask instead of those that the rendezvous names: ``host`` or ``host:port``."""
    classic: bool = True
    """Whether to ask for the classic verdict too."""


@dataclass(slots=True)
class _Family:
    """The tests of one address family."""

    servers: tuple[TransportAddress, ...]
    behaviours: list[NatBehaviour] = field(default_factory=list)


async def examine_network(options: PeerOptions, questions: Questions | None = None) -> NatReport:
    """Run all tests, against the servers that are named, else against those that the rendezvous names.

    Args:
        options: Must name a rendezvous unless ``questions`` names STUN servers; with both, relays are tested too.
        questions: What to ask; None asks everything of the rendezvous' servers.

    Raises:
        ConfigError: There is neither a rendezvous nor a STUN server, or a server's name is none.
        SignallingError: The rendezvous cannot be reached, which leaves nothing to test against.
    """
    wanted = questions or Questions()
    if not options.rendezvous_urls and not wanted.stun:
        raise ConfigError("neither a rendezvous nor a STUN server to ask", code=CODE_NO_RENDEZVOUS)
    named = await resolve_stun_servers(wanted.stun)
    notes: list[str] = []
    async with TaskScope() as scope:
        if not options.rendezvous_urls:
            return await _examine(scope, options, named, None, wanted, notes)
        if not wanted.stun:
            welcome = await visit_rendezvous(options, purpose="nat")
            return await _examine(scope, options, welcome.stun[:SERVERS_USED], welcome, wanted, notes)
        # The named servers alone are asked; the rendezvous only says which relays there are.
        try:
            known: Welcome | None = await visit_rendezvous(options, purpose="nat")
        except P2PError as error:
            known = None
            notes.append(f"No relay could be tested: {error.detail}.")
        return await _examine(scope, options, named, known, wanted, notes)


async def _examine(
    scope: TaskScope,
    options: PeerOptions,
    servers: Sequence[TransportAddress],
    welcome: Welcome | None,
    questions: Questions,
    notes: list[str],
) -> NatReport:
    relays = () if welcome is None else welcome.turn[:SERVERS_USED]
    ipv4 = tuple(server for server in servers if not server.is_ipv6)
    ipv6 = tuple(server for server in servers if server.is_ipv6)
    # Servers of one rendezvous are one service; those that a user names are each asked everything.
    tests_v4 = scope.start(_test_family(ipv4, each=bool(questions.stun)), name="IPv4 tests")
    tests_v6 = scope.start(_test_family(ipv6, each=bool(questions.stun)), name="IPv6 tests")
    relay_tests = scope.start(reach_relays(relays, options), name="relay tests")
    behaviours_v4, behaviours_v6 = await tests_v4, await tests_v6
    classic = None
    if questions.classic:
        classic = scope.start(_classic(ipv4, behaviours_v4), name="classic tests")
    silent = [server for server, behaviour in ({**behaviours_v4, **behaviours_v6}).items() if behaviour.udp is False]
    over_tcp = dict(zip(silent, await asyncio.gather(*map(answers_over_tcp, silent)), strict=True))
    reached: list[RelayReach] = await relay_tests
    return make_report(
        Findings(
            ipv4=behaviours_v4,
            ipv6=behaviours_v6,
            over_tcp=over_tcp,
            relays=tuple(reached),
            has_relays=bool(relays),
            classic_name=None if classic is None else await classic,
            hosts=host_addresses(),
            notes=tuple(notes),
        )
    )


async def _test_family(servers: Sequence[TransportAddress], *, each: bool) -> dict[TransportAddress, NatBehaviour]:
    """Test one address family.

    Args:
        servers: Of this family.
        each: Whether to ask each server everything, not only the first.

    Returns:
        By server, those first that were asked everything; empty where this host or the list has no such address.
    """
    if not servers:
        return {}
    host = _source_of(servers[0])
    if host is None:
        return {}
    firsts = servers if each else servers[:1]

    async def test(first: TransportAddress) -> NatBehaviour:
        others = [server for server in servers if server != first]
        try:
            return await discover_behaviour([first, *others], local_host=host)
        except ConnectivityError:
            return NatBehaviour()

    return dict(zip(firsts, await asyncio.gather(*map(test, firsts)), strict=True))


def _source_of(server: TransportAddress) -> str | None:
    """Find out which of our addresses leads to a server; nothing is sent."""
    with socket.socket(socket.AF_INET6 if server.is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(server)
        except OSError:
            return None
        return TransportAddress.from_socket(sock.getsockname()).host


async def _classic(servers: Sequence[TransportAddress], behaviours: dict[TransportAddress, NatBehaviour]) -> str | None:
    """Ask for the classic verdict, of a server that has shown a second address, else of the first that answers."""
    answering = [server for server in servers if (one := behaviours.get(server)) is not None and one.udp]
    complete = [server for server in answering if behaviours[server].other_address is not None]
    if not answering:
        return "UDP blocked" if behaviours and all(one.udp is False for one in behaviours.values()) else None
    rtt_s = combine(list(behaviours.values())).round_trip_s
    wait_s = CLASSIC_TEST_TIMEOUT_S
    if rtt_s is not None:
        wait_s = min(max(CLASSIC_ROUND_TRIPS * rtt_s, CLASSIC_TEST_LEAST_S), CLASSIC_TEST_TIMEOUT_S)
    return await classic_name((complete or answering)[0], wait_s=wait_s)
