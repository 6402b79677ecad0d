"""Start a lab's delay line and tell it what to do; `natlab.delay_line` is the process itself."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .errors import LabError
from .namespaces import entered

_CONTROL_TIMEOUT_S: Final = 5.0


def start_delay_line(namespace: str, control_path: Path) -> subprocess.Popen[str]:
    """Start the process and wait until it listens.

    Args:
        namespace: Where the packets pass.
        control_path: The socket that it listens on.

    Raises:
        LabError: It did not start.
    """
    with entered(namespace):
        process = subprocess.Popen(
            [sys.executable, "-E", "-S", "-m", "natlab.delay_line", str(control_path)],
            cwd=Path(__file__).resolve().parent.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    with process.stdout as output:
        if output.readline().strip() == "ready":
            return process
    process.kill()
    process.wait()
    raise LabError("the delay line did not start", "Run it by hand: python -m natlab.delay_line /tmp/x.")


def command_delay_line(control_path: Path, delays: Mapping[int, tuple[float, float]]) -> None:
    """Tell a running delay line what to do.

    Args:
        control_path: The socket that it listens on.
        delays: For each queue its delay and its jitter, in seconds.

    Raises:
        LabError: It does not run, or the kernel has no such queues.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(_CONTROL_TIMEOUT_S)
            link.connect(str(control_path))
            link.sendall(json.dumps(delays).encode())
            answer = link.recv(4096).decode()
    except OSError as error:
        raise LabError(f"the delay line does not answer: {error}", "Take the lab down and up again.") from error
    if answer != "ok":
        raise LabError(f"packets cannot be delayed: {answer}", "Load the kernel module sch_netem or nfnetlink_queue.")
