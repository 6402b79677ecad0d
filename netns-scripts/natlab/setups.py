"""Where the two programs of a cell are, and what they must come to: a pair of kinds, or a scenario with a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from .bounds import FORWARDED, NEAR, RELAYED, Bounds, bounds_of
from .errors import LabError
from .expectation import REASON_NO_COMMON_ADDRESS, REASON_UNANSWERED, Expectation, Path, expect
from .kinds import kind_named
from .results import CellKey
from .shapes import LinkShape
from .topology import FAMILY_IPV4, FAMILY_IPV6, Router, Topology

DIALER: Final = "d"
EXPOSER: Final = "e"
_CARRIER: Final = "cgn"
LOSS: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What to build for a cell, and what must come of it.

    Attributes:
        key: What tells it from others.
        topology: What to build.
        expectation: What the pair must come to.
        bounds: How good it has to be.
        dialer_host: Where the dialer is.
        exposer_host: Where the exposer is.
        has_server: Whether there is a server for them to meet at.
        summary: What it is, in a few words; empty for two routers and nothing else.
    """

    key: CellKey
    topology: Topology
    expectation: Expectation
    bounds: Bounds
    dialer_host: str = f"{DIALER}1"
    exposer_host: str = f"{EXPOSER}1"
    has_server: bool = True
    summary: str = ""

    @property
    def takes_time(self) -> bool:
        """Whether it may take long until the path is final: a guess, loss, or checks that nobody answers."""
        return self.expectation.needs_guess or self.key.loss > 0 or self.expectation.reason == REASON_UNANSWERED


def pair_setup(
    dialer: str,
    exposer: str,
    *,
    delay_s: float,
    loss: float = 0.0,
    ipv6: bool = False,
    hard: Path = Path.DIRECT,
    scenario: str = "",
    summary: str = "",
) -> Setup:
    """Set up two routers of these kinds with a host each.

    Args:
        dialer: The dialer's kind.
        exposer: The exposer's kind.
        delay_s: One-way delay of each uplink, in seconds.
        loss: The share of packets that each uplink loses each way.
        ipv6: Whether there is IPv6.
        hard: What to expect of pairs that need a guess and can have one.
        scenario: What to call it, where it has a name.
        summary: What it is, in a few words.

    Raises:
        LabError: There is no such kind.
    """
    kinds = kind_named(dialer), kind_named(exposer)
    expectation = expect(*kinds, hard=hard)
    bounds = bounds_of(*kinds, expectation.path)
    if ipv6 and None not in (kinds[0].mapping, kinds[1].mapping):
        # Whatever happens to IPv4: two firewalls let each other's packets in once both have sent.
        expectation, bounds = Expectation(Path.DIRECT), NEAR
    link = LinkShape(delay_s=delay_s, loss=loss)
    return Setup(
        key=CellKey(scenario, dialer, exposer, delay_s * 1e3, loss, ipv6),
        topology=Topology(
            name="matrix",
            ipv6=ipv6,
            routers=(
                Router(name=DIALER, kind=dialer, link=link),
                Router(name=EXPOSER, kind=exposer, link=link),
            ),
        ),
        expectation=expectation,
        bounds=bounds,
        summary=summary,
    )


def _one_router(name: str, summary: str, delay_s: float, *, isolated: bool, hairpin: bool) -> Setup:
    meet = hairpin or not isolated
    router = Router(
        name=DIALER, kind="port", hosts=2, isolated=isolated, hairpin=hairpin, link=LinkShape(delay_s=delay_s)
    )
    return Setup(
        key=CellKey(name, "port", "port", delay_s * 1e3, 0.0, ipv6=False),
        topology=Topology(name="matrix", ipv6=False, routers=(router,)),
        expectation=Expectation(Path.DIRECT) if meet else Expectation(Path.RELAY, REASON_UNANSWERED),
        bounds=NEAR if meet else replace(RELAYED, reason_s=None),
        exposer_host=f"{DIALER}2",
        summary=summary,
    )


def _one_carrier(name: str, summary: str, delay_s: float, *, hairpin: bool) -> Setup:
    carrier = Router(name=_CARRIER, kind="port-np", hosts=0, hairpin=hairpin, link=LinkShape(delay_s=delay_s))
    homes = tuple(Router(name=home, kind="port", uplink=_CARRIER) for home in (DIALER, EXPOSER))
    return Setup(
        key=CellKey(name, "port", "port", delay_s * 1e3, 0.0, ipv6=False),
        topology=Topology(name="matrix", ipv6=False, routers=(carrier, *homes)),
        expectation=Expectation(Path.DIRECT) if hairpin else Expectation(Path.RELAY, REASON_UNANSWERED),
        bounds=NEAR if hairpin else replace(RELAYED, reason_s=None),
        summary=summary,
    )


def _behind_carrier(name: str, summary: str, delay_s: float, *, carrier: str) -> Setup:
    """A home behind a carrier's NAT dials one that is not: what the carrier does decides."""
    pair = pair_setup(carrier, "port", delay_s=delay_s, scenario=name, summary=summary)
    outer, other = pair.topology.routers
    routers = (
        replace(outer, name=_CARRIER, hosts=0),
        Router(name=DIALER, kind="port", uplink=_CARRIER),
        other,
    )
    return replace(
        pair, key=pair.key._replace(dialer=f"port behind {carrier}"), topology=replace(pair.topology, routers=routers)
    )


