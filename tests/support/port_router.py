"""A router on loopback that forwards ports by its word only: PCP over UDP, UPnP over SSDP and HTTP."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from p2p.address import TransportAddress
from p2p.gather.interfaces import Gateway
from p2p.gather.portmap.announcements import GROUP
from p2p.proto.portmap import pcp

LOOPBACK = "127.0.0.1"
GATEWAY = Gateway(LOOPBACK, "lo", LOOPBACK)
GATEWAY6 = Gateway("::1", "lo", "::1")
_SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"


class ControlRouter(asyncio.DatagramProtocol):
    """Grants every port in PCP, from an outside address that tests may change."""

    def __init__(self) -> None:
        self.host = "8.8.8.8"
        self.result = 0
        self.booted_at_s = 0
        self.mapped: dict[int, int] = {}
        """The lifetime of each port of ours, in seconds."""
        self.asked = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.port: int = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if data[0] != pcp.PCP_VERSION or data[1] != pcp.PcpOpcode.MAP:
            return
        self.asked += 1
        lifetime_s, port = int.from_bytes(data[4:8], "big"), int.from_bytes(data[40:42], "big")
        if not self.result:
            self.mapped[port] = lifetime_s
            if not lifetime_s:
                del self.mapped[port]
        # A pinhole translates nothing.
        external = TransportAddress(addr[0], port) if ":" in addr[0] else TransportAddress(self.host, 40_000)
        granted = pcp.PcpMap(data[24:36], port, external)
        answer = pcp.PcpResponse(pcp.PcpOpcode.MAP, self.result, lifetime_s, 1000 - self.booted_at_s, granted)
        self.transport.sendto(pcp.encode_map_response(answer), addr)


def announce(port: int, *, epoch_s: int, source: str = LOOPBACK) -> None:
    """Say what a router that has restarted says to everybody, on the loopback interface.

    Args:
        port: Where hosts listen.
        epoch_s: The clock that it shows.
        source: Who says so.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        sending.bind((source, 0))
        sending.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
        announcement = pcp.PcpResponse(pcp.PcpOpcode.ANNOUNCE, 0, 0, epoch_s)
        sending.sendto(pcp.encode_map_response(announcement), (GROUP, port))


class UpnpBox(asyncio.DatagramProtocol):
    """Answers searches, and the requests that follow, by the script of a home router."""

    def __init__(self) -> None:
        self.mapped: dict[int, int] = {}
        """The lease of each outside port, in seconds."""
        self.taken: set[int] = set()
        self.only_permanent = False
        self.huge = False
        self.http_port = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.group = TransportAddress(LOOPBACK, transport.get_extra_info("sockname")[1])

    def datagram_received(self, data: bytes, addr: Any) -> None:
        found = re.search(rb"\r\nST: (\S+)", data)
        assert found is not None
        location = f"http://{LOOPBACK}:{self.http_port}/root.xml"
        answer = f"HTTP/1.1 200 OK\r\nST: {found[1].decode()}\r\nLOCATION: {location}\r\n\r\n"
        self.transport.sendto(answer.encode(), addr)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"(?i)content-length: (\d+)", head)
        body = (await reader.readexactly(int(length[1]))).decode() if length else ""
        status, text = (200, self._description()) if head.startswith("GET") else self._act(body)
        writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode())
        await writer.drain()
        writer.close()

    def _description(self) -> str:
        return (
            '<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device><serviceList><service>'
            f"<serviceType>{_SERVICE}</serviceType><controlURL>/ctl</controlURL></service></serviceList></device></root>"
        ) + (" " * (1 << 20) if self.huge else "")

    def _act(self, body: str) -> tuple[int, str]:
        action = re.search(r"<u:(\w+)", body)
        port = re.search(r"<NewExternalPort>(\d+)<", body)
        lease = re.search(r"<NewLeaseDuration>(\d+)<", body)
        assert action is not None
        values = ""
        if action[1] == "GetExternalIPAddress":
            values = "<NewExternalIPAddress>8.8.4.4</NewExternalIPAddress>"
        elif action[1] == "AddPortMapping" and port and lease:
            if int(port[1]) in self.taken:
                return 500, _fault(718)
            if self.only_permanent and int(lease[1]):
                return 500, _fault(725)
            self.mapped[int(port[1])] = int(lease[1])
        elif action[1] == "DeletePortMapping" and port:
            del self.mapped[int(port[1])]
        return (
            200,
            f'<Envelope><Body><u:{action[1]}Response xmlns:u="x">{values}</u:{action[1]}Response></Body></Envelope>',
        )


def _fault(code: int) -> str:
    return f"<Envelope><Body><Fault><detail><errorCode>{code}</errorCode></detail></Fault></Body></Envelope>"


@asynccontextmanager
async def control_router(host: str = LOOPBACK) -> AsyncIterator[ControlRouter]:
    """Run one that speaks PCP."""
    loop = asyncio.get_running_loop()
    transport, router = await loop.create_datagram_endpoint(ControlRouter, local_addr=(host, 0))
    try:
        yield router
    finally:
        transport.close()


@asynccontextmanager
async def upnp_box() -> AsyncIterator[UpnpBox]:
    """Run one that speaks UPnP."""
    loop = asyncio.get_running_loop()
    transport, box = await loop.create_datagram_endpoint(UpnpBox, local_addr=(LOOPBACK, 0))
    server = await asyncio.start_server(box.serve, LOOPBACK, 0)
    box.http_port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()
        await server.wait_closed()
        transport.close()
