"""One HTTP request on its way to an exposed service and back."""

from __future__ import annotations

import logging
from time import monotonic
from typing import Final

import aiohttp
from aiohttp import web

from gateway.core import problems
from gateway.core.audit import BROKE_OFF
from gateway.core.balance import Policy, choose
from gateway.core.h1_head import may_repeat
from gateway.core.h2_head import RequestHead
from gateway.core.headers import Headers, Visit, apply_rules, asks_for_websocket, end_to_end, for_service
from gateway.core.login import COOKIES as LOGIN_COOKIES
from gateway.core.paths import without_prefix
from gateway.core.problems import Problem
from gateway.core.registry import Service
from gateway.core.sticky import COOKIE, StickyCookies, cookie_in, set_cookie, without_cookies
from gateway.ingress.answer import Answer
from gateway.ingress.connection import RECORD
from gateway.ingress.h1_client import UPGRADE
from gateway.ingress.h2_writer import H2Writer
from gateway.ingress.request_body import BODY_SILENT_S, RequestBody
from gateway.ingress.upstream import Upstreams
from gateway.ingress.websocket import relay_websocket
from gateway.metrics import Metrics
from gateway.publishers import Publisher
from p2p.forward.sockets import Addresses
from p2p.proto.publication import Visited

logger = logging.getLogger(__name__)

_UPGRADE: Final = [("Connection", "Upgrade"), UPGRADE]
_SUMMARY_MAX_CHARACTERS: Final = 200


