"""The part of ``p2p bench`` that sends datagrams as a call does, and sees which come back, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from p2p import defaults
from p2p.errors import DecodeError
from p2p.forward.sockets import Addresses
from p2p.proto.bench import BENCH_SERVICE, decode_datagram_untrusted, encode_datagram
from p2p.proto.tunnel.codes import StreamCode
from p2p.session.bench_result import Datagrams, Latency
from p2p.session.peer_session import PeerSession

_JITTER_SHARE = 16
"""How slowly the jitter follows. Source: RFC 3550 section 6.4.1."""


class EchoTimes:
    """Notes when datagrams were sent and came back; the local end of their flow."""

    dropped = 0

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._sent_at: dict[int, float] = {}
        self._sent = 0
        self._last_s: float | None = None
        self._jitter_s = 0.0
        self._samples_s: list[float] = []

    def sent(self, number: int) -> None:
        """Take note that a datagram is on its way."""
        self._sent += 1
        self._sent_at[number] = self._loop.time()

    def send(self, datagrams: Sequence[bytes]) -> int:
        """Take what came back; see ``DatagramPort``."""
        now = self._loop.time()
        for datagram in datagrams:
            try:
                sent_at = self._sent_at.pop(decode_datagram_untrusted(datagram), None)
            except DecodeError:
                continue
            if sent_at is None:
                continue  # it came twice, or it is the one that opened the flow
            took_s = now - sent_at
            self._samples_s.append(took_s)
            if self._last_s is not None:
                self._jitter_s += (abs(took_s - self._last_s) - self._jitter_s) / _JITTER_SHARE
            self._last_s = took_s
        return len(datagrams)

    def close(self, *, reset: bool) -> None:
        """See ``DatagramPort``: nothing to close."""

    @property
    def is_complete(self) -> bool:
        """Whether all that were sent are back."""
        return not self._sent_at

    def result(self) -> Datagrams:
        """Sum up."""
        return Datagrams(
            sent=self._sent,
            lost=self._sent - len(self._samples_s),
            jitter_s=self._jitter_s if len(self._samples_s) > 1 else None,
            latency=Latency.of(self._samples_s),
        )


async def echo_datagrams(session: PeerSession, seconds: int) -> Datagrams:
    """Send datagrams at a steady pace, and wait a moment for the last ones.

    Args:
        session: It must be open.
        seconds: For how long.

    Raises:
        ForwardError: The session takes no flow.
    """
    loop = asyncio.get_running_loop()
    times = EchoTimes(loop)
    flow = session.multiplexer.open_datagram_flow(times, BENCH_SERVICE, Addresses(None, None))
    count = round(seconds / defaults.BENCH_DATAGRAM_INTERVAL_S)
    try:
        begun_at = loop.time()
        # The one numbered 0 opens the flow, reliably, and does not count.
        for number in range(count + 1):
            if number:
                times.sent(number)
            datagram = encode_datagram(number, defaults.BENCH_DATAGRAM_BYTES)
            flow.push(datagram, len(datagram))
            flow.flush()
            await asyncio.sleep(max(0.0, begun_at + number * defaults.BENCH_DATAGRAM_INTERVAL_S - loop.time()))
        waited_until = loop.time() + defaults.BENCH_DATAGRAM_WAIT_S
        while loop.time() < waited_until:
            if times.is_complete or flow.closed:
                break
            await asyncio.sleep(defaults.BENCH_WATCH_S)
    finally:
        if not flow.closed:
            flow.abort(StreamCode.ABORTED)
    return times.result()
