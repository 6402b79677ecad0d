"""HTTP for the public: finds the service by its host name, lets in who may come, and passes requests through."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.core import problems
from gateway.core.access import AccessPolicy, Verdict
from gateway.core.audit import Record, path_of, time_of
from gateway.core.balance import Policy
from gateway.core.headers import Visit, size_of
from gateway.core.http01 import Challenges
from gateway.core.login import Logins, claims_for_service
from gateway.core.names import host_of_header, may_be_host
from gateway.core.problems import Problem
from gateway.core.registry import Registry, Service
from gateway.core.sticky import StickyCookies
from gateway.core.targets import origin_form_untrusted
from gateway.ingress.connection import CONNECTION, RECORD, SERVER, Tls
from gateway.ingress.connections import HttpConnections
from gateway.ingress.front import Arrival
from gateway.ingress.login import LoginPages, NotLetInError
from gateway.ingress.proxy import Exchange, NoInstanceError
from gateway.ingress.signed_body import BusyError, SignedBodies, SlowError
from gateway.ingress.tcpmux import Tcpmux
from gateway.ingress.upstream import Upstreams
from gateway.metrics import Metrics
from gateway.publishers import Publisher, ask_for_missed_keys
from p2p.errors import DecodeError, IntegrityError
from p2p.proto.observed import IpNetwork, observed_address

logger = logging.getLogger(__name__)

_HTTPS_PORT: Final = 443

OwnSite = Callable[[web.BaseRequest], web.Response]
"""Answers requests for the gateway's own host name."""

_VERDICTS: Final = {
    Verdict.ADDRESS_DENIED: problems.ADDRESS,
    Verdict.CREDENTIALS_NEEDED: problems.CREDENTIALS,
    Verdict.UNSIGNED: problems.UNSIGNED,
    Verdict.TOO_MANY: problems.TOO_MANY,
}


