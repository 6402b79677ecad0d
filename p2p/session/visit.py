"""A short visit at the rendezvous: log in, learn what it has to say, leave. It answers in seconds, or it is none."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import aiohttp

from p2p.defaults import VISIT_AGAIN_S, VISIT_TIMEOUT_S
from p2p.errors import ConfigError, P2PError, SignallingError
from p2p.identity import Identity
from p2p.proto.signalling.messages import Welcome
from p2p.session.dialing import new_session_id
from p2p.session.meeting import CODE_NO_RENDEZVOUS
from p2p.session.options import PeerOptions
from p2p.session.trust import trust
from p2p.signalling.dialer import Dialer
from p2p.signalling.errors import CODE_NO_ANSWER
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
    # Proxies of the environment are used, as by every other program of ours.
    async with aiohttp.ClientSession(trust_env=True) as session:

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
            """Come a second time by another connection when the first one hangs: its SYN may be lost, and again."""
            async with asyncio.TaskGroup() as group:
                first = group.create_task(visit(url, timeout_s))
                await asyncio.wait((first,), timeout=VISIT_AGAIN_S)
                if first.done():
                    return first.result()
                second = group.create_task(visit(url, timeout_s - VISIT_AGAIN_S))
                done, pending = await asyncio.wait((first, second), return_when=asyncio.FIRST_COMPLETED)
                if pending and not any(isinstance(task.result(), Welcome) for task in done):
                    done, pending = await asyncio.wait(pending)
                for task in pending:
                    task.cancel()
            results = [task.result() for task in done]
            return next((result for result in results if isinstance(result, Welcome)), results[0])

        return await _first([visit_twice(url) for url in options.rendezvous_urls])


async def _leave(link: Link) -> Welcome:
    await link.leave()
    return link.welcome


async def _first(visits: Sequence[Coroutine[Any, Any, Welcome | SignallingError]]) -> Welcome:
    failures: list[P2PError] = []
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(visit) for visit in visits]
        for done in asyncio.as_completed(tasks):
            result = await done
            if isinstance(result, Welcome):
                for task in tasks:
                    task.cancel()
                return result
    for task in tasks:
        result = task.result()
        if isinstance(result, SignallingError):
            failures.append(result)
    raise failures[0]
