"""A relay that restarts under live sessions: each goes on, soon, and nothing on it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from p2p.aio.tasks import TaskScope
from relay.service import RelayService
from rendezvous.service import RendezvousService
from tests.support.peers import World, echo_service
from tests.support.ports import free_ports
from tests.support.relay import SECRET, loopback_config
from tests.support.rendezvous_world import BASE, until, url_of

BACK_WITHIN_S = 5.0
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Place:
    """Where the servers of one test are."""

    folder: Path
    relay_port: int
    http_port: int

    def write(self) -> None:
        """Write their configurations."""
        (self.folder / "relay.toml").write_text(
            f'udp = ["127.0.0.1:{self.relay_port}"]\nshared_secret = "{SECRET}"\n'
            "[quotas]\nper_user = 4096\n[peers]\ndanger_allow_loopback = true\n"
        )
        (self.folder / "rendezvous.toml").write_text(
            f'listen = ["127.0.0.1:{self.http_port}"]\nopen = true\n[stun]\nenabled = false\n'
            f'[relay]\nurls = ["turn:127.0.0.1:{self.relay_port}?transport=udp"]\nsecret = "{SECRET}"\n'
            "[limits]\nconnections_per_address = 2000\nconnects_per_s = 1000.0\nconnect_burst = 2000\n"
        )

    def relay(self) -> contextlib.AbstractAsyncContextManager[asyncio.subprocess.Process]:
        return _server("relay", "-c", str(self.folder / "relay.toml"), until="realm")

    def rendezvous(self) -> contextlib.AbstractAsyncContextManager[asyncio.subprocess.Process]:
        return _server("rendezvous", "--config", str(self.folder / "rendezvous.toml"), until="signalling on")


@contextlib.asynccontextmanager
async def _process(*arguments: str, **pipes: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", *arguments, cwd=ROOT, limit=1 << 28, **pipes)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@contextlib.asynccontextmanager
async def _server(*arguments: str, until: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a server whose log says so when it serves."""
    async with _process(*arguments, stderr=asyncio.subprocess.PIPE) as process:
        assert process.stderr is not None
        async with asyncio.timeout(30):
            while until.encode() not in (line := await process.stderr.readline()):
                assert line, f"{arguments} ended before it served"
        yield process


@dataclass(frozen=True)
class Silence:
    """What a restart did to one session.

    Attributes:
        back_s: When its connection went on, in seconds since the relay listened again.
        error: Why the connection ended before its time; empty when it did not.
    """

    back_s: float
    error: str


def _silence(session: dict[str, object], killed_at: float, listens_at: float) -> Silence:
    arrivals = session["arrivals"]
    assert isinstance(arrivals, list)
    # What the relay had sent may still come in just after its end; then comes the one long gap.
    late = [at for at in arrivals if at >= killed_at]
    gaps = zip([killed_at, *late], late, strict=False)
    longest = max(gaps, key=lambda gap: gap[1] - gap[0], default=(0.0, float("inf")))
    return Silence(longest[1] - listens_at, str(session["error"]))


