"""What is sealed into a direct message: which programs of the two keys it is between, and the body.

    version (1 byte, 1) | length (1) sender's instance | length (1) receiver's instance | body

A rendezvous says these names beside the sealed body; here nobody else must read them, for one is the service's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from p2p.errors import DecodeError
from p2p.proto.signalling.names import INSTANCE_PATTERN

_VERSION: Final = 1
_instance: Final = re.compile(INSTANCE_PATTERN)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A body and the programs it is between.

    Attributes:
        sender: The sender's instance.
        receiver: The receiver's instance: several programs of one key may have had the same address.
        body: As the rendezvous would carry it.
    """

    sender: str
    receiver: str
    body: bytes

    def encode(self) -> bytes:
        """Write the envelope."""
        sender, receiver = self.sender.encode(), self.receiver.encode()
        return b"".join(
            (bytes((_VERSION, len(sender))), sender, bytes((len(receiver),)), receiver, self.body),
        )

    @classmethod
    def decode_untrusted(cls, data: bytes) -> Self:
        """Read an envelope.

        Args:
            data: What was sealed.

        Raises:
            DecodeError: It is none, or of another version.
        """
        if not data or data[0] != _VERSION:
            raise DecodeError("not an envelope of this version")
        sender, rest = _take_name(data[1:])
        receiver, body = _take_name(rest)
        return cls(sender, receiver, body)


def _take_name(data: bytes) -> tuple[str, bytes]:
    size = data[0] if data else 0
    if len(data) < 1 + size:
        raise DecodeError("envelope cut short")
    try:
        name = data[1 : 1 + size].decode("ascii")
    except UnicodeDecodeError as error:
        raise DecodeError("an instance that is not ASCII") from error
    if _instance.match(name) is None:
        raise DecodeError("not an instance")
    return name, data[1 + size :]
