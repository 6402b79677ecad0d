"""Foreign clients at our relay: coturn's tools and aioice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
from collections.abc import AsyncIterator

import pytest

from p2p.address import TransportAddress
from relay.service import RelayService
from tests.support.relay import SECRET, loopback_config
from tests.support.turn_client import EchoPeer

aioice = pytest.importorskip("aioice", reason="aioice is not installed")
from aioice import turn as aioice_turn  # noqa: E402  (after the skip)

MESSAGES = 40
LENGTH = 301  # no multiple of four: padding matters on streams


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} (coturn) is not installed")


@contextlib.asynccontextmanager
async def running(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            # Not process.kill(): that polls, and takes the exit status away from the event loop's own watcher.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        await process.wait()


async def output_of(*command: str) -> str:
    async with running(*command) as process:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            return (await process.stdout.read()).decode(errors="replace")


def pair_of_ports() -> int:
    """Find a free port with a free one above it: the tools use the second one for RTCP."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as low:
            low.bind(("127.0.0.1", 0))
            port = low.getsockname()[1]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as high, contextlib.suppress(OSError, OverflowError):
                high.bind(("127.0.0.1", port + 1))
                return port


STATIC = ("-u", "alice", "-w", "wonderland")
REST = ("-u", "bob", "-W", SECRET)
VARIANTS = {
    "udp, channels, to a peer": ("udp", "peer", STATIC),
    "udp, indications, to a peer": ("udp", "peer", ("-s", *STATIC)),
    "udp, channels, between clients": ("udp", "clients", REST),
    "udp, indications, between clients": ("udp", "clients", ("-s", *REST)),
    "udp, without the second component": ("udp", "clients", ("-c", *STATIC)),
    "udp, extra requests": ("udp", "peer", ("-G", *STATIC)),
    "udp, IPv6 relayed addresses": ("udp", "clients", ("-x", *STATIC)),
    "tcp, channels, to a peer": ("tcp", "peer", ("-t", *REST)),
    "tcp, indications, to a peer": ("tcp", "peer", ("-t", "-s", *STATIC)),
    "tcp, channels, between clients": ("tcp", "clients", ("-t", *STATIC)),
    "udp, moving while it sends": ("udp", "clients", ("-M", *STATIC)),
    "tcp, moving while it sends": ("tcp", "clients", ("-t", "-M", *STATIC)),
    "tcp to peers over tcp": ("tcp", "clients", ("-T", *STATIC)),
    "tcp to peers over tls": ("tls", "clients", ("-T", "-S", *STATIC)),
    "tls, channels, to a peer": ("tls", "peer", ("-t", "-S", *STATIC)),
    "tls, indications, between clients": ("tls", "clients", ("-t", "-S", "-s", *REST)),
}


@needs("turnutils_uclient")
@needs("turnutils_peer")
async def test_uclient_loses_nothing_in_any_mode():
    """All variants at once: each of them spends most of its seven seconds waiting for itself."""
    port = pair_of_ports()
    peer_command = ("turnutils_peer", "-L", "127.0.0.1", "-p", str(port))
    config = loopback_config(relay_addresses=("127.0.0.1", "::1"))
    async with RelayService(config) as service, running(*peer_command) as peer:

        async def run(kind: str, towards: str, options: tuple[str, ...]) -> str:
            server = getattr(service, f"{kind}_addresses")[0]
            target = ("-y",) if towards == "clients" else ("-e", "127.0.0.1", "-r", str(port))
            amount = ("-n", str(MESSAGES), "-m", "1", "-l", str(LENGTH))
            return await output_of("turnutils_uclient", *options, *target, *amount, "-p", str(server.port), server.host)

        outputs = await asyncio.gather(*(run(*variant) for variant in VARIANTS.values()))
        for name, output in zip(VARIANTS, outputs, strict=True):
            sent = re.search(r"tot_send_msgs=(\d+), tot_recv_msgs=(\d+)\s*$", output, re.MULTILINE)
            assert sent, f"{name}:\n{output}"
            assert int(sent[1]) >= MESSAGES, f"{name}:\n{output}"
            assert sent[1] == sent[2], f"{name}:\n{output}"
            assert "Total lost packets 0 " in output, f"{name}:\n{output}"
        # A client that moves asks with the nonce of its old address first: nobody else has a stale one here.
        assert set(service.counters.authentication_failures) == {"stale nonce"}
        assert peer.returncode is None