async def _restart(
    folder: Path,
    *,
    exposers: int,
    dialers: int,
    processes: int = 1,
    pause_s: float,
    away_s: float = 0.0,
    stay_s: float,
    with_rendezvous: bool = False,
) -> list[Silence]:
    """Restart the relay, at once or after a while, under sessions, and tell what it did to each."""
    relay_port, http_port = free_ports(2)
    place = Place(folder, relay_port, http_port)
    place.write()
    async with contextlib.AsyncExitStack() as stack:
        servers = contextlib.AsyncExitStack()
        await servers.enter_async_context(place.relay())
        await (servers if with_rendezvous else stack).enter_async_context(place.rendezvous())
        port = await stack.enter_async_context(echo_service())
        crowds = []
        for number in range(processes):
            folder = place.folder / str(number)
            folder.mkdir()
            crowd = _process(
                *("tests.support.relayed_crowd", str(folder), f"ws://127.0.0.1:{place.http_port}", str(port)),
                *(str(exposers // processes), str(dialers // processes), str(pause_s)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            crowds.append(await stack.enter_async_context(crowd))
        for crowd in crowds:
            assert crowd.stdout is not None
            async with asyncio.timeout(300):
                assert await crowd.stdout.readline() == b"ready\n"
        await asyncio.sleep(1.0)
        killed_at = time.monotonic()
        await servers.aclose()
        await asyncio.sleep(away_s)
        await stack.enter_async_context(place.relay())
        listens_at = time.monotonic()
        if with_rendezvous:
            await stack.enter_async_context(place.rendezvous())
        await asyncio.sleep(stay_s)
        silences = []
        for crowd in crowds:
            assert crowd.stdin is not None
            assert crowd.stdout is not None
            crowd.stdin.close()
            async with asyncio.timeout(60):
                sessions = json.loads(await crowd.stdout.readline())
            silences += [_silence(session, killed_at, listens_at) for session in sessions]
        backs = sorted(silence.back_s for silence in silences)
        print(
            f"the relay was away for {listens_at - killed_at:.1f} s, and {len(backs)} sessions went on after", end=" "
        )
        print(f"{backs[0]:.1f} s more, half of them by {backs[len(backs) // 2]:.1f} s, all by {backs[-1]:.1f} s")
        return silences


@pytest.mark.parametrize("with_rendezvous", [False, True], ids=["relay", "and rendezvous"])
async def test_sessions_go_on_when_the_relay_restarts(tmp_path: Path, with_rendezvous: bool) -> None:
    silences = await _restart(
        tmp_path, exposers=2, dialers=12, pause_s=0.2, stay_s=5.0, with_rendezvous=with_rendezvous
    )
    assert not [silence.error for silence in silences if silence.error]
    assert max(silence.back_s for silence in silences) < BACK_WITHIN_S


async def test_sessions_that_are_silent_notice_it_too(tmp_path: Path) -> None:
    # The first word after the restart must not have to wait for the session to find out.
    stay_s = 8.0
    silences = await _restart(tmp_path, exposers=2, dialers=6, pause_s=0.0, stay_s=stay_s)
    assert not [silence.error for silence in silences if silence.error]
    assert max(silence.back_s for silence in silences) < stay_s + 2.0


async def test_a_client_has_its_address_again_after_one_round_trip(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as before, TaskScope() as scope, contextlib.AsyncExitStack() as stack:
        config = loopback_config(tcp=(), tls=())
        first = await before.enter_async_context(RelayService(config))
        addresses = first.udp_addresses
        urls = tuple(f"turn:{address}?transport=udp" for address in addresses)
        rendezvous = RendezvousService(replace(BASE, relay_urls=urls, relay_secret=SECRET))
        await stack.enter_async_context(rendezvous)
        here = World(tmp_path, stack, scope, url_of(rendezvous))
        offer, _, _ = await here.expose(9)
        await until(lambda: offer.status.relay is not None)
        held = offer.status.relay
        await before.aclose()
        second = await stack.enter_async_context(RelayService(replace(config, udp=addresses)))
        offer.node.look_around()
        await until(lambda: second.allocations == 1)
        await until(lambda: offer.status.relay is not None)
        assert offer.status.relay == held
        # Neither challenged: the nonce of before is still good.
        assert set(second.counters.requests) == {("refresh", "437"), ("allocate", "success")}
        await stack.aclose()


async def test_a_client_over_tcp_is_back_although_udp_is_silent(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as before, TaskScope() as scope, contextlib.AsyncExitStack() as stack:
        config = loopback_config(udp=(), tls=(), relay_addresses=("127.0.0.1",))
        first = await before.enter_async_context(RelayService(config))
        (address,) = first.tcp_addresses
        nobody = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        nobody.bind(("127.0.0.1", 0))
        urls = (f"turn:127.0.0.1:{nobody.getsockname()[1]}?transport=udp", f"turn:{address}?transport=tcp")
        rendezvous = RendezvousService(replace(BASE, relay_urls=urls, relay_secret=SECRET))
        await stack.enter_async_context(rendezvous)
        here = World(tmp_path, stack, scope, url_of(rendezvous))
        offer, _, _ = await here.expose(9)
        await until(lambda: offer.status.relay is not None)
        held = offer.status.relay
        await before.aclose()
        await asyncio.sleep(2.0)
        await stack.enter_async_context(RelayService(replace(config, tcp=(address,))))
        listens_at = loop.time()
        await until(lambda: offer.status.relay == held)
        assert loop.time() - listens_at < 1.5
        await stack.aclose()


@pytest.mark.slow
@pytest.mark.parametrize("away_s", [0.0, 3.0], ids=["at once", "after 3 s"])
async def test_five_hundred_sessions_go_on_when_the_relay_restarts(tmp_path: Path, away_s: float) -> None:
    silences = await _restart(tmp_path, exposers=20, dialers=500, processes=2, pause_s=1.0, away_s=away_s, stay_s=12.0)
    # 520 programs share the cores with the relay: what they need to find their paths again is most of this.
    assert not [silence.error for silence in silences if silence.error]
    assert max(silence.back_s for silence in silences) < BACK_WITHIN_S
