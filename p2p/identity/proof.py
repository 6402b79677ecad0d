"""How the client of a QUIC connection proves who it is, bound to that very connection.

    32 bytes   the client's Ed25519 public key
    64 bytes   its signature over: label, role, channel binding, client's key, server's key

The server proves itself by its certificate; no QUIC library lets it ask the client for one. The channel binding is
known to the two ends of one TLS session only, so a proof that a man in the middle takes from one session is worth
nothing in another, and the server's key in it keeps it from being shown to another server.

Source: RFC 5056 and RFC 9266 for the idea; the binding itself is ``EngineConnection.channel_binding``.
"""

from __future__ import annotations

from typing import Final

from p2p.errors import ErrorCode, IdentityError, IntegrityError
from p2p.identity.keys import Identity
from p2p.identity.peer_id import PeerId

PROOF_BYTES: Final = 96
BINDING_BYTES: Final = 32

CODE_PROOF: Final = ErrorCode(
    "P2P-2502", "Someone tried to connect under a name that is not theirs: check who controls the network between."
)

_LABEL: Final = b"p2p/1 proof of identity\0"
_ROLE_CLIENT: Final = b"client\0"
_KEY_BYTES: Final = 32

_PRIME: Final = 2**255 - 19
_SMALL_ORDER_Y: Final = frozenset(
    {
        0,
        1,
        _PRIME - 1,
        2707385501144840649318225287225658788936804267575313519463743609750303402022,
        55188659117513257062467267217118295137698188065244968500265048394206261417927,
    }
)
"""The y coordinates of the eight points whose order divides 8: the same signature fits many messages under such a key,
so that it belongs to nobody. Source: RFC 8032 section 5.1 (the curve), RFC 7748 section 6.1 (the concern)."""


def make(identity: Identity, binding: bytes, server_id: PeerId) -> bytes:
    """Prove to the server of a connection who its client is.

    Args:
        identity: The client's.
        binding: The connection's channel binding, 32 bytes.
        server_id: Whom the client is connected to.

    Returns:
        96 bytes, the client's first message.
    """
    client_id = identity.peer_id
    return client_id.public_key + identity.sign(_transcript(binding, client_id, server_id))


def verify(proof: bytes, binding: bytes, server_id: PeerId) -> PeerId:
    """Find out who the client of a connection is.

    Args:
        proof: What the client sent; nothing else of it may be heard before.
        binding: The connection's channel binding on this side, 32 bytes.
        server_id: The server's own id.

    Returns:
        The client.

    Raises:
        IdentityError: The proof is malformed, of another connection, for another server, or forged.
    """
    if len(proof) != PROOF_BYTES:
        raise IdentityError(f"a proof of identity has {PROOF_BYTES} bytes, not {len(proof)}", code=CODE_PROOF)
    public_key, signature = proof[:_KEY_BYTES], proof[_KEY_BYTES:]
    y = int.from_bytes(public_key, "little") & ((1 << 255) - 1)
    if y % _PRIME in _SMALL_ORDER_Y:
        raise IdentityError("the client's key belongs to nobody", code=CODE_PROOF)
    client_id = PeerId(public_key)
    try:
        client_id.verify(signature, _transcript(binding, client_id, server_id))
    except IntegrityError as error:
        raise IdentityError(f"the client is not {client_id.short}, whom it claims to be", code=CODE_PROOF) from error
    return client_id


def _transcript(binding: bytes, client_id: PeerId, server_id: PeerId) -> bytes:
    # Every part has a fixed length, so that no two transcripts can be the same bytes.
    if len(binding) != BINDING_BYTES:
        raise ValueError(f"a channel binding has {BINDING_BYTES} bytes, not {len(binding)}")
    return _LABEL + _ROLE_CLIENT + binding + client_id.public_key + server_id.public_key
