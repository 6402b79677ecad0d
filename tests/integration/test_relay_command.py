"""``python -m relay`` as a service manager sees it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import urllib.request
from pathlib import Path

from p2p.address import TransportAddress
from tests.support.ports import free_port
from tests.support.turn_client import TurnClient

ROOT = Path(__file__).resolve().parents[2]


@contextlib.asynccontextmanager
async def command(*arguments: str):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay", *arguments, cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def line_with(process, word: str) -> str:
    async with asyncio.timeout(20):
        while word not in (line := (await process.stderr.readline()).decode()):
            assert line, f"ended without {word!r}"
    return line


async def test_it_serves_drains_and_ends(tmp_path):
    server = TransportAddress("127.0.0.1", free_port())
    metrics = free_port()
    path = tmp_path / "relay.toml"
    path.write_text(
        f'udp = ["{server}"]\nmetrics = "127.0.0.1:{metrics}"\ndrain_s = 30\n'
        '[users]\nalice = "wonderland"\n[peers]\ndanger_allow_loopback = true\n'
    )
    async with command("-c", str(path)) as process:
        await line_with(process, f"metrics            127.0.0.1:{metrics}")
        async with TurnClient(server) as client:
            await client.allocate()
            url = f"http://127.0.0.1:{metrics}/metrics"
            text = await asyncio.get_running_loop().run_in_executor(None, lambda: urllib.request.urlopen(url).read())
            assert b'relay_allocations{transport="udp"} 1.0' in text
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGTERM)
            await line_with(process, "draining: 1 allocations")
            async with TurnClient(server) as late:
                assert await late.refusal() == 508
            await client.release()
            assert await asyncio.wait_for(process.wait(), 20) == 0


async def test_a_second_signal_ends_at_once(tmp_path):
    server = TransportAddress("127.0.0.1", free_port())
    path = tmp_path / "relay.toml"
    path.write_text(f'udp = ["{server}"]\n[users]\nalice = "wonderland"\n')
    async with command("-c", str(path)) as process:
        await line_with(process, "metrics            none")
        async with TurnClient(server) as client:
            await client.allocate()
            process.send_signal(signal.SIGINT)
            await line_with(process, "draining")
            process.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(process.wait(), 20) == 0


async def test_a_wrong_file_is_a_sentence_and_exit_status_2(tmp_path):
    async with command("--verify", "-c", str(tmp_path / "missing.toml")) as process:
        output = (await process.stderr.read()).decode()
        assert await process.wait() == 2
        assert "missing.toml" in output
        assert "[P2P-1305]" in output
        assert "Traceback" not in output


async def test_a_taken_port_is_a_sentence_and_exit_status_5(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        path = tmp_path / "relay.toml"
        path.write_text(f'udp = ["127.0.0.1:{port}"]\n[users]\nalice = "wonderland"\n')
        async with command("-c", str(path)) as process:
            output = (await process.stderr.read()).decode()
            assert await process.wait() == 5
            assert f"127.0.0.1:{port}" in output
            assert "Traceback" not in output
