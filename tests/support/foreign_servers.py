"""OpenSSH's and PostgreSQL's servers on loopback, for one test."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.commands import need, run
from tests.support.ports import free_port
from tests.support.tcp_services import TcpService

SSHD_CONFIG = """\
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
PrintMotd no
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True)
class Sshd:
    """A running server.

    Attributes:
        port: Where it listens.
        log: What it wrote.
        options: What a client must be told to get in, and to keep to itself.
        destination: User and host, which is only a name.
    """

    port: int
    log: Path
    options: tuple[str, ...]
    destination: str


@contextmanager
def sshd(folder: Path) -> Iterator[Sshd]:
    """Serve SSH on a free port: a process of OpenSSH's server for each connection, as under inetd."""
    program = need("sshd")
    if os.geteuid() == 0:
        # Where the server jails what has not logged in yet; its service unit makes the folder.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    for name in ("host_key", "user_key"):
        assert run(need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", folder / name).returncode == 0
    config, log = folder / "sshd_config", folder / "sshd.log"
    config.write_text(SSHD_CONFIG.format(folder=folder))
    host_key = (folder / "host_key.pub").read_text()
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(f"nas {host_key}")

    def serve(sock: socket.socket) -> None:
        subprocess.run([program, "-i", "-f", config, "-E", log], stdin=sock, stdout=sock, check=False)

    options = (
        "IdentitiesOnly=yes",
        f"IdentityFile={folder / 'user_key'}",
        f"UserKnownHostsFile={known_hosts}",
        "GlobalKnownHostsFile=none",
        "HostKeyAlias=nas",
        "BatchMode=yes",
    )
    flags = tuple(word for option in options for word in ("-o", option))
    with TcpService(serve) as service:
        yield Sshd(service.target.port, log, ("-F", "none", *flags), f"{getpass.getuser()}@nas")


@dataclass(frozen=True)
class PostgreSql:
    """A running server; ``port`` is where it listens, ``user`` its superuser, who needs no password."""

    port: int
    user: str


@contextmanager
def postgresql() -> Iterator[PostgreSql]:
    """Make an empty database cluster and serve it; the server refuses to run as root."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parent.parent.name))
    initdb = str(programs[-1]) if programs else need("initdb")
    server = str(Path(initdb).with_name("postgres"))
    user, prefix = _unprivileged()
    # Not below pytest's folder, which is closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="p2p-postgresql-"))
    try:
        shutil.chown(folder, user)
        data = folder / "data"
        made = run(*prefix, initdb, "-D", data, "-U", "alice", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        assert made.returncode == 0, made.stderr
        settings = ("fsync=off", f"unix_socket_directories={folder}", "listen_addresses=127.0.0.1")
        flags = [word for setting in settings for word in ("-c", setting)]
        yield from _run_postgresql([*prefix, server, "-D", str(data), *flags], folder)
    finally:
        shutil.rmtree(folder)


def _run_postgresql(command: list[str], folder: Path) -> Iterator[PostgreSql]:
    log = folder / "log"
    for _ in range(3):
        port = free_port()
        with log.open("wb") as output:
            process = subprocess.Popen([*command, "-p", str(port)], stderr=output, stdout=output, cwd=folder)
        try:
            deadline = time.monotonic() + 20
            while b"ready to accept connections" not in log.read_bytes():
                if process.poll() is not None or time.monotonic() > deadline:
                    break
                time.sleep(0.02)
            else:
                yield PostgreSql(port, "alice")
                return
        finally:
            process.send_signal(signal.SIGINT)  # "fast": do not wait for clients
            process.wait(20)
        if b"could not bind" not in log.read_bytes():
            break  # else someone else took the port first
    pytest.fail(log.read_text(errors="replace"))


def _unprivileged() -> tuple[str, list[str]]:
    """A user who is not root, and what runs a command as that user."""
    if os.geteuid() != 0:
        return getpass.getuser(), []
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    return user, [need("setpriv"), f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups", "--"]
