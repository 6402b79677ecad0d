"""Everything that figures compare, by name; a further peer is a file here and a line below."""

from __future__ import annotations

from typing import Final

from benchmarks.peers.base import Peer
from benchmarks.peers.frp import Frp
from benchmarks.peers.hyperdht import Hyperdht
from benchmarks.peers.iroh import Iroh
from benchmarks.peers.ours import Ours
from benchmarks.peers.plain import Iperf3, Socat, Tcp
from benchmarks.peers.public import FrpPublic, NginxProxy, OurGateway
from benchmarks.peers.ssh import Ssh

OURS: Final = "ours"

PEERS: Final[dict[str, Peer]] = {
    peer.name: peer
    for peer in (
        Ours(OURS),
        Ours("ours_aioquic", ("--engine", "aioquic")),
        Ours("ours_relay", ("--relay-only",), "relay"),
        Ours("ours_udp", kind="udp:"),
        Ours("ours_udp_aioquic", ("--engine", "aioquic"), kind="udp:"),
        Tcp(),
        Tcp("udp"),
        Socat(),
        Socat("UDP"),
        Iperf3(),
        Ssh(),
        Frp("stcp"),
        Frp("xtcp"),
        Iroh(),
        Hyperdht(),
        OurGateway("http"),
        OurGateway("tcp"),
        FrpPublic("http"),
        FrpPublic("tcp"),
        NginxProxy(),
    )
}
"""In the order in which they are measured."""
