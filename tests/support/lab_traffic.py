"""Small UDP traffic between the hosts of a lab, from inside the test process."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator
from types import TracebackType

from natlab.lab import Lab

ECHO_PORT = 7
MIRROR_PORT = 8
# Without delay in the lab an answer takes a millisecond; a busy machine, now and then, a hundred times that.
PATIENCE_S = 0.5
# Holds every packet of a test, even where nobody reads until all are sent.
BUFFER_BYTES = 4 << 20
# Above the system-wide limit, which root may; Python has no name for it.
SO_RCVBUFFORCE = 33


class Echo:
    """Sends every UDP packet back to where it came from, in a thread."""

    def __init__(self, lab: Lab, host: str, port: int = ECHO_PORT) -> None:
        with lab.entered(host):
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        self._socket.bind(("0.0.0.0", port))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"echo at {host}")

    def __enter__(self) -> Echo:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            if select.select([self._socket], [], [], 0.05)[0]:
                with contextlib.suppress(OSError):
                    data, source = self._socket.recvfrom(2048)
                    self._socket.sendto(self.answer(data, source), source)

    def answer(self, data: bytes, source: tuple[str, int]) -> bytes:
        """What to send back."""
        return data


class Mirror(Echo):
    """Tells every sender the address it is seen by."""

    def __init__(self, lab: Lab, host: str) -> None:
        super().__init__(lab, host, MIRROR_PORT)

    def answer(self, data: bytes, source: tuple[str, int]) -> bytes:
        """The sender's address as text."""
        return f"{source[0]} {source[1]}".encode()


@contextlib.contextmanager
def udp_at(lab: Lab, host: str, port: int = 0) -> Iterator[socket.socket]:
    """A UDP socket of a host."""
    with lab.entered(host):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with udp:
        udp.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        udp.bind(("0.0.0.0", port))
        yield udp


def exchange_s(udp: socket.socket, destination: tuple[str, int]) -> float | None:
    """Send a packet to an echo and wait for it, in seconds; None when it does not come back."""
    started_at = time.monotonic()
    udp.sendto(b"there and back", destination)
    if not select.select([udp], [], [], PATIENCE_S)[0]:
        return None
    try:
        udp.recv(2048)
    except OSError:
        return None
    return time.monotonic() - started_at


def round_trip_s(lab: Lab, host: str, *, to: str = "srv", port: int = ECHO_PORT) -> float | None:
    """The least of three round trips from a host to an echo; None when nothing comes back."""
    with udp_at(lab, host) as udp:
        times = [exchange_s(udp, (lab.address(to), port)) for _ in range(3)]
    answered = [took_s for took_s in times if took_s is not None]
    return min(answered) if answered else None


@contextlib.contextmanager
def tcp_pair(lab: Lab, client: str, server: str, port: int = 443) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection between two hosts."""
    with lab.entered(server):
        listener = socket.create_server((lab.address(server), port))
    with lab.entered(client):
        near = socket.socket()
    with listener, near:
        near.settimeout(20)
        near.connect((lab.address(server), port))
        far, _ = listener.accept()
        with far:
            far.settimeout(20)
            yield near, far


def seen_from(lab: Lab, udp: socket.socket) -> tuple[str, int]:
    """The address by which the mirror on the server sees a socket."""
    for _ in range(5):
        udp.sendto(b"who am I", (lab.address("srv"), MIRROR_PORT))
        if select.select([udp], [], [], PATIENCE_S)[0]:
            host, _, port = udp.recv(100).decode().partition(" ")
            return host, int(port)
    raise AssertionError("the mirror does not answer")