class HttpIngress:
    """Serves HTTP on connections that were accepted elsewhere.

    Args:
        registry: What is published.
        upstreams: Connections to the services.
        metrics: What to count.
        own_site: Answers for the gateway's own name.
        domain: That name.
        fronts: Networks whose X-Forwarded-For and X-Forwarded-Proto are believed.
        balance: How to choose among instances.
        cookies: For visitors that stay with an instance.
        logins: For visitors that log in with their browser.
        tcpmux: For those that want no HTTP.
        challenges: What an authority of certificates is answered.
        https_port: Where visitors without TLS are sent to; None serves them as they are.
        audit: Takes a record of each request; None keeps none.
        page: Writes a problem for a browser.
    """

    def __init__(
        self,
        registry: Registry[Publisher],
        upstreams: Upstreams,
        metrics: Metrics,
        *,
        own_site: OwnSite,
        domain: str,
        fronts: tuple[IpNetwork, ...],
        balance: Policy,
        cookies: StickyCookies,
        logins: Logins,
        tcpmux: Tcpmux,
        challenges: Challenges,
        https_port: int | None = None,
        audit: Callable[[Record], None] | None = None,
        page: Callable[[Problem, str], str] = problems.as_page,
    ) -> None:
        self._registry = registry
        self._upstreams = upstreams
        self._metrics = metrics
        self._own_site = own_site
        self._domain = domain
        self._fronts = fronts
        self._balance = balance
        self._cookies = cookies
        self._login = LoginPages(logins, SERVER)
        self._challenges = challenges
        self._https_port = https_port
        self._audit = audit
        self._page = page
        self._bodies = SignedBodies()
        self._connections = HttpConnections(self._handle, tcpmux)

    async def __aenter__(self) -> Self:
        await self._connections.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._connections.__aexit__(kind, error, traceback)

    async def serve(self, arrival: Arrival, tls: Tls | None = None) -> None:
        """Take a connection over.

        Args:
            arrival: The connection.
            tls: How TLS ends here; None without.
        """
        await self._connections.serve(arrival, tls)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        record = request[RECORD] = Record(kind="http")
        if self._audit is None:
            return await self._answer(request)
        began_at, record.time = time.monotonic(), time_of(time.time())
        record.visitor = str(request[CONNECTION].arrival.visitor)
        record.host = host_of_header(request.headers.get("Host", ""))
        record.method, record.path = request.method, path_of(request.raw_path)
        try:
            response = await self._answer(request)
            record.status = response.status
            return response
        finally:
            record.took_ms = round((time.monotonic() - began_at) * 1000, 3)
            if record.host != self._domain:
                self._audit(record)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        host = host_of_header(request.headers.get("Host", ""))
        is_one = may_be_host(host) and len(request.headers.getall("Host")) == 1
        if not is_one or request.version not in (HttpVersion10, HttpVersion11):
            return self._problem(request, problems.BAD_REQUEST, host if is_one else "")
        if (answer := self._challenges.answer(host, request.raw_path)) is not None:
            return web.Response(
                body=answer.encode(), content_type="application/octet-stream", headers={"Server": SERVER}
            )
        if host == self._domain:
            return self._own_site(request)
        visit = self._visit(request)
        try:
            service = None if visit is None else self._registry.of_target(host, visit.target)
        except DecodeError:
            visit = None
        if visit is None:
            return self._problem(request, problems.BAD_REQUEST, host)
        if service is None or service.kind != "http":
            return self._problem(request, problems.NO_SERVICE, host)
        record = request[RECORD]
        record.service, record.visitor = service.reference, str(visit.visitor)
        if visit.scheme == "http" and self._https_port is not None:
            port = "" if self._https_port == _HTTPS_PORT else f":{self._https_port}"
            location = f"https://{host}{port}{visit.target}"
            return web.Response(status=308, headers={"Location": location, "Server": SERVER})
        connection = request[CONNECTION]
        if (authorities := service.policy.access.client_ca) and (
            connection.client is None or connection.client.authorities != authorities
        ):
            problem = problems.MISDIRECTED if connection.scheme == "https" else problems.CERTIFICATE
            return self._problem(request, problem, service.title)
        return await self._admit(request, service, visit)

    async def _admit(self, request: web.BaseRequest, service: Service[Publisher], visit: Visit) -> web.StreamResponse:
        now = time.monotonic()
        visitor, policy = visit.visitor.host, service.policy
        claims = self._login.who(request, policy.access.oidc, visit)
        if claims is not None:
            visit = visit._replace(proven=visit.proven + claims_for_service(claims))
        verdict = policy.enter(visitor, request.headers, now, time.time(), has_logged_in=claims is not None)
        ask_for_missed_keys(service, now)
        request[RECORD].who = policy.who or visit.subject
        is_welcome = verdict not in _VERDICTS
        try:
            if (page := await self._login_page(request, service, visit, verdict)) is not None:
                return page
            if not is_welcome:
                return self._problem(request, _VERDICTS[verdict], service.title, policy)
            if 0 < policy.access.header_max_bytes < size_of(request.headers.items()):
                return self._problem(request, problems.HEADERS_TOO_LARGE, service.title)
            largest = policy.access.body_max_bytes
            if largest and (request.content_length or 0) > largest:
                return self._problem(request, problems.TOO_LARGE, service.title)
            async with AsyncExitStack() as stack:
                body = None
                if verdict is Verdict.IF_SIGNED:
                    body = await stack.enter_async_context(self._bodies.hold(request, largest))
                    policy.check_signature(request.headers, body, time.time())
                    request[RECORD].who = policy.who
                exchange = Exchange(
                    request, service, visit, self._upstreams, self._metrics, self._balance, self._cookies, body
                )
                return await exchange.run()
        except NotLetInError:
            return self._problem(request, problems.LOGIN, service.title)
        except NoInstanceError as error:
            return self._problem(request, error.problem, service.title)
        except (ConnectionError, web.RequestPayloadError, HttpProcessingError):
            # The visitor's body ends before its end, or is no body; often the visitor is gone as well.
            return self._problem(request, problems.BAD_REQUEST, service.title)
        except web.HTTPRequestEntityTooLarge:
            return self._problem(request, problems.TOO_LARGE, service.title)
        except IntegrityError:
            return self._problem(request, problems.UNSIGNED, service.title)
        except BusyError:
            return self._problem(request, problems.BUSY, service.title)
        except SlowError:
            return self._problem(request, problems.TOO_SLOW, service.title)
        finally:
            if is_welcome:
                policy.leave(visitor)

    async def _login_page(
        self, request: web.BaseRequest, service: Service[Publisher], visit: Visit, verdict: Verdict
    ) -> web.Response | None:
        """What a login by the browser needs; None when it needs nothing, or there is none."""
        login = service.policy.access.oidc
        if login is None or verdict in (Verdict.ADDRESS_DENIED, Verdict.TOO_MANY):
            return None
        page = await self._login.answer(request, service, login, visit)
        if page is None and verdict is Verdict.CREDENTIALS_NEEDED:
            page = self._login.begin(request, service, login, visit)
        return page

    def _visit(self, request: web.BaseRequest) -> Visit | None:
        """Who asks for what; None for what is not for a service."""
        target = origin_form_untrusted(request.raw_path, request.headers["Host"])
        if target is None:
            return None
        arrival, scheme, client = request[CONNECTION]
        visitor = arrival.visitor
        if arrival.is_from_front:
            forwarded = ",".join(request.headers.getall("X-Forwarded-For", []))
            # With a PROXY header the front has told already: then the address is not the front's own, and stays.
            visitor = observed_address(visitor, forwarded, self._fronts)
            if request.headers.get("X-Forwarded-Proto", "").lower() in ("http", "https"):
                scheme = request.headers["X-Forwarded-Proto"].lower()
        proven = () if client is None else client.headers()
        return Visit(visitor, scheme, request.headers["Host"], arrival.local, target, proven)

    def _problem(
        self, request: web.BaseRequest, problem: Problem, host: str, policy: AccessPolicy | None = None
    ) -> web.Response:
        request[RECORD].problem = problem.code
        self._metrics.refused.labels(problem.code).inc()
        self._metrics.answered(problem.status)
        wants_page = "text/html" in request.headers.get("Accept", "")
        response = web.Response(
            status=problem.status,
            text=self._page(problem, host) if wants_page else problems.as_text(problem),
            content_type="text/html" if wants_page else "text/plain",
            headers={"Server": SERVER, "Cache-Control": "no-store", "X-P2P-Problem": problem.code},
        )
        if policy is not None and problem is problems.CREDENTIALS:
            basic, bearer = f'Basic realm="{host}", charset="UTF-8"', f'Bearer realm="{host}"'
            response.headers["WWW-Authenticate"] = basic if policy.takes_passwords else bearer
        if problem.status in (429, 503):
            response.headers["Retry-After"] = "5"
        request[RECORD].bytes_out = len(response.body) if isinstance(response.body, bytes) else 0
        # What is left of the body would be read and thrown away otherwise, however long it is.
        if request.can_read_body:
            response.force_close()
        return response
