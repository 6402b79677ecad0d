"""Puts a service before the public: dials a gateway, asks it for a URL, and takes the visitors it sends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from p2p.defaults import PUBLICATION_ANSWER_S
from p2p.errors import ConfigError, DecodeError, ErrorCode, P2PError, SessionClosedError
from p2p.forward.connect import connect_flow
from p2p.proto.login import Redeem
from p2p.proto.publication import (
    LINE_MAX_BYTES,
    PUBLICATION_SERVICE,
    Drain,
    Drained,
    GatewayMessage,
    Keys,
    KeysWanted,
    Publish,
    Published,
    PublisherMessage,
    Refused,
    Visited,
    decode_gateway_line_untrusted,
    encode_line,
)
from p2p.session.connector import Connector
from p2p.session.events import Event, Public, Report, Visit
from p2p.session.issuers import IssuerKeysError, Issuers
from p2p.session.options import ConnectOptions, ExposeOptions, OidcOptions, PeerOptions, PublicOptions
from p2p.session.peer_session import PeerSession
from p2p.session.services import OfferedServices

if TYPE_CHECKING:
    from p2p.session.oidc import OidcProvider

CODE_REFUSED: Final = ErrorCode("P2P-1504", "Choose another name or port, or ask the operator of the gateway.")
CODE_NOT_NOW: Final = ErrorCode(
    "P2P-1505", "It is asked for again by itself; end the other program, or choose another name.", retryable=True
)


CODE_SEVERAL: Final = ErrorCode("P2P-1506", "Leave out the public name, host and port, or expose one service.")

_ONLY_SERVICE: Final = "service"


class NotPublishedError(ConfigError):
    """The gateway refused to publish a service."""


class Publisher(Connector):
    """Keeps services published at one gateway for as long as it runs.

    Args:
        options: Which services, and how the public reaches them. The names of several services are their names
            before the public, too.
        public: How the public reaches them; part of the options.
        gateway: The ticket of the gateway, one of the options'.
        peer: Who we are and where we meet.
        services: What visitors can reach.
        on_event: Told what happens.

    Raises:
        IdentityError: The gateway's ticket cannot be read, or has expired.
        ConfigError: Neither ticket nor options name a rendezvous, or one name is to serve several services.
    """

    def __init__(
        self,
        options: ExposeOptions,
        public: PublicOptions,
        gateway: str,
        peer: PeerOptions,
        *,
        services: OfferedServices,
        on_event: Callable[[Event], None],
    ) -> None:
        super().__init__(ConnectOptions(ticket=gateway), peer, on_event=on_event)
        self._services = services
        self._targets = {name or _ONLY_SERVICE: target for name, target in options.targets.items()}
        self._requests = [
            _request(public, name, wants_address=options.proxy_protocol is not None) for name in self._targets
        ]
        self._issuers = Issuers(public.issuers)
        self._oidc = None if public.oidc is None else _provider(public.oidc)
        self._publications: set[_Publication] = set()
        if len(self._requests) > 1:
            if public.name or public.hosts or public.path or public.port:
                raise ConfigError("several services cannot share one public name or port", code=CODE_SEVERAL)
            self._requests = [msgspec.structs.replace(request, name=request.service) for request in self._requests]

    async def run_until(self, stop: asyncio.Event) -> Report:
        """Publish until ``stop`` is set.

        Returns:
            What happened.

        Raises:
            P2PError: The gateway cannot be reached, or refused, and waiting will not help.
        """
        return await self.run_beside(stop, self.keep_session(self._publish))

    async def drain(self) -> None:
        """Have the gateway send visitors elsewhere; return when it needs us no more.

        First it answers the requests that are under way, and only then is the session asked to end its connections:
        until the gateway has heard, a visitor may still come.
        """
        self.draining = True
        await asyncio.gather(*(publication.drain() for publication in self._publications))
        await super().drain()

    async def _publish(self, session: PeerSession) -> None:
        if self.draining:
            session.close()
            return
        session.multiplexer.acceptor = self._services.public_acceptor(session, self.node, self._targets)
        try:
            for request in self._requests:
                await self._ask(session, request)
        except P2PError:
            session.close()
            raise

    async def _ask(self, session: PeerSession, request: Publish) -> None:
        if self._issuers:
            access = msgspec.structs.replace(request.access, jwt=await self._issuers.read())
            request = msgspec.structs.replace(request, access=access)
        if self._oidc is not None:
            access = msgspec.structs.replace(request.access, oidc=await self._oidc.read())
            request = msgspec.structs.replace(request, access=access)
        line = _line(request)
        # A socket pair has no addresses: the gateway tells by them which flows are visitors'.
        ours = connect_flow(session.multiplexer, PUBLICATION_SERVICE, make_pair=socket.socketpair)
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours, limit=LINE_MAX_BYTES)
        publication = _Publication(reader, writer)
        try:
            writer.write(line)
            async with asyncio.timeout(PUBLICATION_ANSWER_S):
                answer = await _read(reader)
        except TimeoutError:
            answer = Refused(reason="it does not answer", is_final=False)
        except BaseException:
            publication.close()
            raise
        if isinstance(answer, Published):
            self.tell(Public(t_s=self.t_s, urls=answer.urls, instances=answer.instances))
            self._scope.start(self._listen(session, publication), name="news of the gateway", closing=(publication,))
            return
        publication.close()
        reason = answer.reason if isinstance(answer, Refused) else "it says something else"
        is_final = isinstance(answer, Refused) and answer.is_final
        raise NotPublishedError(f"the gateway: {reason}", code=CODE_REFUSED if is_final else CODE_NOT_NOW)

    async def _listen(self, session: PeerSession, publication: _Publication) -> None:
        """Tell of visits; the end of the flow is the end of what it published."""
        keys_wanted = asyncio.Event()
        renewal = self._scope.start(self._renew_keys(publication.writer, keys_wanted), name="keys of issuers")
        self._publications.add(publication)
        try:
            while not isinstance(message := await _read(publication.reader), Drained):
                if isinstance(message, Visited):
                    self.tell(
                        Visit(
                            t_s=self.t_s,
                            visitor=message.visitor,
                            summary=message.summary,
                            status=message.status,
                            took_s=message.took_s,
                        )
                    )
                elif isinstance(message, KeysWanted):
                    keys_wanted.set()
                elif isinstance(message, Redeem) and self._oidc is not None:
                    self._scope.start(_redeem(self._oidc, message, publication.writer), name="login")
        except P2PError as error:
            session.close(reason=str(error))
        finally:
            renewal.cancel()
            self._publications.discard(publication)

    async def _renew_keys(self, writer: asyncio.StreamWriter, wanted: asyncio.Event) -> None:
        async for issuers in self._issuers.changes(wanted, self.tell_problem):
            try:
                line = _line(Keys(jwt=issuers))
            except ConfigError as error:
                self.tell_problem(error)
            else:
                writer.write(line)


class _Publication:
    """The flow on which one service was published."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._closed = asyncio.Event()

    async def drain(self) -> None:
        """Ask for no more visitors, and wait until the last request is answered or the gateway is gone."""
        self.writer.write(_line(Drain()))
        await self._closed.wait()

    def close(self) -> None:
        """Close the flow, which withdraws the service."""
        self.writer.close()
        self._closed.set()


