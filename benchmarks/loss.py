"""What random loss does to one QUIC stream: both ends in this process, joined by a link that is only simulated.

    python -m benchmarks.loss [--engine qh3,aioquic] [--loss 0,0.1,1,2] [--rtt-ms 40] [--mbit 100] [--seconds 10]
                              [--json FILE]

Time is simulated too, so that the machine's speed has no part in it.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from p2p.identity import Identity
from p2p.quic import ENGINE_NAMES, EngineConfig, EngineConnection, ServerCredentials, load_engine
from p2p.quic.engine import HandshakeCompleted, StreamDataReceived

_CHUNK: Final = bytes(1 << 16)
_BUFFER_S: Final = 0.05
"""What the narrowest point of the link holds before it drops: as much as many home routers."""
_STEP_S: Final = 0.001


@dataclass
class Way:
    """One direction of the link."""

    rate_bytes_s: float
    delay_s: float
    loss: float
    chance: random.Random
    free_at: float = 0.0
    under_way: list[tuple[float, int, bytes]] = field(default_factory=list)
    count: int = 0

    def send(self, packets: Sequence[bytes], now: float) -> None:
        """Queue packets behind what is queued already, and lose some."""
        for packet in packets:
            if self.free_at - now > _BUFFER_S:
                continue
            self.free_at = max(self.free_at, now) + len(packet) / self.rate_bytes_s
            self.count += 1
            if self.chance.random() >= self.loss:
                heapq.heappush(self.under_way, (self.free_at + self.delay_s, self.count, packet))

    def arrived(self, now: float) -> list[bytes]:
        """Take what has arrived."""
        packets = []
        while self.under_way and self.under_way[0][0] <= now:
            packets.append(heapq.heappop(self.under_way)[2])
        return packets


class Download:
    """A server that sends without end to a client that counts."""

    def __init__(self, engine_name: str, *, loss: float, rtt_s: float, mbit: float, seed: int) -> None:
        engine, identity, config = load_engine(engine_name), Identity.from_seed(bytes(32)), EngineConfig()
        self.client = engine.client(config)
        credentials = ServerCredentials(identity.certificate_pem, identity.private_key_pem)
        self.server = engine.server(config, credentials, self.client.initial_destination_cid)
        chance = random.Random(seed)
        self.down, self.up = (Way(mbit * 125_000, rtt_s / 2, loss, chance) for _ in range(2))
        self.received_bytes = 0
        self._stream: int | None = None

    def run(self, seconds: float) -> float:
        """Play so many seconds after the handshake; return Mbit/s."""
        now = 1000.0
        self.client.start(now)
        self.server.start(now)
        started_at: float | None = None
        while started_at is None or now - started_at < seconds:
            self._step(self.client, self.down, self.up, now)
            self._step(self.server, self.up, self.down, now)
            if started_at is None and self._stream is not None:
                started_at = now
            now += _STEP_S
        return self.received_bytes * 8e-6 / seconds

    def _step(self, end: EngineConnection, way_in: Way, way_out: Way, now: float) -> None:
        for packet in way_in.arrived(now):
            end.receive(packet, len(packet), now)
        timer = end.get_timer()
        if timer is not None and timer <= now:
            end.handle_timer(now)
        while (event := end.next_event()) is not None:
            if isinstance(event, HandshakeCompleted) and end is self.server:
                self._stream = end.open_stream()
            elif isinstance(event, StreamDataReceived):
                self.received_bytes += len(event.data)
        while True:
            if end is self.server and self._stream is not None and end.unsent_bytes(self._stream) < len(_CHUNK):
                end.send(self._stream, _CHUNK)
            packets = end.poll(now, 64)
            way_out.send(packets, now)
            if len(packets) < 64:
                return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default=",".join(ENGINE_NAMES), help="names, with commas")
    parser.add_argument("--loss", default="0,0.1,1,2", help="percent each way, with commas")
    parser.add_argument("--rtt-ms", type=float, default=40.0)
    parser.add_argument("--mbit", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", type=Path, help="write the results here")
    options = parser.parse_args()
    results = []
    for name in options.engine.split(","):
        for percent in map(float, options.loss.split(",")):
            play = Download(name, loss=percent / 100, rtt_s=options.rtt_ms / 1e3, mbit=options.mbit, seed=1)
            results.append({"engine": name, "loss_percent": percent, "mbit_s": round(play.run(options.seconds), 1)})
            print(f"{name:8} {percent:5g} % loss  {results[-1]['mbit_s']:8} Mbit/s", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
