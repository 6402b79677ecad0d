"""Three network namespaces in a row: clients, relay, peers; and sockets in them."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

CLIENT_HOST: Final = "198.18.1.2"
RELAY_CLIENT_SIDE: Final = "198.18.1.1"
RELAY_PEER_SIDE: Final = "198.18.2.1"
PEER_HOST: Final = "198.18.2.2"

_CLONE_NEWNET: Final = 0x40000000
_SIOCETHTOOL: Final = 0x8946
_ETHTOOL_STSO: Final = 0x1F
_ETHTOOL_SGRO: Final = 0x2C
_FOLDER: Final = "/run/netns/"

_libc = ctypes.CDLL(None, use_errno=True)


class Network:
    """Namespaces ``client``, ``relay`` and ``peer``, joined by two links; they end with the ``with`` block.

    Needs root.

    Args:
        gro: Whether the relay's interfaces join datagrams as a network card would: they hold them for 50 microseconds.
    """

    def __init__(self, *, gro: bool = False) -> None:
        self._prefix = f"rb{os.getpid()}"
        self._gro = gro

    def __enter__(self) -> Self:
        for name in ("client", "relay", "peer"):
            _ip("netns", "add", self.name_of(name))
            _ip("-n", self.name_of(name), "link", "set", "lo", "up")
        self._link("client", CLIENT_HOST, RELAY_CLIENT_SIDE)
        self._link("peer", PEER_HOST, RELAY_PEER_SIDE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for name in ("client", "relay", "peer"):
            subprocess.run(["ip", "netns", "del", self.name_of(name)], check=False, capture_output=True)

    def name_of(self, name: str) -> str:
        """The system's name of a namespace."""
        return f"{self._prefix}-{name}"

    def udp(self, namespace: str, host: str, port: int = 0) -> socket.socket:
        """Bind a UDP socket in a namespace."""
        with self.inside(namespace):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind((host, port))
        return made

    def tcp(self, namespace: str, address: tuple[str, int]) -> socket.socket:
        """Connect from a namespace."""
        with self.inside(namespace):
            return socket.create_connection(address, timeout=5)

    def forward(self) -> None:
        """Let the relay's namespace forward packets, for a path without a relay."""
        command = "echo 1 > /proc/sys/net/ipv4/ip_forward"
        subprocess.run(["ip", "netns", "exec", self.name_of("relay"), "sh", "-c", command], check=True)

    @contextmanager
    def inside(self, namespace: str) -> Iterator[None]:
        """Let this thread be in a namespace, whose sockets stay there."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(_FOLDER + self.name_of(namespace), os.O_RDONLY)
        try:
            _set_namespace(there)
            try:
                yield
            finally:
                _set_namespace(home)
        finally:
            os.close(home)
            os.close(there)

    def _link(self, name: str, host: str, relay_host: str) -> None:
        outer, inner = self.name_of(name), self.name_of("relay")
        _ip("link", "add", "out", "netns", outer, "type", "veth", "peer", "name", name, "netns", inner)
        for namespace, device, address in ((outer, "out", host), (inner, name, relay_host)):
            _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", device)
            _ip("-n", namespace, "link", "set", device, "up")
        # No neighbour discovery in the middle of a measurement.
        for namespace, device, address, to, to_device in (
            (outer, "out", relay_host, inner, name),
            (inner, name, host, outer, "out"),
        ):
            mac = json.loads(_ip("-n", to, "-j", "link", "show", to_device))[0]["address"]
            _ip("-n", namespace, "neigh", "replace", address, "lladdr", mac, "dev", device, "nud", "permanent")
        _ip("-n", outer, "route", "add", "default", "via", relay_host)
        if self._gro:
            with self.inside(name):
                _ethtool("out", _ETHTOOL_STSO, 0)  # else the other end takes for granted that batches arrive as such
            with self.inside("relay"):
                _ethtool(name, _ETHTOOL_SGRO, 1)
            for setting, value in (("gro_flush_timeout", 50_000), ("napi_defer_hard_irqs", 2)):
                # sysfs shows the devices of the namespace that it was mounted in: ip mounts one of its own.
                command = f"echo {value} > /sys/class/net/{name}/{setting}"
                subprocess.run(["ip", "netns", "exec", inner, "sh", "-c", command], check=True)


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def _set_namespace(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _ethtool(device: str, command: int, setting: int) -> None:
    value = ctypes.create_string_buffer(struct.pack("=II", command, setting))
    request = struct.pack("16sP16x", device.encode(), ctypes.addressof(value))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket.fileno(), _SIOCETHTOOL, request)
