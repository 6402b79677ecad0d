"""Flags that several commands share, so that they are spelled and explained alike everywhere."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_type_hints

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


class PeerFlags(NamedTuple):
    """What was given of the flags that all peers share; None or False: it was not given."""

    rendezvous: Rendezvous = None
    token: Token = None
    ca_file: CaFile = None
    engine: Engine = None
    identity: Identity = None
    relay_only: RelayOnly = False
    no_relay: NoRelay = False
    no_birthday: NoBirthday = False
    no_port_mapping: NoPortMapping = False
    timeout: Timeout = None
    as_json: Json = False
    verbose: Verbose = False
    log_file: LogFile = None

    def options(self) -> PeerOptions:
        """Merge what the flags say with the environment and the configuration file.

        Raises:
            ConfigError: A value is wrong, wherever it came from, or two flags contradict each other.
        """
        from p2p import config
        from p2p.cli.local_status import runtime_folder

        if self.relay_only and self.no_relay:
            raise ConfigError("--relay-only and --no-relay leave no path at all", code=config.CODE_CONTRADICTION)
        options = config.load_peer_options(
            {
                "rendezvous": self.rendezvous or None,
                "token": self.token,
                "ca_file": self.ca_file,
                "engine": self.engine,
                "identity": self.identity,
                "relay": "only" if self.relay_only else "never" if self.no_relay else None,
                "birthday": False if self.no_birthday else None,
                "port_mapping": False if self.no_port_mapping else None,
                "timeout": self.timeout,
                "verbose": self.verbose or None,
            }
        )
        return replace(options, shared_folder=runtime_folder() / "guessing")


def with_peer_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags that all peers share.

    Args:
        command: Takes them as the keyword argument ``shared``, a ``PeerFlags``.

    Returns:
        The command with one parameter for each flag, which is how typer learns of them.
    """
    return with_flags("shared", PeerFlags)(command)


def with_flags(argument: str, group: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command a group of flags.

    Args:
        argument: The keyword argument by which the command takes what was given of them.
        group: A ``NamedTuple`` class with a field and a default for each.

    Returns:
        A decorator; the command has one parameter for each flag then, which is how typer learns of them.
    """
    hints = get_type_hints(group, include_extras=True)
    flags = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[name])
        for name, default in group._field_defaults.items()
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True)
        kept = [parameter for name, parameter in own.parameters.items() if name != argument]

        @functools.wraps(command)
        def wrapper(**given: Any) -> None:
            values = group(**{name: given.pop(name) for name in group._fields})
            command(**given, **{argument: values})

        # The command's own flags are listed first.
        wrapper.__signature__ = own.replace(parameters=[*kept, *flags])  # type: ignore[attr-defined]
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in [*kept, *flags]}
        return wrapper

    return decorate


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
