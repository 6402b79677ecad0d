"""Flags that several commands share, so that they are spelled and explained alike everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from p2p.errors import ConfigError

if TYPE_CHECKING:
    from p2p.session.options import PeerOptions

Rendezvous = Annotated[
    list[str] | None,
    typer.Option("--rendezvous", "-r", metavar="URL", help="Rendezvous server; repeat for more. [env: P2P_RENDEZVOUS]"),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TEXT",
        help="Admission token of the rendezvous. Better in the environment: "
        "a command line is visible to others. [env: P2P_TOKEN]",
    ),
]
CaFile = Annotated[
    Path | None,
    typer.Option("--ca-file", metavar="FILE", help="Trust these authorities (PEM) instead of the system's."),
]
Engine = Annotated[
    str | None,
    typer.Option("--engine", metavar="NAME", help="QUIC engine: qh3 or aioquic. Default: the fastest installed."),
]
Identity = Annotated[
    Path | None,
    typer.Option("--identity", metavar="FILE", help="Key file to use; made on first use."),
]
RelayOnly = Annotated[
    bool,
    typer.Option("--relay-only", help="Never go direct: the peers do not learn each other's addresses."),
]
NoRelay = Annotated[bool, typer.Option("--no-relay", help="Never use a relay: direct, or not at all.")]
NoBirthday = Annotated[
    bool, typer.Option("--no-birthday", help="Spend no burst of sockets and probes on difficult NATs.")
]
NoPortMapping = Annotated[
    bool, typer.Option("--no-port-mapping", help="Do not ask the router to forward a port (PCP, NAT-PMP, UPnP).")
]
Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout", metavar="TIME", help="How long to wait for the rendezvous and the first path. Default: 30s."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log in detail to stderr; show tracebacks.")]
Metrics = Annotated[
    str | None,
    typer.Option("--metrics", metavar="ADDRESS", help="Serve metrics for Prometheus: local port, or IP:port."),
]
Limit = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="[NAME=]RATE",
        help="Limit a service, or each: 10mbit in both directions, 2mbit/500kbit in and out, -/1mbit out only. Repeat.",
    ),
]
LogFile = Annotated[Path | None, typer.Option("--log-file", metavar="FILE", help="Append the log to this file.")]


def peer_options(
    *,
    rendezvous: list[str] | None = None,
    token: str | None = None,
    ca_file: Path | None = None,
    engine: str | None = None,
    identity: Path | None = None,
    relay_only: bool = False,
    no_relay: bool = False,
    no_birthday: bool = False,
    no_port_mapping: bool = False,
    timeout: str | None = None,
    verbose: bool = False,
) -> PeerOptions:
    """Merge what the flags say with the environment and the configuration file.

    Args:
        rendezvous: Each as the flag gave it; None or False means that it was not given.
        token: See above, as for all that follow.
        ca_file: See above.
        engine: See above.
        identity: See above.
        relay_only: See above.
        no_relay: See above.
        no_birthday: See above.
        no_port_mapping: See above.
        timeout: See above.
        verbose: See above.

    Raises:
        ConfigError: A value is wrong, wherever it came from, or two flags contradict each other.
    """
    from p2p import config
    from p2p.cli.local_status import runtime_folder

    if relay_only and no_relay:
        raise ConfigError("--relay-only and --no-relay leave no path at all", code=config.CODE_CONTRADICTION)
    options = config.load_peer_options(
        {
            "rendezvous": rendezvous or None,
            "token": token,
            "ca_file": ca_file,
            "engine": engine,
            "identity": identity,
            "relay": "only" if relay_only else "never" if no_relay else None,
            "birthday": False if no_birthday else None,
            "port_mapping": False if no_port_mapping else None,
            "timeout": timeout,
            "verbose": verbose or None,
        }
    )
    return replace(options, shared_folder=runtime_folder() / "guessing")


def check_lan(options: PeerOptions, *, lan: bool) -> None:
    """Refuse to meet on a network whose peers must not learn this host's addresses.

    Args:
        options: Merged.
        lan: Whether the user wants to meet by multicast DNS.

    Raises:
        ConfigError: Both cannot be.
    """
    from p2p import config
    from p2p.session.options import RelayPolicy

    if lan and options.relay_policy is RelayPolicy.ONLY:
        raise ConfigError("--lan shows this host's addresses, --relay-only hides them", code=config.CODE_CONTRADICTION)


def examples(*lines: str) -> str:
    """Format the examples at the end of a command's help.

    Args:
        *lines: One example or remark each; an empty one separates.
    """
    # \b keeps click from rewrapping the paragraph that follows it.
    return "\b\nExamples:\n" + "\n".join(f"  {line}" if line else "\n\b" for line in lines)
