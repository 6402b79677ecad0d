"""What ``p2p nat`` asks: how the network in front of us behaves, and what gets through it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.defaults import CLASSIC_ROUND_TRIPS, CLASSIC_TEST_LEAST_S, CLASSIC_TEST_TIMEOUT_S, SERVERS_USED
from p2p.errors import ConfigError, ConnectivityError, P2PError
from p2p.gather.classic import classic_name
from p2p.gather.interfaces import host_addresses, source_towards
from p2p.gather.lifetime import search_lifetime
from p2p.gather.nat import discover_behaviour
from p2p.gather.nat_cache import NatCache, complete, here
from p2p.gather.portmap.probe import PortMappingFacts, probe_port_mapping
from p2p.gather.stun_servers import answers_over_tcp, resolve_stun_servers
from p2p.proto.path.reason import NatFacts
from p2p.proto.signalling.messages import Welcome
from p2p.proto.stun.behaviour import NatBehaviour
from p2p.proto.stun.combine import combine
from p2p.proto.stun.lifetime import Lifetime
from p2p.session.meeting import CODE_NO_RENDEZVOUS
from p2p.session.nat_report import LifetimeReport, NatReport, Previous, RelayReach
from p2p.session.nat_verdict import Findings, answering_servers, make_report
from p2p.session.options import PeerOptions
from p2p.session.own_addresses import any_on_this_host
from p2p.session.plausible import is_plausible
from p2p.session.relay_reach import reach_relays
from p2p.session.visit import visit_rendezvous


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What the user wants to know, and from whom."""

    stun: tuple[str, ...] = ()
    """STUN servers to ask instead of those that the rendezvous names: ``host`` or ``host:port``."""
    classic: bool = True
    """Whether to ask for the classic verdict too."""
    lifetime_limit_s: float | None = None
    """The longest lifetime of a mapping to look for, in seconds; None does not look for it at all."""
    cache: NatCache | None = None
    """Where to keep what is learned, and to look up what was before; None does neither."""
    ask_routers: Callable[[], Awaitable[PortMappingFacts]] = probe_port_mapping
    """Asks this host's routers; not called where a server is on this host, nor against the user's wish."""


class _Examined(NamedTuple):
    """The report, the NAT in a protocol's words, and the STUN server to ask further."""

    report: NatReport
    main: NatBehaviour
    nearest: TransportAddress | None


@dataclass(frozen=True, slots=True)
class Watch:
    """How to look on while the search for the lifetime runs, and how to end it.

    Attributes:
        on_report: Told all that is known, when the search begins and each time it knows more.
        stop: Ends the search early, once it is set; all else is there by then.
    """

    on_report: Callable[[NatReport], None] = lambda _: None
    stop: asyncio.Event = field(default_factory=asyncio.Event)


async def examine_network(
    options: PeerOptions, questions: Questions | None = None, *, watch: Watch | None = None
) -> NatReport:
    """Run all tests, against the servers that are named, else against those that the rendezvous names.

    Args:
        options: Must name a rendezvous unless ``questions`` names STUN servers; with both, relays are tested too.
        questions: What to ask; None asks everything of the rendezvous' servers but how long mappings live.
        watch: For the search for the lifetime, which takes minutes.

    Raises:
        ConfigError: There is neither a rendezvous nor a STUN server, or a server's name is none.
        SignallingError: The rendezvous cannot be reached, which leaves nothing to test against.
    """
    wanted = questions or Questions()
    if not options.rendezvous_urls and not wanted.stun:
        raise ConfigError("neither a rendezvous nor a STUN server to ask", code=CODE_NO_RENDEZVOUS)
    report, main, nearest = await _find_servers_and_test(options, wanted)
    report = _compare_with_memory(report, main, wanted.cache)
    if wanted.lifetime_limit_s is None:
        return report
    report = await _with_lifetime(report, nearest, wanted.lifetime_limit_s, watch or Watch())
    _remember_lifetime(report.lifetime, main, wanted.cache)
    return report


async def _find_servers_and_test(options: PeerOptions, questions: Questions) -> _Examined:
    named = await resolve_stun_servers(questions.stun)
    if not options.rendezvous_urls:
        return await _examine(options, named, None, questions)
    try:
        welcome = await visit_rendezvous(options, purpose="nat")
    except P2PError as error:
        if not questions.stun:
            raise
        # The named servers alone are asked; the rendezvous would only have said which relays there are.
        return await _examine(options, named, None, questions, f"No relay could be tested: {error.detail}.")
    # A rendezvous elsewhere has no business with what only this host can reach.
    hosts = host_addresses(loopback=any_on_this_host(options.rendezvous_urls))
    plausible = [server for server in welcome.stun if is_plausible(server, hosts)]
    return await _examine(options, named or plausible[:SERVERS_USED], welcome, questions)