def _provider(options: OidcOptions) -> OidcProvider:
    # A long import, for the few who need it.
    from p2p.session.oidc import OidcProvider

    return OidcProvider(options)


async def _redeem(oidc: OidcProvider, question: Redeem, writer: asyncio.StreamWriter) -> None:
    answer = await oidc.redeem(question)
    if not writer.is_closing():
        writer.write(_line(answer))


def _line(message: PublisherMessage) -> bytes:
    line = encode_line(message)
    if len(line) > LINE_MAX_BYTES:
        raise IssuerKeysError(f"{len(line)} bytes of keys and secrets, and a gateway takes {LINE_MAX_BYTES}")
    return line


async def _read(reader: asyncio.StreamReader) -> GatewayMessage:
    try:
        line = await reader.readline()
    except (ConnectionError, ValueError) as error:
        raise SessionClosedError("the gateway broke off") from error
    if not line:
        raise SessionClosedError("the gateway has withdrawn the service")
    try:
        return decode_gateway_line_untrusted(line)
    except DecodeError as error:
        raise SessionClosedError("the gateway talks nonsense") from error


def _request(options: PublicOptions, service: str, *, wants_address: bool) -> Publish:
    return Publish(
        service=service,
        kind=options.kind,
        name=options.name,
        hosts=options.hosts,
        path=options.path,
        strips_path=options.strips_path,
        port=options.port,
        group=options.group,
        weight=options.weight,
        access=options.access,
        headers=options.headers,
        health=options.health,
        wants_address=wants_address,
        speaks_h2=options.speaks_h2,
    )
