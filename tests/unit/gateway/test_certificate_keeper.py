"""Certificates are ordered, used, kept and renewed, by a clock of the test's."""

from __future__ import annotations

import asyncio
import stat
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from gateway.acme import issuer
from gateway.acme.keeper import CertificateKeeper
from gateway.acme.store import Store
from gateway.config import AcmeOptions
from gateway.core.order_plan import FAILED_S, OPERATOR, OrderPlan
from gateway.ingress.tls import Certificates
from gateway.metrics import Metrics
from p2p.errors import ConfigError
from tests.support.fake_issuer import FakeIssuer

SERVER = "https://acme.test/directory"
DAY = 86_400.0


class Scene:
    """A keeper, and everything that it touches."""

    def __init__(self, folder: Path) -> None:
        self.now = time.time()
        self.wanted = {"a.test": "ann"}
        self.problems: list[ConfigError] = []
        self.issuer = FakeIssuer(folder / "issuer")
        self.certificates = Certificates(())
        self.metrics = Metrics(CollectorRegistry(), lambda: 0)
        self.store = Store(folder / "state", SERVER)
        self.keeper = CertificateKeeper(
            OrderPlan(self.store.memory()),
            self.store,
            self.issuer,
            self.certificates,
            wanted=lambda: self.wanted,
            orders=self.metrics.certificate_orders,
            tell_problem=self.problems.append,
            now=lambda: self.now,
        )

    async def settle(self, orders: int) -> None:
        """Let it look again, until it has made that many orders in all."""
        self.keeper.look()
        async with asyncio.timeout(10):
            while sum(self.counted(result) for result in ("issued", "refused", "server")) < orders:
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.02)
        assert len(self.issuer.asked) == orders

    def counted(self, result: str) -> float:
        return self.metrics.certificate_orders.labels(result)._value.get()


@asynccontextmanager
async def scene(folder: Path):
    there = Scene(folder)
    task = asyncio.get_running_loop().create_task(there.keeper.run())
    try:
        yield there
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_it_is_renewed_and_outlives_a_restart(tmp_path):
    async with scene(tmp_path) as there:
        await there.settle(1)
        first = there.certificates.of("a.test")
        assert first is not None
        assert there.certificates.of("b.test") is None
        # The certificate is good for two days, one of which has gone.
        there.now += DAY / 4
        await there.settle(1)
        assert there.certificates.of("a.test") is first
        there.now += DAY / 4
        await there.settle(2)
        assert there.certificates.of("a.test") is not first
        assert {stat.S_IMODE(path.stat().st_mode) for path in there.store.folder.iterdir()} == {0o600}
        account = there.store.account_key
    async with scene(tmp_path) as there:
        assert there.store.account_key == account
        assert there.certificates.of("a.test") is not None
        await there.settle(0)
        assert [(row["name"], row["problem"]) for row in there.keeper.status()] == [("a.test", "")]
        assert there.keeper.status()[0]["ends"] > there.now
    Store(tmp_path / "state", SERVER)
    assert list(there.store.certificates(there.now + 3 * DAY)) == []
    assert not there.store.path_of("a.test").exists(), "what is over is deleted"


async def test_failures_are_told_and_wait_also_through_a_restart(tmp_path):
    async with scene(tmp_path) as there:
        there.issuer.refused = {"a.test"}
        await there.settle(1)
        await there.settle(1)
        assert [error.code for error in there.problems] == ["P2P-1528"]
        assert there.counted("refused") == 1
        assert "wrong answer" in there.keeper.status()[0]["problem"]
        # Nobody waits for what is not under way.
        async with asyncio.timeout(0.5):
            await there.keeper.wait_for("a.test")
    async with scene(tmp_path) as there:
        await there.settle(0)
        there.now += FAILED_S + 60
        there.issuer.is_away = True
        await there.settle(1)
        there.issuer.is_away = False
        there.now += 60
        await there.settle(2)
        assert (there.counted("server"), there.counted("issued")) == (1, 1)


async def test_the_operators_name_serves_who_names_no_host(tmp_path):
    async with scene(tmp_path) as there:
        there.certificates._default = "gw.test"
        there.wanted = {"gw.test": OPERATOR}
        await there.settle(1)
        assert there.certificates.of(None) is there.certificates.of("gw.test") is not None


def test_a_folder_that_cannot_be_used_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as caught:
        Store(tmp_path / "file", SERVER)
    assert caught.value.code == "P2P-1527"


def test_a_wrong_authority_of_the_server_is_told_at_the_start(tmp_path):
    (tmp_path / "ca.pem").write_text("nothing")
    for path in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        with pytest.raises(ConfigError, match=path.name):
            issuer.AcmeIssuer(AcmeOptions(email="a@b.test", folder=tmp_path, ca=path), b"")


def test_without_the_library_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "acme.client", None)
    with pytest.raises(ConfigError) as caught:
        issuer.AcmeIssuer(AcmeOptions(email="a@b.test", folder=tmp_path), b"")
    assert caught.value.error_code is issuer.CODE_NO_LIBRARY
    assert "p2p-toolkit[acme]" in caught.value.hint
