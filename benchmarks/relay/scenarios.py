"""What is measured: each scenario is one load, and one figure of what became of it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, TypeAlias

from benchmarks.relay import relays
from benchmarks.relay.load import Flow, Generator, Load, Result, relayed_flows
from benchmarks.relay.network import CLIENT_HOST, PEER_HOST, Network
from benchmarks.relay.relays import RunningRelay

RELAY_CORE: Final = "1"
GIB: Final = 1 << 30
QUIET_CLIENTS: Final = 100
QUIET_PACKETS_PER_S: Final = 40

Figures: TypeAlias = dict[str, float]
Starter: TypeAlias = Callable[..., AbstractContextManager[RunningRelay]]

STARTERS: Final[dict[str, Starter]] = {"ours": relays.ours, "coturn": relays.coturn}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """One comparison.

    Attributes:
        name: What JSON and the command line call it.
        title: What the table calls it.
        unit: Of the figure.
        better: Whether more or less of it is better.
        goal: The least ratio of ours to coturn's where more is better, else the greatest; 0 for none.
        goal_value: The greatest value of ours where that and not the ratio matters.
        measure: Measures one relay once; the figure is ``value``, other keys are beside it.
        gro: Whether the relay's interfaces join what arrives.
    """

    name: str
    title: str
    unit: str
    measure: Callable[[Network, Generator, Starter, float], Figures]
    better: Literal["higher", "lower"] = "higher"
    goal: float = 0.0
    goal_value: float | None = None
    gro: bool = False


def _flood(
    load: Load,
    figure: Callable[[Result], float],
    network: Network,
    generator: Generator,
    start: Starter,
    seconds: float,
) -> Figures:
    with start(network, cores=RELAY_CORE) as relay, relayed_flows(network, load) as flows:
        result = generator.run(flows, load, seconds=seconds, pids=relay.pids)
    if result["damaged"]:
        raise RuntimeError(f"{relay.name}: {result['damaged']} datagrams came out damaged")
    moved_gib = result["received"] * load.payload / GIB
    return {
        "value": figure(result),
        "cpu_s_per_gib": result["cpu_s"] / moved_gib if moved_gib else 0.0,
        "lost": max(0.0, 1 - result["received"] / result["sent"]) if result["sent"] else 0.0,
        "latency_p50_ms": result["latency_p50_us"] / 1e3,
        "generator_core": result["generator_cpu_s"] / result["elapsed_s"],
    }


def _added_latency(load: Load, network: Network, generator: Generator, start: Starter, seconds: float) -> Figures:
    """Latency through the relay less that of the same path without it, forwarded by the kernel."""
    with contextlib.ExitStack() as stack:
        client, peer = network.udp("client", CLIENT_HOST), network.udp("peer", PEER_HOST)
        stack.callback(client.close)
        stack.callback(peer.close)
        network.forward()
        client.connect(peer.getsockname())
        direct = generator.run([Flow(client, peer, has_header=False)], load, seconds=seconds)
    relayed = _flood(load, lambda result: result["latency_p50_us"], network, generator, start, seconds)
    direct_ms = direct["latency_p50_us"] / 1e3
    return {"value": relayed["value"] / 1e3 - direct_ms, "direct_ms": direct_ms, "lost": relayed["lost"]}


def _fairness(network: Network, generator: Generator, start: Starter, seconds: float) -> Figures:
    """What others get while one client sends as fast as it can."""
    flood = Load(burst=16, gso=True)
    quiet = Load(flows=QUIET_CLIENTS, payload=200, rate=QUIET_CLIENTS * QUIET_PACKETS_PER_S, realtime=True)
    with (
        start(network, cores=RELAY_CORE) as relay,
        relayed_flows(network, quiet) as quiet_flows,
        relayed_flows(network, flood) as flood_flows,
        generator.start(flood_flows, flood, seconds=seconds + 1.5, pids=relay.pids) as flooding,
    ):
        time.sleep(0.5)
        result = generator.run(quiet_flows, quiet, seconds=seconds)
        flooded = json.loads(flooding.communicate(timeout=seconds + 30)[0])
    return {
        "value": max(0.0, 1 - result["received"] / result["sent"]),
        "latency_p50_ms": result["latency_p50_us"] / 1e3,
        "latency_p99_ms": result["latency_p99_us"] / 1e3,
        "flood_mbit_per_s": flooded["mbit_per_s"],
    }


def _mbit(load: Load) -> Callable[[Network, Generator, Starter, float], Figures]:
    return partial(_flood, load, lambda result: result["mbit_per_s"])


def _core_share(result: Result) -> float:
    return float(result["cpu_s"] / result["elapsed_s"])


# The generator hands 16 packets to the kernel in one call; on the wire each is alone.
_ONE: Final = Load(window=512, burst=16)
_ONE_BACK: Final = Load(window=512, burst=16, direction="to_client")
# With GRO on, the sender's device cuts batches into packets, and the relay's device joins what it can.
_GRO: Final = Load(window=2000, burst=40, gso=True)
_GRO_BACK: Final = Load(window=2000, burst=40, gso=True, direction="to_client")
_BATCHING: Final = Load(window=2000, burst=40, gso=True)
_BATCHING_BACK: Final = Load(window=2000, burst=40, gso=True, direction="to_client")

SCENARIOS: Final = (
    Scenario(name="one_flow", title="one flow, packet by packet", unit="Mbit/s", goal=1.5, measure=_mbit(_ONE)),
    Scenario(name="one_flow_back", title="the same to the client", unit="Mbit/s", goal=1.5, measure=_mbit(_ONE_BACK)),
    Scenario(name="gro", title="one flow, GRO interface", unit="Mbit/s", goal=2.0, gro=True, measure=_mbit(_GRO)),
    Scenario(
        name="gro_back",
        title="the same to the client",
        unit="Mbit/s",
        goal=2.0,
        gro=True,
        measure=_mbit(_GRO_BACK),
    ),
    Scenario(name="batching", title="one flow, batching sender", unit="Mbit/s", goal=5.0, measure=_mbit(_BATCHING)),
    Scenario(
        name="batching_back", title="the same to the client", unit="Mbit/s", goal=5.0, measure=_mbit(_BATCHING_BACK)
    ),
    Scenario(
        name="flows",
        title="100 flows at saturation",
        unit="Mbit/s",
        goal=1.2,
        measure=_mbit(Load(flows=100, window=600)),
    ),
    Scenario(
        name="small",
        title="one flow, 200-byte payloads",
        unit="packets/s",
        goal=1.5,
        measure=partial(_flood, Load(window=512, burst=16, payload=200), lambda result: result["packets_per_s"]),
    ),
    Scenario(
        name="sparse",
        title="100 flows, 100,000 packets/s",
        unit="cores",
        better="lower",
        goal=1.3,
        measure=partial(_flood, Load(flows=100, rate=100_000), _core_share),
    ),
    Scenario(
        name="latency",
        title="added latency at 10 % load",
        unit="ms",
        better="lower",
        goal_value=0.1,
        measure=partial(_added_latency, Load(rate=20_000)),
    ),
    Scenario(
        name="tcp_to_peer",
        title="client over TCP to peer",
        unit="Mbit/s",
        goal=2.0,
        measure=_mbit(Load(leg="tcp", burst=16)),
    ),
    Scenario(
        name="tcp_to_client",
        title="peer to client over TCP",
        unit="Mbit/s",
        goal=1.0,
        measure=_mbit(Load(leg="tcp", window=512, burst=16, direction="to_client")),
    ),
    Scenario(
        name="tls_to_peer",
        title="client over TLS to peer",
        unit="Mbit/s",
        goal=1.0,
        measure=_mbit(Load(leg="tls", burst=16)),
    ),
    Scenario(
        name="tls_to_client",
        title="peer to client over TLS",
        unit="Mbit/s",
        goal=1.0,
        measure=_mbit(Load(leg="tls", window=512, burst=16, direction="to_client")),
    ),
    Scenario(
        name="fairness",
        title="lost by 100 quiet clients",
        unit="share",
        better="lower",
        goal_value=0.001,
        measure=_fairness,
    ),
)
