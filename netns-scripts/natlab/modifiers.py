"""Prove that what can be said of any router, whatever its kind, is so: one look at a lab for each such word."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from .kinds import Dependence
from .lab import Lab
from .plan import SERVER, SERVER_ADDRESSES
from .probe import SAME, STRANGER, Endpoint, Observer, Prober, judge_filtering, judge_mapping
from .topology import FAMILY_IPV4, FAMILY_IPV6, Router, Topology

_SOURCE_PORT: Final = 5000
_LIFETIME_S: Final = 1
_CAP: Final = 4
_EXTRA: Final = 2
# Labs under test have no delay; a packet that is not here by then was dropped.
_GRACE_S: Final = 0.2
# The kernel looks for what has expired now and then; it is never early.
_EXPIRY_S: Final = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Modifier:
    """One thing to prove.

    Attributes:
        name: The word in a topology.
        value: What it is set to there.
        text: What is looked at.
        topology: The lab to look at.
        look: Says what is seen.
        wanted: What must be seen.
    """

    name: str
    value: str
    text: str
    topology: Topology
    look: Callable[[Lab], str]
    wanted: str


def _observer(lab: Lab) -> Observer:
    return Observer(lambda: lab.entered(SERVER), SERVER_ADDRESSES)


def _prober(lab: Lab, host: str, observer: Observer, port: int = 0) -> Prober:
    return Prober(lambda: lab.entered(host), observer, port)


def _seen(prober: Prober) -> Endpoint | None:
    (endpoint,) = prober.ask([(SAME, SAME)])
    return endpoint


def _reach_each_other(lab: Lab) -> str:
    """Both hosts send to the other's outside address from one and the same port, as two peers do."""
    with (
        _observer(lab) as observer,
        _prober(lab, "r1", observer, _SOURCE_PORT) as one,
        _prober(lab, "r2", observer, _SOURCE_PORT) as two,
    ):
        outside_one, outside_two = _seen(one), _seen(two)
        if outside_one is None or outside_two is None:
            return "no answer"
        reached = False
        for _ in range(2):
            one.send(outside_two)
            two.send(outside_one)
            time.sleep(_GRACE_S / 4)
            reached = one.hears(_GRACE_S) and two.hears(_GRACE_S)
    return "reached" if reached else "not reached"


def _forgets(lab: Lab) -> str:
    with _observer(lab) as observer, _prober(lab, "r1", observer) as prober:
        first = _seen(prober)
        for _ in range(4):
            time.sleep(_LIFETIME_S / 2)
            if first is None or _seen(prober) != first:
                return "forgets what is used"
        time.sleep(_EXPIRY_S)
        observer.probe(SAME, first)
        return "remembers what is not used" if prober.hears(_GRACE_S) else "1 s"


def _early_packet(lab: Lab) -> str:
    """Send to the mapped port before the host has sent to that sender, as the other side of a punch does."""
    with _observer(lab) as observer, _prober(lab, "r1", observer, _SOURCE_PORT) as prober:
        before = _seen(prober)
        if before is None:
            return "no answer"
        refused = False
        with lab.entered(SERVER):
            stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with stranger:
            stranger.connect(before)
            stranger.send(b"early")
            if select.select([stranger], [], [], _GRACE_S)[0]:
                try:
                    stranger.recv(100)
                except ConnectionRefusedError:
                    refused = True
        for _ in range(3):
            observer.probe(STRANGER, before)
        time.sleep(_GRACE_S / 4)
        (after,) = prober.ask([(STRANGER, STRANGER)])
    moved = "stays" if after == before else "moves"
    return f"refused, {moved}" if refused else f"silent, {moved}"


def _full_table(lab: Lab) -> str:
    """Open more sessions than there is room for, then see which of them still hear the server."""
    with _observer(lab) as observer, ExitStack() as stack:
        probers = [stack.enter_context(_prober(lab, "r1", observer)) for _ in range(_CAP + _EXTRA)]
        outside = [_seen(prober) for prober in probers]
        for endpoint in outside:
            if endpoint is not None:
                observer.probe(SAME, endpoint)
        alive = [prober.hears(_GRACE_S) for prober in probers]
        # The oldest one is used again.
        again = _seen(probers[0]) is not None
    opened = "".join("-" if endpoint is None else "o" for endpoint in outside)
    return f"{opened} opened, {''.join('o' if yes else '-' for yes in alive)} hear, {'o' if again else '-'} again"


