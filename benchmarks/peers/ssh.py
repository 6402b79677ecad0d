"""OpenSSH: ``ssh -L`` to an sshd of its own."""

from __future__ import annotations

import getpass
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness.place import DIALER, EXPOSER, Place
from benchmarks.harness.program import Program
from benchmarks.peers.base import Tunnel, free_port, version_of


class Ssh:
    """One SSH connection with a forwarded port."""

    name = "ssh"

    def missing(self) -> str | None:
        """See ``Peer``."""
        return None if shutil.which("ssh") and shutil.which("sshd") else "OpenSSH is not installed"

    def version(self) -> str:
        """See ``Peer``."""
        return version_of(["ssh", "-V"], r"OpenSSH_\S+")

    @contextmanager
    def tunnel(self, place: Place, service_port: int, folder: Path) -> Iterator[Tunnel]:
        """See ``Peer``."""
        for name in ("host_key", "user_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        sshd_port, port = free_port(), free_port()
        (folder / "known").write_text(
            f"[{place.exposer_address}]:{sshd_port} {(folder / 'host_key.pub').read_text()}", encoding="ascii"
        )
        # sshd insists on a folder of its own, and on being called by its whole path.
        Path("/run/sshd").mkdir(exist_ok=True)
        server = [str(shutil.which("sshd")), "-D", "-e", "-f", "/dev/null", "-p", str(sshd_port)]
        server += ["-h", str(folder / "host_key"), "-o", f"AuthorizedKeysFile={folder / 'user_key.pub'}"]
        server += ["-o", "StrictModes=no", "-o", f"ListenAddress={place.service_address}", "-o", "PermitRootLogin=yes"]
        server += ["-o", "PidFile=none", "-o", "MaxSessions=5000", "-o", "MaxStartups=100"]
        client = ["ssh", "-v", "-F", "none", "-N", "-L", f"127.0.0.1:{port}:127.0.0.1:{service_port}"]
        client += ["-i", str(folder / "user_key"), "-o", f"UserKnownHostsFile={folder / 'known'}"]
        client += ["-o", "BatchMode=yes", "-p", str(sshd_port), f"{getpass.getuser()}@{place.exposer_address}"]
        with Program(place.command(EXPOSER, server), log=folder / "sshd.log") as exposing:
            exposing.wait_for("Server listening")
            with Program(place.command(DIALER, client), log=folder / "ssh.log") as dialing:
                dialing.wait_for("Entering interactive session|pledge: ")
                yield Tunnel("127.0.0.1", port, dialing, exposing)
