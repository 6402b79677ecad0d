"""``python -m relay`` as a service manager sees it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
import urllib.request
from pathlib import Path

from p2p.address import TransportAddress
from tests.support.ports import free_port, free_ports
from tests.support.turn_client import EchoPeer, TurnClient

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


async def test_it_tells_its_status_reloads_and_drains_on_command(tmp_path):
    server = TransportAddress("127.0.0.1", free_port())
    elsewhere = TransportAddress("127.0.0.1", 3478)
    path, control = tmp_path / "relay.toml", tmp_path / "control.sock"
    text = (
        f'udp = ["{server}"]\ncontrol = "control.sock"\nmetrics_users = 1\nlog = "json"\ndrain_s = 30\n'
        f'alternate_servers = ["{elsewhere}"]\n[peers]\ndanger_allow_loopback = true\n[users]\nalice = "wonderland"\n'
    )
    path.write_text(text)

    async def p2p_relay(*arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from p2p.cli.main import run; run()",
            "relay",
            *arguments,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return process.returncode, output.decode()

    async with command("-c", str(path)) as process:
        await line_with(process, "alternate servers")
        assert control.stat().st_mode & 0o777 == 0o600
        async with TurnClient(server) as client, EchoPeer() as peer:
            await client.allocate()
            await client.permit(peer.address)
            client.send(peer.address, b"12345")
            await client.receive()
            code, output = await p2p_relay("status", "--json", "-c", str(path))
            status = json.loads(output)
            assert (code, status["state"], status["pid"]) == (0, "serving", process.pid)
            assert status["allocations"] == {"udp": 1, "tcp": 0, "tls": 0}
            assert status["bytes"] == {"to_peers": 5, "to_clients": 5}
            assert status["ports"]["127.0.0.1"]["used"] == 1
            assert status["users"] == [{"user": "alice", "bytes": 10}]
            code, output = await p2p_relay("status", "--socket", str(control))
            assert code == 0
            for words in ("serving", str(server), "1 udp", "1 of 16384", "1 datagrams, 5 bytes", "10 bytes, alice"):
                assert words in output
            path.write_text("nonsense")
            code, output = await p2p_relay("reload", "--socket", str(control))
            assert code != 0
            assert "stays as it was" in output
            path.write_text(text.replace('alice = "wonderland"', 'bob = "builder"').replace("log = ", "realm = "))
            code, output = await p2p_relay("reload", "-c", str(path))
            assert (code, "realm, log" in output) == (0, True), output
            assert "dismissed" in await line_with(process, "dismissed")
        async with TurnClient(server, username="bob", password="builder") as other:
            await other.allocate()
            code, output = await p2p_relay("drain", "-c", str(path))
            assert (code, output) == (0, "draining 1 allocations, at most 30 s\n")
            async with TurnClient(server, username="bob", password="builder") as late:
                assert await late.refusal() == 300
            code, output = await p2p_relay("drain", "-c", str(path))
            assert await asyncio.wait_for(process.wait(), 20) == 0
    assert not control.exists()
    code, output = await p2p_relay("status", "-c", str(path))
    assert (code, "P2P-5307" in output) == (6, True)


async def test_the_next_process_takes_the_ports_over_at_once(tmp_path):
    """TCP connections of the last one are in TIME_WAIT, its control socket is left behind."""
    server, first = TransportAddress("127.0.0.1", free_port()), free_ports(10)[0]
    path = tmp_path / "relay.toml"
    path.write_text(
        f'udp = ["{server}"]\ntcp = ["{server}"]\ncontrol = "control.sock"\n[users]\nalice = "wonderland"\n'
        f"[ports]\nfirst = {first}\nlast = {first + 9}\n"
    )
    for ending in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        async with command("-c", str(path)) as process:
            await line_with(process, "alternate servers")
            async with TurnClient(server, kind="tcp") as client, TurnClient(server) as other:
                await client.allocate()
                await other.allocate()
                process.send_signal(ending)
                if ending is signal.SIGTERM:
                    await line_with(process, "draining")
                    process.send_signal(ending)
                await asyncio.wait_for(process.wait(), 20)


async def test_a_second_signal_ends_at_once(tmp_path):
    server = TransportAddress("127.0.0.1", free_port())
    path = tmp_path / "relay.toml"
    path.write_text(f'udp = ["{server}"]\n[users]\nalice = "wonderland"\n')
    async with command("-c", str(path)) as process:
        await line_with(process, "alternate servers")
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
