"""``p2p ping``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from p2p.cli import flags

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from p2p.session.reports import PingReply

EPILOG: Final = flags.examples(
    "p2p ping TICKET            watch the path become direct",
    "p2p ping TICKET -c 3 --json",
    "",
    "The exit code is 0 when the last question was answered.",
)


@flags.with_peer_flags
def ping(
    ticket: Annotated[str, typer.Argument(metavar="TICKET", help="What p2p expose printed on the other side.")],
    count: Annotated[int, typer.Option("--count", "-c", min=1, help="How many questions.")] = 5,
    *,
    shared: flags.PeerFlags,
) -> None:
    """Measure the way to an exposer: relay or direct.

    The first answers usually come over the relay, the later ones over a direct path if the networks allow one.
    """
    from p2p.cli.problems import reporting

    with reporting(as_json=shared.as_json, verbose=shared.verbose):
        import asyncio

        from p2p.observe import log

        peer = shared.options()
        log.set_up(verbose=peer.verbose, log_file=shared.log_file)
        # Wrong input is answered before the heavy part is imported.
        from p2p.session.ping import ping as ping_peer

        if not asyncio.run(_show(ping_peer(ticket, peer, count), as_json=shared.as_json)):
            raise typer.Exit(EXIT_NO_ANSWER)


EXIT_NO_ANSWER: Final = 1
"""The last question was not answered."""


async def _show(replies: AsyncIterator[PingReply], *, as_json: bool) -> bool:
    """Print each reply as it comes.

    Returns:
        Whether the last question was answered.
    """
    from p2p.cli import text
    from p2p.cli.output import print_json

    is_answered = False
    async for reply in replies:
        is_answered = reply.rtt_s is not None
        if as_json:
            print_json(reply.to_json())
        elif is_answered:
            where = f" to {reply.address}" if reply.address else ""
            path = text.path_words(reply.path, reply.transport)
            typer.echo(f"{reply.sequence}: {path}{where}, {text.round_trip(reply.rtt_s)}")
        else:
            typer.echo(f"{reply.sequence}: no answer")
    return is_answered
