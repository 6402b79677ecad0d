"""One cell of the matrix: a dialer in one place of a lab, an exposer in another, the real programs, N runs."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Final

from .errors import LabError
from .exchange import Exchange, ExchangeService, exchange
from .expectation import Path
from .lab import Lab
from .observed import ObservedProgram, Stopped, Told
from .peer_packets import count_peer_packets, peer_packets
from .plan import SERVER, SERVER_ADDRESSES
from .programs import LISTEN_ADDRESS, RENDEZVOUS_PORT, Programs
from .results import CellResult, RunResult
from .setups import Setup
from .topology import FAMILY_IPV6

_START_TIMEOUT_S: Final = 20.0
_CONNECT_TIMEOUT_S: Final = 30.0
_EXCHANGE_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class CellPlan:
    """What to run.

    Attributes:
        setup: Where the programs are, and what they must come to.
        runs: How many sessions, one after the other.
        size: Bytes that are sent each way in each exchange.
        deadline_s: How long after the session is there its path has to be final, where plain checks decide.
        hard_deadline_s: The same where that takes time.
        command: What the programs' command lines begin with.
        flags: More flags for them.
        keep: Where to keep the programs' logs; None throws them away.
    """

    setup: Setup
    runs: int
    size: int
    deadline_s: float
    hard_deadline_s: float
    command: tuple[str, ...]
    flags: tuple[str, ...] = ()
    keep: FilePath | None = None


def run_cell(plan: CellPlan, *, prefix: str, stop: threading.Event) -> CellResult:
    """Run one cell in a lab of its own.

    Args:
        plan: What to run.
        prefix: The lab's prefix.
        stop: Set when the user wants to stop.

    Raises:
        Stopped: The user wants to stop; the lab is down by then.
    """
    topology = plan.setup.topology
    runs: list[RunResult] = []
    with _folder(plan) as folder:
        programs = Programs(plan.command, folder, plan.flags, ipv6=topology.ipv6)
        try:
            with Lab.up(topology, prefix=prefix) as lab, ExitStack() as stack:
                count_peer_packets(lab)
                ticket, exposer = _start_exposer(plan, lab, programs, stack, stop)
                for number in range(1, plan.runs + 1):
                    runs.append(_run_once(plan, lab, programs, ticket, number, stop))
                    _check_alive(exposer)
        except LabError as error:
            failed = RunResult(path=None, problem=str(error.detail))
            runs += [failed] * (plan.runs - len(runs))
    return CellResult(key=plan.setup.key, expectation=plan.setup.expectation, runs=tuple(runs))


@contextmanager
def _folder(plan: CellPlan) -> Iterator[FilePath]:
    """Give the programs a folder, and keep it if their logs are wanted."""
    folder = FilePath(tempfile.mkdtemp(prefix="p2p-lab-"))
    try:
        yield folder
    finally:
        if plan.keep is not None:
            target = plan.keep / log_folder(plan.setup)
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(folder, target)
        shutil.rmtree(folder, ignore_errors=True)


def log_folder(setup: Setup) -> str:
    """Name the folder that a cell's logs are kept in."""
    key = setup.key
    name = key.scenario or f"{key.dialer}-{key.exposer}"
    return f"{name}-loss" if key.loss and not key.scenario else name


def _has_only_ipv6(lab: Lab, host: str) -> bool:
    return any(host in router.host_names and router.family == FAMILY_IPV6 for router in lab.topology.routers)


def _start_exposer(
    plan: CellPlan, lab: Lab, programs: Programs, stack: ExitStack, stop: threading.Event
) -> tuple[str, ObservedProgram]:
    """Start the server, if there is one, the service and the exposing program, and wait for its ticket."""

    def start(host: str, name: str, command: list[str]) -> ObservedProgram:
        return stack.enter_context(ObservedProgram.of(programs, lab, host, name, command, stop=stop))

    has_server = plan.setup.has_server
    if has_server:
        wait_for_server(lab, start(SERVER, "serve", programs.serve()), stop)
    exposer_host = plan.setup.exposer_host
    service = stack.enter_context(ExchangeService(lambda: lab.entered(exposer_host), timeout_s=_EXCHANGE_TIMEOUT_S))
    by_ipv6 = _has_only_ipv6(lab, exposer_host)
    exposer = start(exposer_host, "expose", programs.expose(service.port, by_ipv6=by_ipv6, has_server=has_server))
    return str(exposer.require("ready", within_s=_START_TIMEOUT_S).values["ticket"]), exposer


