"""A client of the relay finds out what the path to a peer carries."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.lab import LabFactory, lab_factory, routers

__all__ = ["lab_factory"]

pytestmark = pytest.mark.root

ROOT = Path(__file__).resolve().parents[2]
MTU = 1300
LONGEST = MTU - 28
"""What IPv4 and UDP leave of it."""

# Runs beside the relay in the namespace of the server: the client's own path does not matter.
_SCRIPT = """
import asyncio, json, os, sys
from p2p.address import TransportAddress
from p2p.proto.stun.attributes import DATA, DONT_FRAGMENT, ICMP, XOR_PEER_ADDRESS
from p2p.proto.stun.message import Message, MessageClass, Method, decode_untrusted, encode
from relay.service import RelayConfig, RelayService
from tests.support.turn_client import TurnClient

async def main(host, peer_host, sizes):
    server, peer = TransportAddress(host, 13478), TransportAddress(peer_host, 9)
    config = RelayConfig(udp=(server,), users={"alice": "wonderland"}, danger_allow_private_peers=True)
    told = []
    async with RelayService(config), TurnClient(server) as client:
        await client.allocate()
        await client.permit(peer)
        client._take = lambda data: told.append(decode_untrusted(data).get(ICMP))
        answers = []
        for size in sizes:
            attributes = (XOR_PEER_ADDRESS(peer), DATA(bytes(size)), DONT_FRAGMENT(True))
            message = Message(MessageClass.INDICATION, Method.SEND, os.urandom(12), attributes)
            client.write(encode(message))
            await asyncio.sleep(0.2)
            answers.append([(value.type, value.code, int.from_bytes(value.data, "big")) for value in told if value])
            told.clear()
    print(json.dumps(answers))

asyncio.run(main(sys.argv[1], sys.argv[2], [int(size) for size in sys.argv[3:]]))
"""


def test_the_mtu_of_the_path_is_told_for_data_that_must_not_be_fragmented(lab_factory: LabFactory) -> None:
    lab = lab_factory(routers(a="full"))
    lab.run("inet", ["ip", "link", "set", "dev", "a", "mtu", str(MTU)])
    lab.run("a", ["ip", "link", "set", "dev", "wan", "mtu", str(MTU)])
    server, peer = lab.address("srv"), lab.address("a")
    sizes = [str(size) for size in (1400, 1400, LONGEST, LONGEST + 1)]
    result = lab.run("srv", ["env", f"PYTHONPATH={ROOT}", sys.executable, "-c", _SCRIPT, server, peer, *sizes])
    # Of the first one the router on the way complains; the kernel knows from then on.
    assert json.loads(result.stdout) == [[[3, 4, MTU]], [[3, 4, MTU]], [], [[3, 4, MTU]]]
