"""Blocking drivers that run a machine over real sockets, for interop tests."""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

from p2p.address import TransportAddress
from p2p.proto.turn.client import AllocationClient
from p2p.proto.turn.framing import StreamFramer


class AllocationDriver:
    """Runs one allocation over UDP, TCP or TLS.

    Args:
        client: The machine; its ``server`` is connected to.
        transport: ``udp``, ``tcp`` or ``tls``.
    """

    def __init__(self, client: AllocationClient, transport: str) -> None:
        self.client = client
        self.events: list[Any] = []
        self._framer: StreamFramer | None = None
        if transport == "udp":
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.connect(client.server)
        else:
            self.socket = socket.create_connection(client.server, 5)
            self._framer = StreamFramer()
        if transport == "tls":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)

    def __enter__(self) -> AllocationDriver:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, peer: TransportAddress, data: bytes) -> None:
        """Send data to a peer."""
        self.socket.sendall(self.client.send(peer, data))

    def flush(self) -> None:
        """Send what is due and take events."""
        for datagram in self.client.datagrams_to_send(time.monotonic()):
            self.socket.sendall(datagram.data)
        while (event := self.client.next_event()) is not None:
            self.events.append(event)

    def receive(self, timeout_s: float) -> None:
        """Wait for something from the server, and hand it to the machine."""
        self.flush()
        # Decrypted bytes may wait inside the TLS object, where select does not see them.
        pending = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()
        if not pending and not select.select([self.socket], [], [], timeout_s)[0]:
            self.client.handle_timer(time.monotonic())
            self.flush()
            return
        data = self.socket.recv(65536)
        now = time.monotonic()
        if self._framer is None:
            self.client.receive_datagram(data, self.client.server, now)
        else:
            self._framer.receive_data(data)
            while (frame := self._framer.next_frame()) is not None:
                self.client.receive_datagram(frame, self.client.server, now)
        self.flush()


def run_until(drivers: Sequence[AllocationDriver], done: Callable[[], bool], timeout_s: float = 5.0) -> None:
    """Run several drivers in turn until something is true.

    Raises:
        TimeoutError: It did not become true in time; names the events that came.
    """
    deadline = time.monotonic() + timeout_s
    for driver in drivers:
        driver.flush()
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError([driver.events for driver in drivers])
        for driver in drivers:
            driver.receive(0.02)


def wait_for_event(driver: AllocationDriver, kind: type, others: Sequence[AllocationDriver] = ()) -> Any:
    """Run a driver until an event of this kind came, and return the first of them."""
    run_until([driver, *others], lambda: any(isinstance(event, kind) for event in driver.events))
    return next(event for event in driver.events if isinstance(event, kind))