def _families(name: str, summary: str, delay_s: float, *, dialer: str, exposer: str) -> Setup:
    pair = pair_setup("fw", "fw", delay_s=delay_s, ipv6=True, scenario=name, summary=summary)
    families = zip(pair.topology.routers, (dialer, exposer), strict=True)
    routers = tuple(replace(router, family=family) for router, family in families)
    return replace(
        pair,
        topology=replace(pair.topology, routers=routers),
        expectation=Expectation(Path.RELAY, REASON_NO_COMMON_ADDRESS),
        bounds=RELAYED,
    )


def _forwarded(name: str, summary: str, delay_s: float, *, by: str) -> Setup:
    """Two random sides, which meet nowhere but at a port that one router forwards."""
    pair = pair_setup("sym", "sym", delay_s=delay_s, scenario=name, summary=summary)
    routers = tuple(replace(router, portmap=router.name == by) for router in pair.topology.routers)
    return replace(
        pair,
        topology=replace(pair.topology, routers=routers),
        expectation=Expectation(Path.DIRECT),
        bounds=FORWARDED,
    )


def _pair(dialer: str, exposer: str, *, loss: float = 0.0, ipv6: bool = False) -> Callable[[str, str, float], Setup]:
    def build(name: str, summary: str, delay_s: float) -> Setup:
        return pair_setup(dialer, exposer, delay_s=delay_s, loss=loss, ipv6=ipv6, scenario=name, summary=summary)

    return build


# Name, what it is, and how to build it.
_SCENARIOS: Final[dict[str, tuple[str, Callable[[str, str, float], Setup]]]] = {
    "lan": (
        "two hosts on one LAN",
        lambda name, text, delay_s: _one_router(name, text, delay_s, isolated=False, hairpin=False),
    ),
    "lan-alone": (
        "two hosts on one LAN, and no server",
        lambda name, text, delay_s: replace(
            _one_router(name, text, delay_s, isolated=False, hairpin=False), has_server=False
        ),
    ),
    "hairpin": (
        "two guests behind one NAT that sends packets back in",
        lambda name, text, delay_s: _one_router(name, text, delay_s, isolated=True, hairpin=True),
    ),
    "no-hairpin": (
        "two guests behind one NAT that does not",
        lambda name, text, delay_s: _one_router(name, text, delay_s, isolated=True, hairpin=False),
    ),
    "carrier-hairpin": (
        "two homes behind one carrier that sends packets back in",
        lambda name, text, delay_s: _one_carrier(name, text, delay_s, hairpin=True),
    ),
    "carrier-no-hairpin": (
        "two homes behind one carrier that does not",
        lambda name, text, delay_s: _one_carrier(name, text, delay_s, hairpin=False),
    ),
    "carrier-port": (
        "a home behind a carrier that filters by port, to another home",
        lambda name, text, delay_s: _behind_carrier(name, text, delay_s, carrier="port-np"),
    ),
    "carrier-sym": (
        "a home behind a carrier with random ports, to another home",
        lambda name, text, delay_s: _behind_carrier(name, text, delay_s, carrier="sym"),
    ),
    "ipv6": ("NATs that cannot meet, and IPv6 behind firewalls", _pair("sym", "sym", ipv6=True)),
    "ipv4-to-ipv6": (
        "the dialer has IPv4 only, the exposer IPv6 only",
        lambda name, text, delay_s: _families(name, text, delay_s, dialer=FAMILY_IPV4, exposer=FAMILY_IPV6),
    ),
    "ipv6-to-ipv4": (
        "the dialer has IPv6 only, the exposer IPv4 only",
        lambda name, text, delay_s: _families(name, text, delay_s, dialer=FAMILY_IPV6, exposer=FAMILY_IPV4),
    ),
    "blocked-dialer": ("no UDP at the dialer", _pair("udpblock", "port")),
    "blocked-exposer": ("no UDP at the exposer", _pair("port", "udpblock")),
    "blocked-both": ("no UDP at either", _pair("udpblock", "udpblock")),
    "loss": ("10 % loss on both links", _pair("port", "port", loss=LOSS)),
    "loss-sym": ("random ports, 10 % loss on both links", _pair("sym", "full", loss=LOSS)),
    "pool": ("an address for each destination, to a port filter", _pair("pool", "port")),
    "pool-full": ("an address for each destination, to no filter", _pair("pool", "full")),
    "pool-paired": ("an address for each host, out of several", _pair("pool-paired", "port")),
    "portmap-here": (
        "random ports on both sides, the dialer's router forwards one",
        lambda name, text, delay_s: _forwarded(name, text, delay_s, by=DIALER),
    ),
    "portmap-there": (
        "random ports on both sides, the exposer's router forwards one",
        lambda name, text, delay_s: _forwarded(name, text, delay_s, by=EXPOSER),
    ),
}
SCENARIOS: Final = tuple(_SCENARIOS)


def scenario_setup(name: str, *, delay_s: float) -> Setup:
    """Set up a scenario.

    Args:
        name: One of `SCENARIOS`.
        delay_s: One-way delay of each uplink, in seconds.

    Raises:
        LabError: There is none of that name.
    """
    try:
        summary, build = _SCENARIOS[name]
    except KeyError:
        raise LabError(f"there is no scenario {name!r}", f"Known: {', '.join(SCENARIOS)}.") from None
    return build(name, summary, delay_s)
