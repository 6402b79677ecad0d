"""Getting to the rendezvous, for every program that meets its peers there."""

from __future__ import annotations

from typing import Final

from p2p.aio.tasks import deadline
from p2p.errors import DeadlineExceededError, ErrorCode
from p2p.proto.signalling.messages import Welcome
from p2p.signalling.client import SignallingClient

CODE_NO_RENDEZVOUS: Final = ErrorCode(
    "P2P-1140",
    "Name one with --rendezvous or P2P_RENDEZVOUS; `p2p serve` runs one on any machine with a public address. "
    "Or meet on one network, without: --lan.",
)


async def reach_rendezvous(client: SignallingClient, timeout_s: float) -> Welcome:
    """Wait until the rendezvous has let us in.

    Args:
        client: Running.
        timeout_s: How long it may take.

    Raises:
        SignallingError: It refused us, or could not be reached in time.
        DeadlineExceededError: Time is up, and no attempt has failed yet.
    """
    try:
        async with deadline(timeout_s, "reaching the rendezvous"):
            return await client.welcome()
    except DeadlineExceededError as error:
        # What went wrong at the last attempt tells more than that time is up.
        raise client.last_error or error from error
