"""The known-peers file: names a person gives to peer ids.

One peer a line, ``alias peer-id``, separated by blanks; ``#`` begins a comment::

    # alias      peer id
    workshop     mfrggzdfmztwq2lkmfrggzdfmztwq2lkmfrggzdfmztwq2lkmfrq
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from p2p.errors import IdentityError
from p2p.identity.errors import CODE_KNOWN_PEERS, CODE_UNKNOWN_ALIAS
from p2p.identity.key_file import config_folder
from p2p.identity.peer_id import PEER_ID_CHARACTERS, PeerId

_FILE_NAME: Final = "known_peers"
_ALIAS_MAX_CHARACTERS: Final = 40
_ALIAS: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


def default_known_peers_path() -> Path:
    """Where the file is when nobody says otherwise, such as ``~/.config/p2p/known_peers``."""
    return config_folder() / _FILE_NAME


class KnownPeers:
    """Aliases of peers, as read from a file.

    Args:
        peers: Peer ids by alias.
    """

    def __init__(self, peers: dict[str, PeerId] | None = None) -> None:
        self._peers = dict(peers or {})
        self._aliases = {peer_id: alias for alias, peer_id in self._peers.items()}

    @classmethod
    def load(cls, path: Path | None = None) -> KnownPeers:
        """Read the file; one that does not exist has no peers.

        Args:
            path: The file; None means ``default_known_peers_path()``.

        Raises:
            IdentityError: The file cannot be read, or a line is wrong; the line's number is named.
        """
        file = path or default_known_peers_path()
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls()
        except (OSError, UnicodeDecodeError) as error:
            raise IdentityError(f"cannot read {file}: {error}", code=CODE_KNOWN_PEERS) from error
        peers: dict[str, PeerId] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            try:
                alias, peer_text = words
                peer_id = PeerId.parse(peer_text)
            except (ValueError, IdentityError) as error:
                raise IdentityError(f"{file}, line {number}: not `alias peer-id`", code=CODE_KNOWN_PEERS) from error
            # An alias stays shorter than a peer id, so that it can never pass for one.
            if not _ALIAS.match(alias) or len(alias) > _ALIAS_MAX_CHARACTERS:
                raise IdentityError(f"{file}, line {number}: not an alias: {alias!r}", code=CODE_KNOWN_PEERS)
            if alias in peers:
                raise IdentityError(f"{file}, line {number}: {alias!r} is there twice", code=CODE_KNOWN_PEERS)
            peers[alias] = peer_id
        return cls(peers)

    def resolve(self, name: str) -> PeerId:
        """Find the peer that a person means: by peer id, else by alias.

        Args:
            name: A peer id or an alias.

        Raises:
            IdentityError: It is neither.
        """
        if name in self._peers:
            return self._peers[name]
        if len(name.strip()) == PEER_ID_CHARACTERS:
            return PeerId.parse(name)
        raise IdentityError(f"neither a peer id nor a known alias: {name!r}", code=CODE_UNKNOWN_ALIAS)

    def name_of(self, peer_id: PeerId) -> str:
        """The alias of a peer, or the short form of its id."""
        return self._aliases.get(peer_id, peer_id.short)

    def __iter__(self) -> Iterator[tuple[str, PeerId]]:
        return iter(self._peers.items())

    def __len__(self) -> int:
        return len(self._peers)
