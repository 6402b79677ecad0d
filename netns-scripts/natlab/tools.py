"""Run the system's own tools: ip, tc, nft, conntrack."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from .errors import LabError
from .namespaces import entered

# Debian's names, which most other distributions share.
_PACKAGES: Final = {
    "ip": "iproute2",
    "tc": "iproute2",
    "nft": "nftables",
    "conntrack": "conntrack",
    "miniupnpd": "miniupnpd-nftables",
}


def require_tools(*names: str) -> None:
    """Make sure that tools are installed.

    Raises:
        LabError: One is not; the hint names its package.
    """
    for name in names:
        if shutil.which(name) is None:
            raise LabError(f"the program {name!r} is not installed", f"Install the package {_PACKAGES[name]}.")


@dataclass(slots=True)
class RunningTools:
    """Tools that were started together and are waited for together: a lab is up in the time of the slowest."""

    _running: list[tuple[subprocess.Popen[str], str]] = field(default_factory=list)

    def start(self, command: Sequence[str], script: str, *, namespace: str | None = None) -> None:
        """Start a tool and feed it its script.

        Args:
            command: Program and arguments.
            script: What it reads from its standard input.
            namespace: Where to run it; None for where we are.
        """
        if namespace is None:
            process = _spawn(command)
        else:
            with entered(namespace):
                process = _spawn(command)
        self._running.append((process, script))
        assert process.stdin is not None
        try:
            process.stdin.write(script)
            process.stdin.close()
        except BrokenPipeError:
            # It gave up before it read everything: `wait` tells why.
            process.stdin.close()

    def wait(self) -> None:
        """Wait for all of them.

        Raises:
            LabError: At least one failed; the first such is told about.
        """
        failure: LabError | None = None
        for process, script in self._running:
            assert process.stdout is not None
            output = process.stdout.read()
            process.stdout.close()
            if process.wait() != 0 and failure is None:
                failure = LabError(f"{process.args!r} failed: {output.strip()}", _offending_line(output, script))
        self._running.clear()
        if failure is not None:
            raise failure


def _spawn(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _offending_line(output: str, script: str) -> str:
    """Find the line of an ip batch that failed, for the message."""
    _, _, number = output.strip().rpartition(":")
    lines = script.splitlines()
    if number.isdigit() and 0 < int(number) <= len(lines):
        return f"The line was: {lines[int(number) - 1]}"
    return ""


def run_tool(command: Sequence[str], script: str = "", *, namespace: str | None = None, may_fail: bool = False) -> None:
    """Run one tool to its end.

    Args:
        command: Program and arguments.
        script: What it reads from its standard input.
        namespace: Where to run it; None for where we are.
        may_fail: Whether a failure is of no interest.

    Raises:
        LabError: It failed.
    """
    tools = RunningTools()
    tools.start(command, script, namespace=namespace)
    try:
        tools.wait()
    except LabError:
        if not may_fail:
            raise


def ip_batch(lines: Iterable[str], *, namespace: str | None = None, may_fail: bool = False) -> None:
    """Run several ``ip`` commands in one process.

    Raises:
        LabError: One failed, unless that may be: then the others still run.
    """
    script = "".join(f"{line}\n" for line in lines)
    if script:
        command = ["ip", "-force", "-batch", "-"] if may_fail else ["ip", "-batch", "-"]
        run_tool(command, script, namespace=namespace, may_fail=may_fail)


def load_rules(rules: str, *, namespace: str) -> None:
    """Load an nft script, as one transaction.

    Raises:
        LabError: nft refused it.
    """
    run_tool(["nft", "-f", "-"], rules, namespace=namespace)
