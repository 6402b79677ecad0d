"""Who may use a service: the exposer's decision, made from what a dialer has proven."""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass, field
from typing import Final, Self

from p2p.errors import IdentityError, IntegrityError
from p2p.identity import Identity, PeerId, Ticket, proof
from p2p.identity.ticket import SECRET_BYTES
from p2p.proto.signalling.knock import bell_key
from p2p.proto.signalling.names import SERVICE_NAME_MAX_CHARACTERS
from p2p.proto.tunnel.codes import RefusalCode, refusal_error
from p2p.proto.tunnel.frames import AuthRequest
from p2p.proto.tunnel.ticket_proof import verify_ticket_proof
from p2p.session.options import ExposeOptions

_NAME_BYTES: Final = 5
_NOT_IN_A_NAME: Final = re.compile(r"[^a-z0-9._-]+")


@dataclass(slots=True, kw_only=True)
class ServiceAccess:
    """A service on offer, and the conditions of its use.

    Attributes:
        service: Its name in tickets and at the rendezvous.
        secret: What a ticket holder proves to know.
        allowed: The peers that may use it, with a ticket; empty admits every ticket holder.
        expires_wall: Unix seconds after which nobody may; None for never.
        sessions_left: How many more sessions it serves; None for any number.
    """

    service: str
    secret: bytes = field(repr=False)
    allowed: frozenset[PeerId] = frozenset()
    expires_wall: int | None = None
    sessions_left: int | None = None

    @classmethod
    def from_options(cls, options: ExposeOptions, identity: Identity, *, now_wall: float) -> Self:
        """Make what the user asked for.

        The ticket of a lasting offer is the same after a restart. One that is limited in time or number is new
        each time, so that an old ticket never opens a later offer.

        Raises:
            IdentityError: An allowed peer is no peer id.
        """
        service = service_of(options, identity)
        is_limited = options.once or options.expires_s is not None
        return cls(
            service=service,
            secret=os.urandom(SECRET_BYTES)
            if is_limited
            else identity.derive_secret(f"ticket for {service}", SECRET_BYTES),
            allowed=frozenset(PeerId.parse(text) for text in options.allow),
            expires_wall=None if options.expires_s is None else int(now_wall + options.expires_s),
            sessions_left=1 if options.once else None,
        )

    def bell_key(self, peer_id: PeerId) -> bytes:
        """Make the key of those who may knock: all who hold the ticket."""
        return bell_key(self.secret, peer_id.public_key, self.service)

    def ticket(self, peer_id: PeerId, urls: tuple[str, ...]) -> Ticket:
        """Make the ticket that opens this service."""
        return Ticket(
            peer_id=peer_id,
            service=self.service,
            secret=self.secret,
            rendezvous_urls=urls,
            expires_wall=self.expires_wall,
        )

    def check(
        self, proof: bytes | None, *, service: str, binding: bytes, dialer: PeerId, exposer: PeerId, now_wall: float
    ) -> None:
        """Decide about a dialer that has proven its identity.

        Args:
            proof: Its proof of the ticket's secret.
            service: The service it asks for.
            binding: What the proof must be bound to: the session's id in an offer, the TLS session in QUIC.
            dialer: Who asks.
            exposer: Our own id.
            now_wall: The present, Unix seconds.

        Raises:
            AccessRefusedError: The verdict is no.
        """
        if service != self.service:
            raise AccessRefusedError(RefusalCode.UNKNOWN_SERVICE, f"no service {service!r} here")
        try:
            verify_ticket_proof(
                proof or b"",
                secret=self.secret,
                binding=binding,
                dialer_id=dialer.public_key,
                exposer_id=exposer.public_key,
                service=service,
            )
        except IntegrityError as error:
            raise AccessRefusedError(RefusalCode.TICKET_WRONG, "the ticket does not open this service") from error
        # Only ticket holders learn more than that.
        if self.expires_wall is not None and now_wall >= self.expires_wall:
            raise AccessRefusedError(RefusalCode.TICKET_EXPIRED, "the ticket has expired")
        if self.allowed and dialer not in self.allowed:
            raise AccessRefusedError(RefusalCode.PEER_NOT_ALLOWED, f"peer {dialer} is not on the list of this service")
        if self.sessions_left is not None and self.sessions_left <= 0:
            raise AccessRefusedError(RefusalCode.SERVICE_USED_UP, "the service was on offer for one session")

    def check_login(
        self, request: AuthRequest, *, binding: bytes, asked: PeerId, exposer: PeerId, now_wall: float
    ) -> None:
        """Decide about a dialer inside its TLS session, from what it proves there.

        Args:
            request: Its proofs of its key and of the ticket's secret.
            binding: The TLS session.
            asked: Whose offer it was.
            exposer: Our own id.
            now_wall: The present, Unix seconds.

        Raises:
            AccessRefusedError: The verdict is no.
        """
        try:
            dialer = proof.verify(request.proof, binding, exposer)
        except IdentityError as error:
            raise AccessRefusedError(RefusalCode.IDENTITY_UNPROVEN, error.detail) from error
        if dialer != asked:
            raise AccessRefusedError(RefusalCode.IDENTITY_UNPROVEN, "another peer than the one that asked")
        self.check(
            request.ticket_proof,
            service=request.service,
            binding=binding,
            dialer=dialer,
            exposer=exposer,
            now_wall=now_wall,
        )


class AccessRefusedError(IdentityError):
    """The exposer's verdict about a dialer is no.

    Args:
        refusal: The number that tells the dialer why.
        text: Words for its user.
    """

    def __init__(self, refusal: RefusalCode, text: str) -> None:
        super().__init__(text, code=refusal_error(refusal, text).error_code)
        self.refusal = refusal


def service_of(options: ExposeOptions, identity: Identity) -> str:
    """Name a service for tickets and the rendezvous.

    Without a name from the user it is one that says nothing: the rendezvous need not know which machines there are.
    It is the same after a restart.
    """
    if options.name:
        return service_name(options.name)
    digits = identity.derive_secret(f"name of {options.target}", _NAME_BYTES)
    return f"service-{base64.b32encode(digits).decode().lower()}"


def service_name(text: str) -> str:
    """Turn a name as a person writes it into a service's name.

    Args:
        text: Such as ``My blog``.
    """
    name = _NOT_IN_A_NAME.sub("-", text.lower()).strip("._-")[:SERVICE_NAME_MAX_CHARACTERS].strip("._-")
    return name or "service"