async def _examine(
    options: PeerOptions,
    servers: Sequence[TransportAddress],
    welcome: Welcome | None,
    questions: Questions,
    *notes: str,
) -> _Examined:
    is_local = any_on_this_host(options.rendezvous_urls)
    relays = () if welcome is None else welcome.turn[:SERVERS_USED]
    ipv4 = tuple(server for server in servers if not server.is_ipv6)
    ipv6 = tuple(server for server in servers if server.is_ipv6)
    async with TaskScope() as scope:
        # Servers of one rendezvous are one service; those that a user names are each asked everything.
        tests_v4 = scope.start(_test_family(ipv4, each=bool(questions.stun)), name="IPv4 tests")
        tests_v6 = scope.start(_test_family(ipv6, each=bool(questions.stun)), name="IPv6 tests")
        router_tests = scope.start(_routers(servers, options, questions), name="port mapping tests")
        relay_tests = scope.start(reach_relays(relays, options, may_be_local=is_local), name="relay tests")
        behaviours_v4, behaviours_v6 = await tests_v4, await tests_v6
        classic = None
        if questions.classic:
            classic = scope.start(_classic(ipv4, behaviours_v4), name="classic tests")
        tested = {**behaviours_v4, **behaviours_v6}
        answering = answering_servers(tested.values())
        silent = [
            server for server, behaviour in tested.items() if behaviour.udp is not None and server not in answering
        ]
        over_tcp = dict(zip(silent, await asyncio.gather(*map(answers_over_tcp, silent)), strict=True))
        reached: list[RelayReach] = await relay_tests
        classic_verdict = None if classic is None else await classic
        router = await router_tests
    report = make_report(
        Findings(
            ipv4=behaviours_v4,
            ipv6=behaviours_v6,
            over_tcp=over_tcp,
            relays=tuple(reached),
            has_relays=bool(relays),
            classic_name=classic_verdict,
            hosts=host_addresses(),
            router=router,
            notes=notes,
        )
    )
    behaviours = behaviours_v4 or behaviours_v6
    main = combine(list(behaviours.values())) if behaviours else NatBehaviour()
    complete_first = sorted(behaviours, key=lambda server: behaviours[server].other_address is None)
    return _Examined(report, main, next((server for server in complete_first if server in answering), None))


async def _routers(
    servers: Sequence[TransportAddress], options: PeerOptions, questions: Questions
) -> PortMappingFacts | str:
    """Ask the routers, or say why not: with a server on this host it is about this host, and not about its network."""
    if not options.port_mapping:
        return "the router was not asked: port mapping is switched off"
    if any_on_this_host(options.rendezvous_urls) or any(server.ip.is_loopback for server in servers):
        return "the router was not asked: a server is on this host"
    return await questions.ask_routers()


async def _with_lifetime(report: NatReport, server: TransportAddress | None, limit_s: float, watch: Watch) -> NatReport:
    """Add how long a mapping lives, as far as it is known when the search ends or is ended."""
    if server is None:
        return replace(report, lifetime=LifetimeReport(reason="no STUN server answers"))

    def told(lifetime: Lifetime) -> NatReport:
        reason = "" if lifetime.problem is None else lifetime.problem.value
        return replace(
            report,
            lifetime=LifetimeReport(
                at_least_s=lifetime.at_least_s,
                at_most_s=lifetime.at_most_s,
                is_complete=lifetime.is_done,
                reason=reason,
            ),
        )

    watch.on_report(told(Lifetime()))
    return told(
        await search_lifetime(
            server, limit_s=limit_s, stop=watch.stop, on_progress=lambda lifetime: watch.on_report(told(lifetime))
        )
    )


def _compare_with_memory(report: NatReport, main: NatBehaviour, cache: NatCache | None) -> NatReport:
    """Say what was known of this network before, and keep what is known now."""
    network = None if cache is None else here()
    if cache is None or network is None:
        return report
    facts = NatFacts.of(main)
    recalled = cache.recall(network)
    cache.remember(network, facts)
    if recalled is None:
        return report
    return replace(report, previous=Previous(age_s=recalled.age_s, same=complete(facts, recalled.facts) is not None))


def _remember_lifetime(lifetime: LifetimeReport | None, main: NatBehaviour, cache: NatCache | None) -> None:
    """Keep how long mappings live, for sessions that keep theirs open."""
    network = None if cache is None else here()
    if cache is not None and network is not None and lifetime is not None and lifetime.at_least_s > 0:
        cache.remember(network, NatFacts.of(main), (lifetime.at_least_s, lifetime.at_most_s))


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
    host = source_towards(servers[0].host)
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


async def _classic(servers: Sequence[TransportAddress], behaviours: dict[TransportAddress, NatBehaviour]) -> str | None:
    """Ask for the classic verdict, of a server that has shown a second address, else of the first that answers."""
    heard = answering_servers(behaviours.values())
    answering = [server for server in servers if server in behaviours and server in heard]
    complete = [server for server in answering if behaviours[server].other_address is not None]
    if not answering:
        return None
    rtt_s = combine(list(behaviours.values())).round_trip_s
    wait_s = CLASSIC_TEST_TIMEOUT_S
    if rtt_s is not None:
        wait_s = min(max(CLASSIC_ROUND_TRIPS * rtt_s, CLASSIC_TEST_LEAST_S), CLASSIC_TEST_TIMEOUT_S)
    return await classic_name((complete or answering)[0], wait_s=wait_s)