def _mapping_and_filtering(lab: Lab) -> str:
    with _observer(lab) as observer:
        with _prober(lab, "r1", observer, _SOURCE_PORT) as one, _prober(lab, "r2", observer, _SOURCE_PORT) as two:
            first, second = judge_mapping(one), judge_mapping(two)
        if first.mapping is None or second.mapping is None or first.outside is None:
            return "no answer"
        if first.outside.host != lab.address("cgn"):
            return "not translated twice"
        with _prober(lab, "r1", observer) as prober:
            filtering = judge_filtering(prober)
    same = "" if first.mapping is second.mapping else f", 2nd host {second.mapping.value}"
    return f"{first.mapping.value} {_short(filtering)}{same}"


def _short(dependence: Dependence | None) -> str:
    return "-" if dependence is None else dependence.value


def _neighbours(lab: Lab) -> str:
    with _observer(lab) as observer, _prober(lab, "r1", observer) as one, _prober(lab, "r2", observer) as two:
        if _seen(one) is None:
            return "no answer"
        one.send(Endpoint(lab.address("r2"), two.port))
        return "reached" if two.hears(_GRACE_S) else "not reached"


def _families(lab: Lab) -> str:
    shown = lab.run("r1", ["ip", "-o", "addr", "show", "dev", "eth0", "scope", "global"]).stdout.split()
    return "+".join(family for family in ("inet", "inet6") if family in shown)


def _one(*, ipv6: bool = False, **values: object) -> Topology:
    router = Router(**{"name": "r", "kind": "port", "hosts": 2, **values})  # type: ignore[arg-type]
    return Topology(name="selftest", routers=(router,), ipv6=ipv6)


def _carrier(outer: str, inner: str) -> Topology:
    routers = (Router(name="cgn", kind=outer, hosts=0), Router(name="r", kind=inner, hosts=2, uplink="cgn"))
    return Topology(name="selftest", routers=routers, ipv6=False)


def _modifier(
    name: str, value: str, text: str, topology: Topology, look: Callable[[Lab], str], wanted: str
) -> Modifier:
    return Modifier(name=name, value=value, text=text, topology=topology, look=look, wanted=wanted)


_TO_NEIGHBOUR: Final = "a neighbour by its outside address"
_EARLY: Final = "a packet that comes before ours; our port"
_FULL: Final = f"{_CAP + _EXTRA} sessions where there is room for {_CAP}"
_TWICE: Final = "mapping and filtering of both NATs together"
MODIFIERS: Final = (
    _modifier(
        "hairpin", "true", f"full: {_TO_NEIGHBOUR}", _one(kind="full", hairpin=True), _reach_each_other, "reached"
    ),
    _modifier("hairpin", "true", f"port: {_TO_NEIGHBOUR}", _one(hairpin=True), _reach_each_other, "reached"),
    _modifier("hairpin", "false", f"full: {_TO_NEIGHBOUR}", _one(kind="full"), _reach_each_other, "not reached"),
    _modifier("lifetime", "1", "an idle mapping lives", _one(lifetime_s=_LIFETIME_S), _forgets, "1 s"),
    _modifier("wan_input", "drop", _EARLY, _one(kind="linux"), _early_packet, "silent, stays"),
    _modifier("wan_input", "reject", _EARLY, _one(kind="linux", wan_input="reject"), _early_packet, "refused, stays"),
    _modifier("wan_input", "accept", _EARLY, _one(kind="linux", wan_input="accept"), _early_packet, "refused, moves"),
    _modifier(
        "session_full", "drop", _FULL, _one(session_cap=_CAP), _full_table, "oooo-- opened, oooo-- hear, o again"
    ),
    _modifier(
        "session_full",
        "evict",
        _FULL,
        _one(session_cap=_CAP, session_full="evict"),
        _full_table,
        "oooooo opened, --oooo hear, o again",
    ),
    _modifier("uplink", "full", f"port: {_TWICE}", _carrier("full", "port"), _mapping_and_filtering, "EI APD"),
    _modifier("uplink", "port", f"full: {_TWICE}", _carrier("port", "full"), _mapping_and_filtering, "EI APD"),
    _modifier("uplink", "addr", f"addr-np: {_TWICE}", _carrier("addr", "addr-np"), _mapping_and_filtering, "EI AD"),
    _modifier("uplink", "sym", f"port: {_TWICE}", _carrier("sym", "port"), _mapping_and_filtering, "APD APD"),
    _modifier("uplink", "port", f"sym: {_TWICE}", _carrier("port", "sym"), _mapping_and_filtering, "APD APD"),
    _modifier("isolated", "true", "a neighbour by its own address", _one(isolated=True), _neighbours, "not reached"),
    _modifier("isolated", "false", "a neighbour by its own address", _one(), _neighbours, "reached"),
    _modifier("family", "ipv4", "addresses", _one(ipv6=True, family=FAMILY_IPV4), _families, "inet"),
    _modifier("family", "ipv6", "addresses", _one(ipv6=True, family=FAMILY_IPV6), _families, "inet6"),
)