@needs("turnutils_uclient")
@pytest.mark.parametrize("credentials", [("-u", "alice", "-w", "wrong"), ("-u", "bob", "-W", "another secret")])
async def test_uclient_with_wrong_credentials_gets_nothing(credentials):
    async with RelayService(loopback_config()) as service:
        server = service.udp_addresses[0]
        # It would try for ever.
        async with running("turnutils_uclient", *credentials, "-y", "-p", str(server.port), server.host):
            for _ in range(500):
                if service.counters.authentication_failures:
                    break
                await asyncio.sleep(0.01)
        assert service.counters.authentication_failures
        assert service.allocations == 0


@needs("turnutils_uclient")
@needs("turnutils_stunclient")
async def test_negative_protocol_tests_of_uclient_leave_it_serving():
    async with RelayService(loopback_config()) as service:
        server = service.udp_addresses[0]
        for option in ("-R", "-N"):
            async with running("turnutils_uclient", option, *STATIC, "-y", "-p", str(server.port), server.host):
                await asyncio.sleep(1.5)
        output = await output_of("turnutils_stunclient", "-p", str(server.port), server.host)
        assert "reflexive addr: 127.0.0.1" in output


@needs("turnutils_stunclient")
async def test_stunclient_learns_its_address():
    async with RelayService(loopback_config()) as service:
        server = service.udp_addresses[0]
        output = await output_of("turnutils_stunclient", "-p", str(server.port), server.host)
        assert "reflexive addr: 127.0.0.1" in output


class Receiver(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data, addr):
        self.received.put_nowait(data)


@pytest.mark.parametrize("kind", ["udp", "tcp", "tls"])
async def test_aioice_turn_client_exchanges_data(kind):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with RelayService(loopback_config()) as service, EchoPeer() as peer:
        transport, receiver = await aioice_turn.create_turn_endpoint(
            Receiver,
            tuple(getattr(service, f"{kind}_addresses")[0]),
            "alice",
            "wonderland",
            ssl=context if kind == "tls" else None,
            transport="udp" if kind == "udp" else "tcp",
        )
        for number in range(20):
            data = bytes([number]) * (1 + 61 * number)
            transport.sendto(data, tuple(peer.address))
            assert await asyncio.wait_for(receiver.received.get(), 5) == data
        relayed = TransportAddress(*transport.get_extra_info("sockname"))
        assert {source for source, _ in peer.heard} == {relayed}
        transport.close()
        for _ in range(500):
            if service.allocations == 0:
                break
            await asyncio.sleep(0.01)
        assert service.allocations == 0


async def test_two_ice_agents_of_aioice_meet_over_the_relay():
    async with RelayService(loopback_config()) as service:
        server = tuple(service.udp_addresses[0])
        agents = [
            aioice.Connection(
                ice_controlling=controlling,
                turn_server=server,
                turn_username="alice",
                turn_password="wonderland",
                transport_policy=aioice.ice.TransportPolicy.RELAY,
            )
            for controlling in (True, False)
        ]
        one, two = agents
        try:
            for agent in agents:
                await agent.gather_candidates()
            for here, there in ((one, two), (two, one)):
                for candidate in there.local_candidates:
                    assert candidate.type == "relay"
                    await here.add_remote_candidate(candidate)
                await here.add_remote_candidate(None)
                here.remote_username, here.remote_password = there.local_username, there.local_password
            async with asyncio.timeout(20):
                await asyncio.gather(one.connect(), two.connect())
                for number in range(20):
                    await one.send(b"ping %d" % number)
                    assert await two.recv() == b"ping %d" % number
                    await two.send(b"pong %d" % number)
                    assert await one.recv() == b"pong %d" % number
            assert service.allocations == 2
        finally:
            for agent in agents:
                await agent.close()
        assert service.allocations == 0