class NoInstanceError(Exception):
    """No instance answered, and nothing of a response was sent.

    Args:
        problem: What to tell the visitor.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.title)
        self.problem = problem


class Exchange:
    """A request and its response, streamed in both directions.

    A request that can be repeated goes to another instance when the first one does not answer.

    Args:
        request: The visitor's.
        service: What it is for.
        visit: Who asks.
        upstreams: Connections to the instances.
        metrics: What to count.
        balance: How to choose among instances.
        cookies: For visitors that stay with an instance by ``Policy.COOKIE``.
        body: The request's, if it was read already.
    """

    def __init__(
        self,
        request: web.BaseRequest,
        service: Service[Publisher],
        visit: Visit,
        upstreams: Upstreams,
        metrics: Metrics,
        balance: Policy,
        cookies: StickyCookies,
        body: bytes | None = None,
    ) -> None:
        self._cookies = cookies
        largest = service.policy.access.body_max_bytes
        # A client of gRPC may listen for hours before it says something more.
        silent_s = None if any(instance.speaks_h2 for instance in service.instances) else BODY_SILENT_S
        self._body = RequestBody(request, largest, body, silent_s) if request.body_exists else None
        self._request = request
        self._record = request[RECORD]
        self._service = service
        self._visit = visit
        self._upstreams = upstreams
        self._metrics = metrics
        self._balance = balance

    async def run(self) -> web.StreamResponse:
        """Pass the request on and the response back.

        Raises:
            NoInstanceError: There is no response.
            Exception: The visitor's own body broke off.
            web.HTTPRequestEntityTooLarge: The body is larger than the service takes.
        """
        # The clock of event loops; asking for the running one costs a call to the kernel each time.
        began_at = monotonic()
        tried: list[Publisher] = []
        problem = problems.OFFLINE
        while publisher := self._choose(tried):
            tried.append(publisher)
            publisher.open += 1
            publisher.asked(monotonic())
            self._record.instance = publisher.name
            try:
                response = await self._pass_through(publisher)
            except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
                if self._body is not None and self._body.fault is not None:
                    raise self._body.fault from error
                logger.info("%s of %s: %r", publisher.key, self._service.title, error)
                problem = _problem_of(error, publisher)
                if publisher.failed(monotonic()):
                    self._metrics.ejections.inc()
                if not self._may_repeat():
                    break
                self._metrics.retries.inc()
            else:
                publisher.succeeded()
                self._count(publisher, response.status, monotonic() - began_at)
                return response
            finally:
                publisher.open -= 1
        raise NoInstanceError(problem)

    def _choose(self, tried: list[Publisher]) -> Publisher | None:
        now = monotonic()
        before = self._before()
        if before is not None and before not in tried and before.is_well(now):
            return before
        return choose(self._service.instances, self._balance, visitor=self._visit.visitor.host, now=now, without=tried)

    def _before(self) -> Publisher | None:
        """The instance that served this visitor before, by its cookie."""
        if self._balance is not Policy.COOKIE:
            return None
        given = cookie_in(list(self._request.headers.items()))
        return self._cookies.find(self._service.title, self._service.instances, given)

    def _may_repeat(self) -> bool:
        return may_repeat(self._request.method, has_body=self._request.body_exists)

    async def _pass_through(self, publisher: Publisher) -> web.StreamResponse:
        request = self._request
        visit, target = self._visit, self._visit.target
        if publisher.strips_path:
            target = without_prefix(target, self._service.path)
            visit = visit._replace(proven=(*visit.proven, ("X-Forwarded-Prefix", self._service.path)))
        given = list(request.headers.items())
        headers = apply_rules(for_service(self._own_headers(given), visit), publisher.header_rules)
        upgrades = "Upgrade" in request.headers and not request.body_exists and asks_for_websocket(given)
        if upgrades:
            headers += _UPGRADE
        head = RequestHead(request.method, target, headers)
        addresses = Addresses(visit.visitor, visit.local) if publisher.wants_address else None
        async with publisher.patience.waiting(can_move=self._may_repeat()):
            answer = await self._upstreams.ask(publisher, head, self._body, addresses, upgrades=upgrades)
        try:
            return await self._respond(answer, publisher)
        finally:
            answer.close()

    def _own_headers(self, given: Headers) -> Headers:
        drops_credentials = self._service.policy.reads_authorization
        ours = {COOKIE, *LOGIN_COOKIES} if self._balance is Policy.COOKIE else LOGIN_COOKIES
        return [
            (name, value)
            for name, value in without_cookies(given, ours)
            # What the gateway itself asked for is not for the service; the wait for "100 Continue" is over.
            if not (name.lower() == "expect" or (drops_credentials and name.lower() == "authorization"))
        ]

    async def _respond(self, answer: Answer, publisher: Publisher) -> web.StreamResponse:
        request = self._request
        response = _PlainResponse(status=answer.status, reason=answer.reason or None)
        for name, value in end_to_end(answer.headers):
            response.headers.add(name, value)
        if self._balance is Policy.COOKIE and self._before() is not publisher:
            value = self._cookies.of(self._service.title, self._service.instances, publisher)
            response.headers.add(
                "Set-Cookie", set_cookie(value, is_secure=self._visit.scheme == "https", path=self._service.path)
            )
        if answer.switched is not None:
            response.headers.extend(_UPGRADE)
            response.force_close()
        is_bodiless = request.method == "HEAD" or answer.status in (101, 204, 304)
        if "Content-Length" not in response.headers and not is_bodiless and request.version >= (1, 1):
            response.enable_chunked_encoding()
        try:
            writer = await response.prepare(request)
            self._record.bytes_out += len(answer.begun)
            if answer.switched is not None:
                await response.write_eof()
                await relay_websocket(request, answer.switched)
                return response
            if answer.is_whole:
                await response.write_eof(answer.begun)
                return response
            if answer.begun:
                await response.write(answer.begun)
            elif writer is not None:
                writer.send_headers()
            async for piece in answer.pieces:
                self._record.bytes_out += len(piece)
                await response.write(piece)
            if isinstance(writer, H2Writer):
                writer.trailers = answer.trailers
            await response.write_eof()
        except (aiohttp.ClientError, ConnectionError, TimeoutError, web.HTTPException) as error:
            # The head is sent, so all that is left is to break off, which the visitor can tell from an end.
            logger.info("response of %s broke off: %r", self._service.title, error)
            self._record.problem = BROKE_OFF
            if request.transport is not None:
                request.transport.abort()
            return response
        return response

    def _count(self, publisher: Publisher, status: int, took_s: float) -> None:
        self._metrics.answered(status)
        self._metrics.request_s.observe(took_s)
        summary = f"{self._request.method} {self._visit.target}"[:_SUMMARY_MAX_CHARACTERS]
        publisher.tell_visit(
            Visited(visitor=str(self._visit.visitor), took_s=round(took_s, 6), summary=summary, status=status)
        )


def _problem_of(error: Exception, publisher: Publisher) -> Problem:
    """What an error on the way to an instance means for the visitor."""
    if not publisher.is_heard:
        return problems.OFFLINE
    return problems.TIMEOUT if isinstance(error, TimeoutError) else problems.UPSTREAM


class _PlainResponse(web.StreamResponse):
    """A response that says what the service said, and nothing of its own."""

    _send_headers_immediately = False
    """The head goes together with what of the body is there: one packet, one wake-up of the visitor."""

    async def _prepare_headers(self) -> None:
        said = set(self.headers)
        await super()._prepare_headers()
        for name in ("Content-Type", "Date", "Server"):
            if name not in said:
                self.headers.pop(name, None)
