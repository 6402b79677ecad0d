"""The relays that are measured, each as processes pinned to cores."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.relay.network import RELAY_CLIENT_SIDE, RELAY_PEER_SIDE, Network
from benchmarks.relay.turn import PASSWORD, USER

PORT: Final = 3478
TLS_PORT: Final = 5349
SECRET: Final = "a secret for benchmarks"
_START_S: Final = 10.0

_OURS: Final = """
udp = ["{client_side}:{port}"]
tcp = ["{client_side}:{port}"]
tls = ["{client_side}:{tls_port}"]
tls_certificate = "certificate.pem"
tls_key = "key.pem"
relay_addresses = ["{peer_side}"]
drain_s = 0
shared_secret = "{secret}"
{workers}[users]
{user} = "{password}"
[peers]
danger_allow_private = true
[ports]
first = 1024
[quotas]
total = 40000
per_user = 40000
per_address = 40000
"""


class RunningRelay(NamedTuple):
    """A relay that serves.

    Attributes:
        name: ``ours`` or ``coturn``.
        pids: Its processes.
    """

    name: str
    pids: tuple[int, ...]


@contextmanager
def ours(network: Network, *, cores: str, workers: int = 1) -> Iterator[RunningRelay]:
    """Run this project's relay.

    Args:
        network: Where.
        cores: The cores it may use, as ``taskset`` takes them.
        workers: How many processes share the work.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "relay.toml"
        settings = _OURS.format(
            client_side=RELAY_CLIENT_SIDE,
            peer_side=RELAY_PEER_SIDE,
            port=PORT,
            tls_port=TLS_PORT,
            user=USER,
            password=PASSWORD,
            secret=SECRET,
            workers=f"workers = {workers}\n" if workers > 1 else "",
        )
        _make_certificate(Path(folder))
        file.write_text(settings)
        file.chmod(0o600)
        with _running(network, "ours", [sys.executable, "-m", "relay", "-c", str(file)], cores) as relay:
            yield relay


@contextmanager
def coturn(network: Network, *, cores: str, workers: int = 1) -> Iterator[RunningRelay]:
    """Run coturn with the same duties: long-term credentials, UDP, TCP and TLS, no log.

    Args:
        network: Where.
        cores: The cores it may use, as ``taskset`` takes them.
        workers: How many threads share the work.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = ["turnserver", "-n", "-L", RELAY_CLIENT_SIDE, "-E", RELAY_PEER_SIDE, "-p", str(PORT)]
        command += ["-m", str(workers), "-a", "-u", f"{USER}:{PASSWORD}", "-r", "bench", "--min-port=1024"]
        certificate, key = _make_certificate(Path(folder))
        command += [f"--tls-listening-port={TLS_PORT}", f"--cert={certificate}", f"--pkey={key}"]
        command += ["--no-dtls", "--no-cli", "--no-software-attribute", "--log-file=/dev/null"]
        command += ["--simple-log", f"--pidfile={folder}/pid", f"--userdb={folder}/users"]
        with _running(network, "coturn", command, cores) as relay:
            yield relay


def _make_certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "1",
    ]
    command += ["-subj", "/CN=relay", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def coturn_version() -> str | None:
    """Return coturn's version, or None where it is not installed."""
    program = shutil.which("turnserver")
    if program is None:
        return None
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\d+(\.\d+)+", shown.stdout + shown.stderr)
    return found[0] if found else "unknown"


@contextmanager
def _running(network: Network, name: str, command: Sequence[str], cores: str) -> Iterator[RunningRelay]:
    prefix = ["ip", "netns", "exec", network.name_of("relay"), "taskset", "-c", cores]
    with ExitStack() as stack:
        log = stack.enter_context(tempfile.TemporaryFile())
        process = subprocess.Popen([*prefix, *command], stdout=log, stderr=log)
        stack.callback(_stop, process)
        try:
            _wait_until_bound(network, process)
        except TimeoutError:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace"))
            raise
        yield RunningRelay(name, _family(process.pid))


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until_bound(network: Network, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        with network.inside("relay"):
            listening = Path("/proc/thread-self/net/udp").read_text(encoding="ascii") + Path(
                "/proc/thread-self/net/tcp"
            ).read_text(encoding="ascii")
        if len(re.findall(f":{PORT:04X} 0{{8}}:0000", listening)) >= 2:
            time.sleep(0.2)
            return
        time.sleep(0.05)
    raise TimeoutError(f"the relay does not serve: {process.args!r}")


def _family(pid: int) -> tuple[int, ...]:
    """A process and its descendants."""
    found = [pid]
    for at in found:
        for task in os.listdir(f"/proc/{at}/task"):
            children = Path(f"/proc/{at}/task/{task}/children").read_text(encoding="ascii")
            found += [int(child) for child in children.split()]
    return tuple(found)
