"""A short visit at the rendezvous: log in, learn what it has to say, leave. It answers in seconds, or it is none."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from p2p.aio.race import race
from p2p.defaults import VISIT_AGAIN_S, VISIT_TIMEOUT_S
from p2p.errors import ConfigError, SignallingError
from p2p.identity import Identity
from p2p.proto.signalling.messages import Welcome
from p2p.session.dialing import new_session_id
from p2p.session.meeting import CODE_NO_RENDEZVOUS
from p2p.session.options import PeerOptions
from p2p.session.trust import trust
from p2p.signalling.dialer import Dialer
from p2p.signalling.errors import CODE_NO_ANSWER
from p2p.signalling.http import http_session
from p2p.signalling.link import Link

_INSTANCE_CHARACTERS: Final = 16


async def visit_rendezvous(options: PeerOptions, *, purpose: str) -> Welcome:
    """Ask all rendezvous servers at once what they say to us, and take the first answer.

    Args:
        options: Must name a rendezvous; ``timeout_s`` counts where it is shorter than ``VISIT_TIMEOUT_S``.
        purpose: A word that keeps this login apart from those of other programs with our key.

    Raises:
        ConfigError: No rendezvous is named.
        SignallingError: None lets us in; the reason is that of the first one named.
    """
    if not options.rendezvous_urls:
        raise ConfigError("no rendezvous to learn servers from", code=CODE_NO_RENDEZVOUS)
    identity = Identity.load_or_create(options.identity_path)
    timeout_s = min(options.timeout_s, VISIT_TIMEOUT_S)
    async with http_session() as session:

        async def visit(url: str, patience_s: float) -> Welcome | SignallingError:
            dialer = Dialer(
                [url],
                identity,
                instance=f"{purpose}-{new_session_id()[:_INSTANCE_CHARACTERS]}",
                token=options.token,
                ssl_context=trust(options),
                agent="",
            )
            try:
                async with asyncio.timeout(patience_s):
                    link = await dialer.dial(session)
            except TimeoutError:
                return SignallingError(f"{url} did not answer within {timeout_s:g} s", code=CODE_NO_ANSWER)
            return await _leave(link) if isinstance(link, Link) else link

        async def visit_twice(url: str) -> Welcome | SignallingError:
            """Come a second time by another connection when the first one hangs, and only then."""
            failures: list[SignallingError] = []

            async def first() -> Welcome | SignallingError:
                result = await visit(url, timeout_s)
                failures.extend([result] if isinstance(result, SignallingError) else [])
                return result

            async def second() -> Welcome | SignallingError:
                return failures[0] if failures else await visit(url, timeout_s - VISIT_AGAIN_S)

            return (await race([first, second], spacing_s=VISIT_AGAIN_S, is_good=_is_welcome))[0]

        visits = [partial(visit_twice, url) for url in options.rendezvous_urls]
        result = (await race(visits, spacing_s=0.0, is_good=_is_welcome))[0]
    if isinstance(result, SignallingError):
        raise result
    return result


def _is_welcome(result: Welcome | SignallingError) -> bool:
    return isinstance(result, Welcome)


async def _leave(link: Link) -> Welcome:
    await link.leave()
    return link.welcome
