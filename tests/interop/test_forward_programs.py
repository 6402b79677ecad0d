"""Programs that people use, through the real ``p2p expose`` and ``p2p connect``, in processes of their own."""

from __future__ import annotations

import hashlib
import os
import pty
import random
import select
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import P2P, Peers, environment, meeting_point, need, run
from tests.support.foreign_servers import PostgreSql, Sshd, postgresql, sshd
from tests.support.ports import free_port
from tests.support.website import PIECES, website

CONTENT = random.Random(1).randbytes(20_000_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
ROWS = 100_000


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    with meeting_point(tmp_path_factory.mktemp("meeting-point")) as found:
        yield found


# --- OpenSSH, with nothing listening on the dialing side -----------------------------------------------------------


@pytest.fixture(scope="module")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    need("ssh")
    with sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def proxied(ticket: str, server: Sshd) -> list[str]:
    """An ssh whose ``ProxyCommand`` is ours."""
    return ["ssh", *server.options, "-o", f"ProxyCommand={P2P} connect {ticket} --stdio", server.destination]


def listened(port: int, server: Sshd) -> list[str]:
    """An ssh that goes to the port where ``p2p connect`` listens."""
    return ["ssh", *server.options, "-o", "HostName=127.0.0.1", "-p", str(port), server.destination]


def test_ssh_proxy_command(peers: Peers, ssh_server: Sshd, tmp_path: Path) -> None:
    env = environment(tmp_path)
    with peers.expose(ssh_server.port) as (ticket, exposer):
        ssh = proxied(ticket, ssh_server)
        result = run(*ssh, "echo out; echo err >&2; exit 7", env=env)
        assert (result.returncode, result.stdout, result.stderr) == (7, b"out\n", b"err\n")
        result = run(*ssh, "sha256sum; echo done >&2", data=CONTENT, env=env)
        assert (result.returncode, result.stdout.split()[0].decode(), result.stderr) == (0, DIGEST, b"done\n")
        result = run(*ssh, "cat", data=CONTENT, env=env)
        assert (result.returncode, result.stderr) == (0, b"")
        assert result.stdout == CONTENT
        # OpenSSH hangs up on its ProxyCommand: the exposing side must hear of the end all the same.
        assert exposer.wait_for("session_closed")["code"] is None
    assert ssh_server.log.read_text().count("Received disconnect") == 3


def test_ssh_tells_of_a_service_that_is_down(peers: Peers, tmp_path: Path) -> None:
    need("ssh")
    connect = P2P, "connect"
    with peers.expose(port := free_port(), "--name", "nas") as (ticket, exposer):
        assert exposer.wait_for("error")["code"] == "P2P-6190"
        result = run(*connect, ticket, "--stdio", env=environment(tmp_path))
        assert result.returncode == 8
        assert result.stdout == b""
        assert result.stderr.startswith(b"Error P2P-6111: the service refused the connection\n")
        assert exposer.wait_for("error", code="P2P-6111")
        ssh = proxied(ticket, Sshd(port, tmp_path, ("-F", "none"), "user@nas"))
        result = run(*ssh, "true", env=environment(tmp_path))
        assert result.returncode == 255
        assert b"Error P2P-6111" in result.stderr


def test_ssh_and_rsync_to_a_listening_port(peers: Peers, ssh_server: Sshd, tmp_path: Path) -> None:
    need("rsync")
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.mkdir()
    for number in range(200):
        (source / f"small{number}").write_bytes(b"%d" % number)
    (source / "large").write_bytes(CONTENT)
    with peers.forwarded(ssh_server.port) as port:
        ssh = listened(port, ssh_server)
        result = run(*ssh, f"head -c {len(CONTENT)} {source}/large; exit 3")
        assert (result.returncode, result.stderr) == (3, b"")
        assert result.stdout == CONTENT
        rsync = ["rsync", "-a", "-e", shlex.join(ssh[:-1])]
        for _ in range(2):
            result = run(*rsync, f"{source}/", f"{ssh_server.destination}:{copy}/")
            assert (result.returncode, result.stderr) == (0, b"")
            shutil.rmtree(source)
            source.mkdir()
            result = run(*rsync, f"{ssh_server.destination}:{copy}/", f"{source}/")
            assert (result.returncode, result.stderr) == (0, b"")
    assert (copy / "large").read_bytes() == CONTENT
    assert sorted(os.listdir(copy)) == sorted(os.listdir(source))


def test_ssh_with_a_person_at_the_keyboard(peers: Peers, ssh_server: Sshd, tmp_path: Path) -> None:
    with peers.expose(ssh_server.port) as (ticket, _):
        command = [*proxied(ticket, ssh_server), "echo ready; cat"]
        command.insert(1, "-tt")
        terminal, ssh_terminal = pty.openpty()
        process = subprocess.Popen(command, stdin=ssh_terminal, stdout=ssh_terminal, env=environment(tmp_path))
        os.close(ssh_terminal)
        try:
            assert b"ready" in read_until(terminal, b"ready\r\n")
            delays_s = []
            for _ in range(20):
                pressed_at = time.monotonic()
                os.write(terminal, b"x")
                assert read_until(terminal, b"x").endswith(b"x")
                delays_s.append(time.monotonic() - pressed_at)
            os.write(terminal, b"\x04\x04")  # Ctrl-D: once for the line, once for the end
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.wait()
            os.close(terminal)
    # On loopback a millisecond or two; a slow machine may take longer, but never as long as a person notices.
    assert sorted(delays_s)[len(delays_s) // 2] < 0.1


def read_until(terminal: int, end: bytes) -> bytes:
    """Read what a terminal shows until it ends with something, for ten seconds at most."""
    shown = b""
    while not shown.endswith(end) and select.select([terminal], [], [], 10)[0]:
        shown += os.read(terminal, 1 << 16)
    return shown


# --- HTTP ------------------------------------------------------------------------------------------------------------


def test_curl(peers: Peers, tmp_path: Path) -> None:
    curl = [need("curl"), "-sS", "--fail"]

    def fetch(*arguments: str, data: bytes | None = None) -> bytes:
        result = run(*curl, *arguments, data=data)
        assert (result.returncode, result.stderr) == (0, b"")
        return result.stdout

    with website(CONTENT) as origin, peers.forwarded(origin) as port:
        url = f"http://127.0.0.1:{port}"
        assert fetch(f"{url}/file") == CONTENT
        sent = fetch("--data-binary", "@-", "-H", "Expect:", f"{url}/upload", data=CONTENT)
        assert sent.decode() == f"{len(CONTENT)} bytes whole {DIGEST}"
        sent = fetch("-T", "-", f"{url}/upload", data=CONTENT)
        assert sent.decode() == f"{len(CONTENT)} bytes chunked {DIGEST}"
        assert fetch("--http1.1", f"{url}/pieces") == b"".join(PIECES)
        # Three requests over one connection, then thirty at once over many.
        outputs = [word for name in ("a", "b", "c") for word in ("-o", str(tmp_path / name), f"{url}/pieces")]
        assert fetch("-w", "%{num_connects} ", *outputs) == b"1 0 0 "
        many = [word for _ in range(30) for word in ("-o", os.devnull, f"{url}/pieces")]
        # Some versions show a progress meter here, whatever one says.
        result = run(*curl, "--parallel", "--parallel-immediate", "-w", "%{size_download} ", *many)
        assert (result.returncode, result.stdout.split()) == (0, [b"1000000"] * 30)


def test_chromium(peers: Peers, tmp_path: Path) -> None:
    browser = [need("chromium", "chromium-browser", "google-chrome"), "--headless", "--no-sandbox", "--disable-gpu"]
    browser += ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
    browser += ["--disable-sync", "--disable-dev-shm-usage", f"--user-data-dir={tmp_path}/profile", "--dump-dom"]
    with website(b"") as origin, peers.forwarded(origin) as port:
        result = run(*browser, f"http://127.0.0.1:{port}/", env=environment(tmp_path))
    shown = result.stdout.decode()
    assert result.returncode == 0, result.stderr
    assert '<p id="style">rgb(1, 2, 3)</p>' in shown
    assert '<p id="echoed">100000 characters</p>' in shown
    assert f'<p id="fetched">300000 bytes whole {hashlib.sha256(bytes(300000)).hexdigest()}</p>' in shown


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database() -> Iterator[PostgreSql]:
    need("psql")
    with postgresql() as server:
        yield server


def test_psql(peers: Peers, database: PostgreSql, tmp_path: Path) -> None:
    rows = "".join(f"{n}\t{hashlib.md5(b'%d' % n, usedforsecurity=False).hexdigest()}\n" for n in range(ROWS)).encode()
    with peers.forwarded(database.port) as port:
        address = f"host=127.0.0.1 port={port} user={database.user} dbname=postgres"
        psql = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", address]
        env = environment(tmp_path)

        def query(text: str, data: bytes | None = None) -> bytes:
            result = run(*psql, "-c", text, data=data, env=env)
            assert (result.returncode, result.stderr) == (0, b"")
            return result.stdout

        assert query("SELECT 6 * 7") == b"42\n"
        selected = query(f"SELECT n || E'\\t' || md5(n::text) FROM generate_series(0, {ROWS - 1}) n")
        assert selected == rows
        query("CREATE TABLE t (n int PRIMARY KEY, digest text)")
        query("COPY t FROM STDIN", rows)
        assert query("COPY (SELECT * FROM t ORDER BY n) TO STDOUT") == rows
        notified(psql, env, lambda: query("NOTIFY news, 'hello'"))
        cancelled(psql, env)


def notified(psql: list[str], env: dict[str, str], notify: object) -> None:
    """One session listens while another one notifies."""
    listener = subprocess.Popen(psql, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    assert listener.stdin is not None
    assert listener.stdout is not None
    with listener:
        print("LISTEN news; SELECT 'listening';", file=listener.stdin, flush=True)
        assert listener.stdout.readline() == "listening\n"
        assert callable(notify)
        notify()
        print("SELECT 'told';", file=listener.stdin, flush=True)
        heard = [listener.stdout.readline(), listener.stdout.readline()]
        listener.stdin.close()
    assert heard[0] == "told\n"
    assert heard[1].startswith('Asynchronous notification "news" with payload "hello" received')
    assert listener.returncode == 0


def cancelled(psql: list[str], env: dict[str, str]) -> None:
    """Ctrl-C: psql asks over a second connection to cancel what runs in the first one."""
    command = [*psql, "-c", "SELECT 'sleeping'", "-c", "SELECT pg_sleep(60)"]
    sleeper = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    assert sleeper.stdout is not None
    assert sleeper.stdout.readline() == b"sleeping\n"
    time.sleep(0.2)  # the next query leaves right after; a signal before it would be for nothing
    sleeper.send_signal(signal.SIGINT)
    _, errors = sleeper.communicate(timeout=20)
    assert b"canceling statement due to user request" in errors
    assert sleeper.returncode == 1
