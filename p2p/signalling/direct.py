"""Signals straight to a peer, over the sockets of its sessions: on one network, or to the addresses in a ticket."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from p2p.address import TransportAddress
from p2p.aio.driver import MachineDriver
from p2p.defaults import DIRECT_CALLED, DIRECT_LINES
from p2p.errors import DecodeError, IntegrityError
from p2p.identity import Identity, PeerId, ReplayGuard
from p2p.proto.direct import (
    Arrived,
    Delivered,
    DirectEvent,
    DirectExchange,
    Envelope,
    LineOpened,
    Undelivered,
)
from p2p.signalling.callbacks import call, ignore

logger = logging.getLogger(__name__)

Program = tuple[PeerId, str]
"""A peer, and which of its programs."""


class DirectSignalling:
    """Exchanges sealed bodies with peers that hold the same ticket, without a server.

    A peer that writes to us is answered where it wrote from. The one that we want to reach first, the *callee*, is
    called at any number of addresses; what waits for it goes to each that answers, for whoever holds the ticket can
    answer, and only the callee can open what is sealed to it.

    Concurrency: one event loop, no task; between ``open`` and ``close`` it holds one timer of the loop. Callbacks run
    on the loop.

    Args:
        identity: Who we are.
        key: Of the ticket, from ``p2p.proto.direct.derive_key``.
        instance: Which of the identity's programs this is.
        callee: Whom to reach by ``reach``; None for who only answers.
        now_wall: The Unix clock.

    Attributes:
        on_signal: Called with the sender, authenticated, its instance and the opened body of each signal.
        on_heard: Called when a way to a peer is known that was not known before.
        dropped_signals: How many were not for us, stale, forged or repeated.
        called: Every address at which the callee was called.
        asked: How else its addresses were looked for, in words.
    """

    def __init__(
        self,
        identity: Identity,
        key: bytes,
        *,
        instance: str,
        callee: Program | None = None,
        now_wall: Callable[[], float] = time.time,
    ) -> None:
        self.on_signal: Callable[[PeerId, str, bytes], object] = ignore
        self.on_heard: Callable[[], object] = ignore
        self.dropped_signals = 0
        self.called: dict[TransportAddress, None] = {}
        self.asked = ""
        self._identity = identity
        self._instance = instance
        self._callee = callee
        self._now_wall = now_wall
        self._exchange = DirectExchange(key, os.urandom, is_dialer=callee is not None)
        self._driver: MachineDriver[DirectEvent] | None = None
        self._guard = ReplayGuard()
        self._ways: OrderedDict[Program, TransportAddress] = OrderedDict()
        self._receipts: dict[int, asyncio.Future[bool]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: bytes | None = None
        self._callee_heard = asyncio.Event()

    def open(self, loop: asyncio.AbstractEventLoop, send: Callable[[bytes, TransportAddress], object]) -> None:
        """Begin.

        Args:
            loop: The event loop.
            send: Sends one datagram from the socket of the address's family.
        """
        self._loop = loop
        self._driver = MachineDriver(loop, self._exchange, send=send, on_event=self._take)

    def close(self) -> None:
        """End: nothing stays with the loop."""
        if self._driver is not None:
            self._driver.close()
        for receipt in self._receipts.values():
            receipt.cancel()
        self._receipts.clear()

    def received(self, data: bytes, source: TransportAddress, now: float) -> None:
        """Take a datagram that begins with ``FIRST_BYTE``."""
        if self._driver is not None:
            self._driver.receive(data, source, now)

    # --- who can be reached --------------------------------------------------------------------------------

    def knows(self, peer: PeerId, instance: str) -> bool:
        """Whether a peer has written to us, and was still there when we last wrote to it."""
        return (peer, instance) in self._ways

    def is_callee(self, peer: PeerId, instance: str) -> bool:
        """Whether a peer is the one that ``reach`` reaches."""
        return self._callee == (peer, instance)

    def call(self, addresses: Iterable[TransportAddress]) -> None:
        """Call the callee at more addresses, as long as it is not heard."""
        assert self._driver is not None
        assert self._loop is not None
        for address in addresses:
            if address not in self.called:
                while len(self.called) >= DIRECT_CALLED:
                    del self.called[next(iter(self.called))]
                self.called[address] = None
                if self._waiting is not None:
                    self._exchange.call(address, self._loop.time())
        self._driver.poke()

    def seal_for_callee(self, body: bytes) -> bytes:
        """Seal a body, for ``reach``.

        Raises:
            IdentityError: The callee's peer id is no usable key.
        """
        assert self._callee is not None
        return self._seal(*self._callee, body)

    async def reach(self, sealed: bytes) -> None:
        """Get a sealed body to the callee, whose address is not known for sure; cancel it to give up.

        Returns:
            When the callee has written something: it is there, and has most likely taken the body.
        """
        assert self._driver is not None
        assert self._loop is not None
        self._callee_heard.clear()
        self._waiting = sealed
        try:
            for address in self.called:
                self._exchange.call(address, self._loop.time())
            self._driver.poke()
            await self._callee_heard.wait()
        finally:
            # Unless a later attempt has begun.
            if self._waiting is sealed:
                self._waiting = None
                self._exchange.hang_up()
                self._driver.poke()

    def send(self, peer: PeerId, instance: str, body: bytes) -> asyncio.Future[bool]:
        """Send a body to a peer that is known. Bodies to one peer arrive in the order of the calls.

        Returns:
            Whether it has arrived, after a few seconds at most.

        Raises:
            IdentityError: The peer id is no usable key.
        """
        assert self._driver is not None
        assert self._loop is not None
        address = self._ways[peer, instance]
        number = self._exchange.send(address, self._seal(peer, instance, body), self._loop.time())
        receipt = self._receipts[number] = self._loop.create_future()
        self._driver.poke()
        return receipt

    # --- what the exchange tells ---------------------------------------------------------------------------

    def _take(self, event: DirectEvent) -> None:
        match event:
            case LineOpened(address):
                logger.info("somebody with the ticket answers at %s", address)
                if self._waiting is not None:
                    assert self._loop is not None
                    self._exchange.send(address, self._waiting, self._loop.time())
            case Arrived(address, message):
                self._open(address, message)
            case Delivered(_, number):
                self._settle(number, arrived=True)
            case Undelivered(address, number):
                for program in [program for program, way in self._ways.items() if way == address]:
                    del self._ways[program]
                self._settle(number, arrived=False)

    def _settle(self, number: int, *, arrived: bool) -> None:
        receipt = self._receipts.pop(number, None)
        if receipt is not None and not receipt.done():
            receipt.set_result(arrived)

    def _open(self, address: TransportAddress, message: bytes) -> None:
        try:
            opened = self._identity.open_untrusted(message)
            self._guard.check(opened, now_wall=self._now_wall())
            envelope = Envelope.decode_untrusted(opened.body)
            if envelope.receiver != self._instance:
                raise DecodeError(f"for another program of ours, {envelope.receiver!r}")
        except (IntegrityError, DecodeError) as error:
            self.dropped_signals += 1
            logger.info("a direct signal from %s was dropped: %s", address, error)
            return
        program = opened.sender, envelope.sender
        is_new = program not in self._ways
        # The latest address is where the peer is now.
        self._ways[program] = address
        self._ways.move_to_end(program)
        if len(self._ways) > DIRECT_LINES:
            self._ways.popitem(last=False)
        if program == self._callee:
            self._callee_heard.set()
        call(self.on_signal, opened.sender, envelope.sender, envelope.body)
        if is_new:
            call(self.on_heard)

    def _seal(self, peer: PeerId, instance: str, body: bytes) -> bytes:
        envelope = Envelope(self._instance, instance, body)
        return self._identity.seal(peer, envelope.encode(), now_wall=self._now_wall())
