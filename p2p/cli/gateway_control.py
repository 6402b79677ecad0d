"""``p2p gateway status``, ``weight``, ``drain`` and ``resume``: a gateway that runs on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from p2p.cli import flags

SUFFIX: Final = ".gateway"
"""Of control sockets in the folder of local programs, behind the process's number."""
SOCKET_PATH_MAX_BYTES: Final = 103
"""The least that a system allows: macOS, with the zero byte at the end."""

Socket = Annotated[
    Path | None,
    typer.Option("--socket", metavar="PATH", help="The gateway's control socket. Default: the only one of yours."),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A published name, host name, or port: blog, tcp:20022.")]
Instance = Annotated[str, typer.Argument(metavar="INSTANCE", help="As `p2p gateway status` names it.")]
AnyInstance = Annotated[
    str, typer.Argument(metavar="[INSTANCE]", show_default=False, help="As `p2p gateway status` names it; else all.")
]


def status(socket: Socket = None, as_json: flags.Json = False) -> None:
    """Show what a gateway on this machine publishes, who serves it and how, and what came of visitors."""
    answer = ask_gateway(socket, "status", as_json=as_json)
    if as_json:
        from p2p.cli.output import print_json

        print_json(answer)
        return
    for line in [*summary(answer), *(["", *table(answer)] if answer["services"] else [])]:
        typer.echo(line)


def weight(
    name: Name,
    instance: Instance,
    value: Annotated[int, typer.Argument(metavar="WEIGHT", min=1, max=1000, help="Its share among all instances.")],
    socket: Socket = None,
) -> None:
    """Change an instance's share of visitors while it serves, for as long as the gateway runs.

    A new version gets 1 beside 99 first, and more as it proves itself.
    """
    answer = ask_gateway(socket, "weight", name, instance, str(value))
    typer.echo(f"{answer['service']} {answer['instance']}: weight {answer['weight']}, was {answer['before']}")


def drain(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", show_default=False, help="What to drain; without it, all of the gateway.")
    ] = "",
    instance: AnyInstance = "",
    socket: Socket = None,
) -> None:
    """Send an instance nobody new, until `p2p gateway resume`; or let the gateway finish what it has, and end."""
    answer = ask_gateway(socket, "drain", *(word for word in (name, instance) if word))
    if name:
        typer.echo(f"{answer['service']} {', '.join(answer['instances'])}: set aside, {answer['open']} requests open")
    else:
        typer.echo(f"the gateway drains, {answer['open']} requests open")


def resume(name: Name, instance: AnyInstance = "", socket: Socket = None) -> None:
    """Take an instance that was set aside back."""
    answer = ask_gateway(socket, "resume", *(word for word in (name, instance) if word))
    typer.echo(f"{answer['service']} {', '.join(answer['instances'])}: back")


def control_path(given: Path | None) -> Path | None:
    """Where a gateway that starts puts its socket: as given, or among this user's programs; None if that cannot be."""
    if given is not None:
        return given
    import logging
    import os

    from p2p.cli.local_status import make_private_folder, runtime_folder

    path = runtime_folder() / f"{os.getpid()}{SUFFIX}"
    try:
        make_private_folder(path.parent)
        if len(os.fsencode(path)) > SOCKET_PATH_MAX_BYTES:
            raise OSError(f"{path} is too long for a socket")
    except OSError as error:
        # It must not stop a gateway that nobody wants to ask.
        logging.getLogger(__name__).warning("no control socket: %s", error)
        return None
    return path


def ask_gateway(socket: Path | None, *words: str, as_json: bool = False) -> dict[str, Any]:
    """Ask the gateway of this machine.

    Args:
        socket: Its control socket; None takes the only one.
        *words: The command.
        as_json: How an error is told.
    """
    from p2p.cli.problems import reporting

    with reporting(as_json=as_json, verbose=False):
        return query(socket, *words)


def query(socket: Path | None, *words: str) -> dict[str, Any]:
    """The same for those who take errors themselves.

    Raises:
        ConfigError: No gateway answers, or it refuses.
    """
    from gateway.control import GATEWAY
    from p2p.aio.control_socket import ask

    return ask(socket or _only_socket(), GATEWAY, *words)


def _only_socket() -> Path:
    from gateway.control import CODE_NO_GATEWAY
    from p2p.aio.control_socket import is_answered
    from p2p.cli.local_status import runtime_folder
    from p2p.errors import ConfigError

    folder = runtime_folder()
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if is_answered(path):
            found.append(path)
        else:
            # What a gateway that was killed has left.
            path.unlink(missing_ok=True)
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"several gateways run: {', '.join(map(str, found))}", code=CODE_NO_GATEWAY)
    raise ConfigError(f"no gateway of yours runs, going by {folder}", code=CODE_NO_GATEWAY)


def summary(answer: dict[str, Any]) -> list[str]:
    """The status in lines, but for services.

    Args:
        answer: What the gateway said.
    """
    from p2p.cli import text

    totals = answer["totals"]
    listeners = [f"{kind} {', '.join(answer[kind])}" for kind in ("http", "https") if answer[kind]]

    def counts(key: str) -> str:
        return ", ".join(f"{count} {name}" for name, count in sorted(totals[key].items())) or "none"

    return [
        f"State        {answer['state']}, up {text.duration(answer['up_s'])}, process {answer['pid']}",
        f"Visitors     {'; '.join([*listeners, answer['domain'] or 'custom hosts only', answer['balance']])}",
        f"Published    {text.plural(totals['services'], 'service')}, {text.plural(totals['instances'], 'instance')}, "
        f"{text.plural(totals['open'], 'request')} open",
        f"Requests     {counts('requests')}; {totals['retries']} went to another instance",
        f"Connections  {counts('connections')}",
        f"Refused      {counts('refused')}; {totals['ejections']} ejections",
        *map(_certificate, answer["certificates"]),
    ]


def _certificate(row: dict[str, Any]) -> str:
    from datetime import UTC, datetime

    from p2p.cli.text import printable

    ends = row["ends"] and f"until {datetime.fromtimestamp(row['ends'], UTC):%Y-%m-%d %H:%M} UTC"
    problem = row["problem"] and f"; last error: {printable(row['problem'])}"
    return f"Certificate  {printable(row['name'])} {ends or 'none yet'} ({row['source']}){problem}"


def table(answer: dict[str, Any]) -> list[str]:
    """Services, and below each one its instances, in columns.

    Args:
        answer: What the gateway said.
    """
    from p2p.cli.text import printable

    rows: list[tuple[str, ...]] = [("", "State", "Weight", "Open", "Conns", "Requests", "Failed", "RTT", "Path")]
    for service in answer["services"]:
        rows.append((f"{printable(service['service'])}  {' '.join(map(printable, service['urls']))}",))
        for instance in service["instances"]:
            counts = (str(instance[key]) for key in ("weight", "open", "connections", "requests", "failures"))
            rtt = "" if instance["rtt_ms"] is None else f"{instance['rtt_ms']:.1f} ms"
            rows.append((f"  {instance['instance']}", instance["state"], *counts, rtt, instance["path"] or "none"))
    whole = [row for row in rows if len(row) > 1]
    widths = [max(len(row[column]) for row in whole) for column in range(len(rows[0]))]
    # Words to the left, numbers to the right.
    aligned = ["<", "<", ">", ">", ">", ">", ">", ">", "<"]
    return [
        "  ".join(f"{word:{side}{width}}" for word, side, width in zip(row, aligned, widths, strict=False)).rstrip()
        for row in rows
    ]
