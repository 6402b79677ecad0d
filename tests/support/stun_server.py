"""A STUN server on loopback around ``BindingResponder``, for foreign clients and our own."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from p2p.address import TransportAddress
from p2p.proto.stun.responder import BindingResponder
from tests.support.ports import free_ports


@contextmanager
def run_stun_server(
    hosts: Sequence[str] = ("127.0.0.1", "127.0.0.2"), port_count: int = 2, ports: Sequence[int] | None = None
) -> Iterator[list[TransportAddress]]:
    """Answer Binding requests until the block ends.

    Args:
        hosts: The IP addresses to listen on.
        port_count: How many ports on each.
        ports: These ports instead of free ones.

    Yields:
        The addresses: the first host's ports, then the second's.
    """
    chosen = list(ports or free_ports(port_count))
    addresses = [TransportAddress(host, port) for host in hosts for port in chosen]
    responder = BindingResponder(addresses)
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        sockets: dict[TransportAddress, socket.socket] = {}
        for address in addresses:
            sockets[address] = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sockets[address].bind(address)
            selector.register(sockets[address], selectors.EVENT_READ, address)
        waker, wakened = socket.socketpair()
        stack.enter_context(waker)
        stack.enter_context(wakened)
        selector.register(wakened, selectors.EVENT_READ, None)

        def serve() -> None:
            while True:
                for key, _ in selector.select():
                    if key.data is None:
                        return
                    data, source = sockets[key.data].recvfrom(65536)
                    reply = responder.respond(data, TransportAddress.from_socket(source), key.data)
                    if reply is not None:
                        sockets[reply.local].sendto(reply.data, reply.destination)

        thread = threading.Thread(target=serve, name="stun-server")
        thread.start()
        try:
            yield addresses
        finally:
            waker.send(b"\0")
            thread.join()
