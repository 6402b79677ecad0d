"""``p2p bench`` over loopback, with the real servers in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2p.cli.problems import find_error
from p2p.session.bench import CODE_NOT_PERMITTED, bench
from p2p.session.bench_result import BenchResult
from p2p.session.options import RelayPolicy
from p2p.session.status import PathKind
from tests.support.peers import echo, echo_service, world


async def test_it_measures_both_directions_and_the_service_is_still_there(tmp_path: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        offer, _, _ = await here.expose(port, allow_bench=True)
        stages: list[BenchResult] = [stage async for stage in bench(offer.ticket, here.options(), seconds=1, streams=2)]
        assert len(stages) == 5
        result = stages[-1]
        assert result.path is PathKind.DIRECT
        assert result.idle is not None
        assert result.idle.count > 10
        assert result.udp is not None
        assert result.udp.sent == 100
        assert result.udp.lost < 20
        assert result.udp.latency is not None
        for part in (result.download, result.upload):
            assert part is not None
            assert part.size_bytes > 1 << 20
            assert part.latency is not None
        _, _, _, address = await here.connect(offer.ticket)
        await echo(address, b"as before")


async def test_over_a_relay_it_says_why(tmp_path: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        offer, _, _ = await here.expose(port, allow_bench=True)
        options = here.options(relay_policy=RelayPolicy.ONLY)
        async for stage in bench(offer.ticket, options, seconds=1, streams=1):
            assert stage.path is PathKind.RELAY
            assert stage.reason == "direct-disabled"
            break


async def test_who_was_not_permitted_is_told_how_to_be(tmp_path: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        offer, _, _ = await here.expose(port)
        with pytest.raises(ExceptionGroup) as refused:
            async for _ in bench(offer.ticket, here.options(), seconds=1, streams=1):
                pass
        assert find_error(refused.value).error_code is CODE_NOT_PERMITTED
