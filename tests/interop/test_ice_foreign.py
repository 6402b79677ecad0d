"""Our agent with one of another make (aioice) over real sockets: both roles, both ways of nominating."""

from __future__ import annotations

import asyncio
import os

import pytest

from p2p.address import TransportAddress
from p2p.proto.ice import (
    Candidate,
    CandidateType,
    Credentials,
    IceAgent,
    IceEvent,
    PairNominated,
    PairState,
    PairValidated,
)
from p2p.proto.stun.message import is_stun

aioice = pytest.importorskip("aioice", reason="aioice is not installed")


class OurSide(asyncio.DatagramProtocol):
    """An agent on one UDP socket of the loopback interface."""

    def __init__(self, *, controlling: bool) -> None:
        self.agent = IceAgent(local=Credentials.generate(os.urandom), controlling=controlling, random_bytes=os.urandom)
        self.events: list[IceEvent] = []
        self.data: asyncio.Queue[bytes] = asyncio.Queue()
        self.changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.candidate = Candidate.local(
            CandidateType.HOST, TransportAddress(*transport.get_extra_info("sockname")), base_id=0
        )
        self.agent.add_local_candidate(self.candidate)

    def datagram_received(self, data: bytes, addr) -> None:
        if is_stun(data):
            assert self.agent.receive_stun(data, TransportAddress(*addr), 0, self._loop.time())
            self.pump()
        else:
            self.data.put_nowait(data)

    def pump(self) -> None:
        now = self._loop.time()
        self.agent.handle_timer(now)
        for _, destination, data in self.agent.transmits(now):
            self.transport.sendto(data, destination)
        while (event := self.agent.next_event()) is not None:
            self.events.append(event)
            if isinstance(event, PairValidated) and self.agent.controlling:
                self.agent.nominate(event.pair, now)
                self._loop.call_soon(self.pump)
        self.changed.set()
        if self._timer is not None:
            self._timer.cancel()
        timer = self.agent.get_timer()
        self._timer = None if timer is None else self._loop.call_at(timer, self.pump)

    async def until(self, kind: type[IceEvent]) -> IceEvent:
        while True:
            for event in self.events:
                if isinstance(event, kind):
                    return event
            self.changed.clear()
            await self.changed.wait()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.transport.close()


@pytest.fixture
def loopback_only(monkeypatch):
    """Let the foreign side gather the loopback address and nothing else."""
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


@pytest.mark.parametrize(
    ("ours_controls", "theirs_controls"),
    [(True, False), (False, True), (True, True), (False, False)],
    ids=["we-control", "they-control", "both-claim-control", "nobody-claims-control"],
)
@pytest.mark.parametrize("we_know_their_candidates", [True, False], ids=["signalled", "peer-reflexive"])
async def test_connects_and_carries_data(loopback_only, ours_controls, theirs_controls, we_know_their_candidates):
    loop = asyncio.get_running_loop()
    theirs = aioice.Connection(ice_controlling=theirs_controls)
    _, ours = await loop.create_datagram_endpoint(
        lambda: OurSide(controlling=ours_controls), local_addr=("127.0.0.1", 0)
    )
    try:
        await theirs.gather_candidates()
        theirs.remote_username = ours.agent.local_credentials.ufrag
        theirs.remote_password = ours.agent.local_credentials.password
        line = ours.candidate.to_wire().removeprefix("candidate:")
        await theirs.add_remote_candidate(aioice.Candidate.from_sdp(line))
        await theirs.add_remote_candidate(None)
        if we_know_their_candidates:
            for candidate in theirs.local_candidates:
                ours.agent.add_remote_candidate(Candidate.from_wire_untrusted(candidate.to_sdp()))
        ours.agent.set_remote_credentials(Credentials(theirs.local_username, theirs.local_password))
        ours.pump()
        async with asyncio.timeout(10):
            await theirs.connect()
            nominated = await ours.until(PairNominated)
            assert nominated.pair.state is PairState.SUCCEEDED
            assert ours.agent.controlling is not theirs.ice_controlling
            await theirs.send(b"\x40from them")
            assert await ours.data.get() == b"\x40from them"
            ours.transport.sendto(b"\x40from us", nominated.pair.remote.address)
            assert await theirs.recv() == b"\x40from us"
        counters = ours.agent.counters
        assert (counters.malformed, counters.wrong_credentials, counters.asymmetric) == (0, 0, 0)
    finally:
        await theirs.close()
        ours.close()
        await asyncio.sleep(0)


async def test_candidate_lines_are_understood_by_each_other():
    ours = Candidate.local(
        CandidateType.SERVER_REFLEXIVE,
        TransportAddress("192.0.2.1", 4000),
        0,
        related=TransportAddress("10.0.0.1", 5000),
    )
    read = aioice.Candidate.from_sdp(ours.to_wire().removeprefix("candidate:"))
    assert (read.host, read.port, read.type, read.priority) == ("192.0.2.1", 4000, "srflx", ours.priority)
    assert (read.related_address, read.related_port) == ("10.0.0.1", 5000)
    again = Candidate.from_wire_untrusted(read.to_sdp())
    assert again.to_wire() == ours.to_wire()
