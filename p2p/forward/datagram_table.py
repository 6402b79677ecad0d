"""The flows of datagrams of one session: which are idle, which has to go, and datagrams that come too early."""

from __future__ import annotations

import asyncio
from collections import deque

from p2p import defaults
from p2p.aio.timer import LazyTimer
from p2p.forward.datagram_flow import DatagramFlow
from p2p.proto.idle_table import IdleTable
from p2p.proto.tunnel.datagrams import Train


class DatagramTable:
    """Ends flows that nobody uses, and keeps a few datagrams of those that are not open yet.

    A QUIC datagram may overtake the stream that opens its flow.

    Args:
        loop: The event loop.
        idle_s: A flow ends when no datagram has come from either side for so long.
        max_flows: One more of ours ends the flow that was idle for longest.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, idle_s: float, max_flows: int) -> None:
        self._loop = loop
        self._flows: dict[int, DatagramFlow] = {}
        self._idle: IdleTable[int] = IdleTable(idle_s, max_flows)
        self._timer = LazyTimer(loop, self._expire)
        self._early: deque[tuple[int, bytes]] = deque()
        self._early_bytes = 0
        self.dropped = 0
        """Datagrams that belonged to no open flow, or waited for one in vain."""

    def __len__(self) -> int:
        return len(self._flows)

    def make_room(self) -> None:
        """End the flow idle for longest if there is no room for one more of ours."""
        displaced = self._idle.displaced()
        if displaced is not None:
            self._flows[displaced].end()

    def add(self, flow: DatagramFlow) -> None:
        """Take a new flow, and give it what came ahead of it."""
        self._flows[flow.stream_id] = flow
        self.used(flow)
        self._timer.set(self._idle.get_timer())
        if self._early and (early := [data for stream_id, data in self._early if stream_id == flow.stream_id]):
            self._early = deque(held for held in self._early if held[0] != flow.stream_id)
            self._early_bytes -= sum(map(len, early))
            flow.arrived(early)

    def used(self, flow: DatagramFlow) -> None:
        """Note that a flow is not idle."""
        if flow.stream_id in self._flows:
            self._idle.touch(flow.stream_id, self._loop.time())

    def remove(self, flow: DatagramFlow) -> None:
        """Forget a flow that has ended on this side."""
        self._flows.pop(flow.stream_id, None)
        self._idle.remove(flow.stream_id)
        if not self._flows:
            self._timer.cancel()

    def end_all(self) -> None:
        """End every flow: datagrams have no end that could be waited for."""
        for flow in tuple(self._flows.values()):
            flow.end()

    def hold(self, train: Train) -> None:
        """Keep datagrams of a flow that is not open yet, at the cost of those that have waited for longest."""
        early = self._early
        early += ((train.stream_id, datagram) for datagram in train.datagrams)
        self._early_bytes += sum(map(len, train.datagrams))
        while len(early) > defaults.FORWARD_UDP_HELD or self._early_bytes > defaults.FORWARD_UDP_HELD_BYTES:
            self._early_bytes -= len(early.popleft()[1])
            self.dropped += 1

    def close(self) -> None:
        """Forget everything; nothing stays with the loop."""
        self._timer.cancel()
        self._early.clear()

    def _expire(self, now: float) -> None:
        for stream_id in self._idle.expired(now):
            self._flows[stream_id].end()
        self._timer.set(self._idle.get_timer())
