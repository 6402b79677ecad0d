"""Keeps a certificate for every host that needs one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from prometheus_client import Counter

from gateway.acme.issuer import Issuer, NameRefusedError, ServerFailedError
from gateway.acme.store import Store
from gateway.core.http01 import Challenges
from gateway.core.order_plan import OrderPlan
from gateway.ingress.tls import CertificateFiles, Certificates
from p2p.errors import ConfigError, ErrorCode

logger = logging.getLogger(__name__)

CODE_NOT_ISSUED: Final = ErrorCode(
    "P2P-1528", "See that the name leads to the gateway's port 80; `p2p gateway status` has the last error."
)

LOOK_EVERY_S: Final = 30.0
"""How soon a renewal or the end of a pause is noticed; what is published is noticed at once."""
HANDSHAKE_WAITS_S: Final = 5.0
"""How long a visitor waits for a certificate that is being ordered; browsers would wait for longer."""


class CertificateKeeper:
    """Orders certificates one after the other, and has them used.

    Concurrency: one event loop.

    Args:
        plan: What is ordered when.
        store: Where certificates outlive a restart.
        issuer: Who issues them.
        certificates: Where they are used.
        wanted: Tells which hosts need one, and which publisher wants it.
        orders: Counts what became of orders.
        tell_problem: Told of those that came to nothing.
        now: The time, in seconds since 1970.
    """

    def __init__(
        self,
        plan: OrderPlan,
        store: Store,
        issuer: Issuer,
        certificates: Certificates,
        *,
        wanted: Callable[[], Mapping[str, str]],
        orders: Counter,
        tell_problem: Callable[[ConfigError], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self.challenges = Challenges()
        self._plan = plan
        self._store = store
        self._issuer = issuer
        self._certificates = certificates
        self._wanted = wanted
        self._orders = orders
        self._tell_problem = tell_problem
        self._now = now
        self._news = asyncio.Event()
        self._decided = asyncio.Condition()
        self._ordering = ""
        for name, held in store.certificates(now()):
            try:
                self._use(name)
            except ConfigError as error:
                logger.warning("%s", error)
            else:
                plan.held[name] = held

    def look(self) -> None:
        """Something was published."""
        self._news.set()

    async def run(self) -> None:
        """Order what is due, until cancelled."""
        while True:
            self._news.clear()
            wanted = self._wanted()
            name = self._plan.next(wanted, self._now())
            if name is not None:
                await self._order(name, wanted[name])
                continue
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def wait_for(self, name: str) -> None:
        """Wait for the first certificate of a host if it is on its way, though not for long."""
        if name in self._plan.held or not self._is_coming(name):
            return
        try:
            async with asyncio.timeout(HANDSHAKE_WAITS_S), self._decided:
                await self._decided.wait_for(lambda: not self._is_coming(name))
        except TimeoutError:
            logger.info("a visitor of %s waited in vain for its certificate", name)

    def status(self) -> list[dict[str, Any]]:
        """Each certificate, and why one that is wanted is not there."""
        wanted, now = self._wanted(), self._now()
        rows = certificate_rows(self._certificates)
        for name in sorted({*wanted, *self._plan.held}):
            held = self._plan.held.get(name)
            trouble = self._plan.memory.names.get(name)
            waits = self._plan.obstacle(name, wanted[name], now) if name in wanted and held is None else ""
            ends = None if held is None else round(held.ends, 3)
            rows.append(
                {"name": name, "ends": ends, "source": "acme", "problem": trouble.problem if trouble else waits}
            )
        return rows

    def _is_coming(self, name: str) -> bool:
        if name == self._ordering:
            return True
        owner = self._wanted().get(name)
        if owner is None or not self._plan.is_due(name, self._now()):
            return False
        return not self._plan.obstacle(name, owner, self._now())

    async def _order(self, name: str, owner: str) -> None:
        self._ordering = name
        try:
            self._plan.began(name, owner, self._now())
            await asyncio.to_thread(self._store.keep, self._plan.memory)
            result = await self._try(name, owner)
            self._orders.labels(result).inc()
            await asyncio.to_thread(self._store.keep, self._plan.memory)
        except ConfigError as error:
            # The folder: no order is worth its place in the count when its certificate cannot be kept.
            self._plan.refused(name, str(error), self._now())
            self._orders.labels("folder").inc()
            self._tell_problem(error)
        finally:
            self._ordering = ""
            async with self._decided:
                self._decided.notify_all()

    async def _try(self, name: str, owner: str) -> str:
        try:
            pem = await self._issuer.issue(name, self.challenges)
            held = await asyncio.to_thread(self._store.put, name, pem)
            self._use(name)
        except ServerFailedError as error:
            self._plan.server_failed(name, owner, str(error), self._now())
            result, problem = "server", str(error)
        except (NameRefusedError, ValueError) as error:
            self._plan.refused(name, str(error), self._now())
            result, problem = "refused", str(error)
        else:
            self._plan.issued(name, held, self._now())
            logger.info("certificate for %s, good for %.1f days", name, (held.ends - self._now()) / 86_400)
            return "issued"
        self._tell_problem(ConfigError(f"no certificate for {name}: {problem}", code=CODE_NOT_ISSUED))
        return result

    def _use(self, name: str) -> None:
        path = self._store.path_of(name)
        self._certificates.take(name, CertificateFiles(path, path))


def certificate_rows(certificates: Certificates) -> list[dict[str, Any]]:
    """What the status says of the operator's own certificates."""
    return [
        {"name": name, "ends": round(ends, 3), "source": "file", "problem": ""}
        for name, ends in certificates.ends().items()
    ]
