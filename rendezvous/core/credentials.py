"""Time-limited relay credentials, which the relay checks without a database.

The user name is ``expiry:peer``, the password base64(HMAC-SHA1(shared secret, user name)). coturn's
``use-auth-secret`` takes the same. Source: draft-uberti-behave-turn-rest-00.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import NamedTuple

from p2p.identity import PeerId
from p2p.proto.signalling.messages import TurnServer
from rendezvous.core.relays import RelayPlace


class RealmNonce(NamedTuple):
    """What a relay would answer to a first request without credentials."""

    realm: str
    nonce: str


def mint_turn_servers(
    places: Sequence[RelayPlace],
    secret: str,
    peer_id: PeerId,
    *,
    now_wall: float,
    lifetime_s: int,
    challenge_of: Callable[[str], RealmNonce | None] | None = None,
) -> tuple[TurnServer, ...]:
    """Make one peer's credentials for each relay.

    Args:
        places: The relays.
        secret: What rendezvous and relay share.
        peer_id: Whom the credentials are for; the relay's log and quotas go by it.
        now_wall: The present, in Unix seconds.
        lifetime_s: How long they are good for.
        challenge_of: Tells a relay's realm and nonce by its URL, where this process knows them.
    """
    expires_wall = int(now_wall) + lifetime_s
    username = f"{expires_wall}:{peer_id}"
    # SHA-1 is what every TURN server expects here; as an HMAC it is not broken.
    digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    password = base64.b64encode(digest).decode("ascii")
    servers = []
    for url, region in places:
        challenge = challenge_of(url) if challenge_of else None
        servers.append(
            TurnServer(
                url=url,
                username=username,
                password=password,
                expires_wall=expires_wall,
                realm=challenge.realm if challenge else None,
                nonce=challenge.nonce if challenge else None,
                region=region,
            )
        )
    return tuple(servers)