def wait_for_server(lab: Lab, server: ObservedProgram, stop: threading.Event) -> None:
    """Wait until the server takes connections.

    Raises:
        LabError: It does not, or it ended.
        Stopped: The user wants to stop.
    """
    until = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < until:
        with lab.entered(SERVER):
            probe = socket.socket()
        with probe:
            if probe.connect_ex((SERVER_ADDRESSES[0], RENDEZVOUS_PORT)) == 0:
                return
        if server.has_ended:
            break
        if stop.wait(_POLL_S):
            raise Stopped
    raise LabError(f"the server does not listen: {server.last_words()}")


def _check_alive(exposer: ObservedProgram) -> None:
    if exposer.has_ended:
        raise LabError(f"the exposing side ended: {exposer.last_words()}")


def _run_once(
    plan: CellPlan, lab: Lab, programs: Programs, ticket: str, number: int, stop: threading.Event
) -> RunResult:
    """Dial once: exchange bytes at once, wait until the path is final, exchange bytes again."""
    host = plan.setup.dialer_host
    # A ticket names the server by an address here, which may be of the other family.
    by_ipv6 = _has_only_ipv6(lab, host) if lab.topology.ipv6 else None
    packets_before = peer_packets(lab)
    with (
        # Left last: once the dialer has ended, its client has nothing to wait for.
        ThreadPoolExecutor(max_workers=1) as pool,
        ObservedProgram(
            lab,
            host,
            programs.connect(ticket, by_ipv6=by_ipv6),
            environment=programs.environment("connect"),
            log=programs.folder / f"connect-{number}.log",
            stop=stop,
        ) as dialer,
    ):
        try:
            listening = dialer.require("listening", within_s=_START_TIMEOUT_S)
        except LabError as error:
            return RunResult(path=None, problem=error.detail)
        port = int(str(listening.values["address"]).rpartition(":")[2])

        def client() -> Exchange:
            return exchange(
                lambda: lab.entered(host), LISTEN_ADDRESS, port, size=plan.size, timeout_s=_EXCHANGE_TIMEOUT_S
            )

        first = pool.submit(client)
        connected = dialer.wait_for(lambda told: told.event == "connected", until=time.monotonic() + _CONNECT_TIMEOUT_S)
        if connected is None:
            return RunResult(path=None, problem=f"no session: {dialer.last_words()}")
        final = _final_path(plan, dialer, connected)
        result = _result(dialer, listening, connected, final, first.result().first_byte_at)
        packets = peer_packets(lab)
        exchanges = (first.result(), client())
        problems = [exchange.problem for exchange in exchanges if exchange.problem]
        return replace(
            result,
            exchange_s=exchanges[-1].took_s,
            peer_packets=packets - packets_before if result.path is Path.RELAY else None,
            bytes_ok=not problems,
            problem="; ".join(problems),
        )


def _is_direct(told: Told) -> bool:
    return told.event in ("path", "connected") and told.values.get("path") == Path.DIRECT.value


def _final_path(plan: CellPlan, dialer: ObservedProgram, connected: Told) -> Told | None:
    """Wait until the path is direct, or is said to stay on the relay, or time is up.

    The reason for the relay is told anew when more is known: where it must stay there, the right one is waited for.
    """
    allowed_s = plan.hard_deadline_s if plan.setup.takes_time else plan.deadline_s
    wanted = plan.setup.expectation

    def is_final(told: Told) -> bool:
        right = wanted.path is not Path.RELAY or _reason(told) == wanted.reason
        return _is_direct(told) or (told.event == "relayed" and right)

    final = dialer.wait_for(is_final, until=connected.at + allowed_s)
    return final or next((told for told in reversed(dialer.told) if told.event == "relayed"), None)


def _reason(told: Told) -> str | None:
    reason = told.values.get("reason")
    return str(reason.get("code")) if isinstance(reason, dict) else None


def _result(
    dialer: ObservedProgram,
    listening: Told,
    connected: Told,
    final: Told | None,
    first_byte_at: float | None,
) -> RunResult:
    # The dialer's own zero: the reading of a line is late now and then, never early.
    zeros = [told.at - told.t_s for told in (listening, connected) if told.t_s is not None]
    signalling_at = min(zeros) if zeros else dialer.started_at
    opening = next(told for told in dialer.told if told.event in ("connected", "path"))

    def since_start_s(told: Told) -> float:
        return told.at - signalling_at if told.t_s is None else told.t_s

    result = RunResult(
        path=Path.RELAY,
        transport=str(opening.values.get("transport", "")),
        first_byte_s=None if first_byte_at is None else first_byte_at - signalling_at,
        wall_first_byte_s=None if first_byte_at is None else first_byte_at - dialer.started_at,
        relay_s=None if _is_direct(opening) else since_start_s(opening),
    )
    if final is None:
        return result
    if _is_direct(final):
        return replace(result, path=Path.DIRECT, direct_s=since_start_s(final))
    return replace(result, reason=_reason(final), reason_s=since_start_s(final))
