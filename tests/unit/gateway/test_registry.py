"""What is published, and who may have which name."""

from __future__ import annotations

import os
from typing import Any

import pytest

from gateway.core.balance import Instance
from gateway.core.registry import RefusedError, Registry
from p2p.errors import ConfigError
from p2p.identity import Identity
from p2p.proto.publication import Access, HeaderRule, Issuer, Publish

ANN, BOB = (Identity.generate().peer_id for _ in range(2))


def registry(**changes: Any) -> Registry[Instance]:
    settings: dict[str, Any] = {
        "domain": "gw.example",
        "reserved": frozenset({"www"}),
        "ports": {"tcp": (2000, 2001)},
        "custom_hosts": True,
        "random_bytes": os.urandom,
    }
    return Registry(**settings | changes)


def instance() -> Instance:
    return Instance("i", 1, 0.0)


def ask(**fields: Any) -> Publish:
    return Publish(service="web", **fields)


def test_a_name_becomes_a_host_until_its_last_instance_goes():
    known = registry()
    first, second = instance(), instance()
    service = known.publish(ANN, ask(name="blog"), first)
    assert service.hosts == ("blog.gw.example",)
    assert known.publish(ANN, ask(name="blog"), second) is service is known.of_host("blog.gw.example")
    known.withdraw(service, first)
    assert known.of_host("blog.gw.example") is service
    known.withdraw(service, second)
    assert known.of_host("blog.gw.example") is None
    known.withdraw(service, second)


def test_a_name_without_a_wish_is_random():
    known = registry()
    hosts = {known.publish(ANN, ask(), instance()).hosts for _ in range(50)}
    assert len(hosts) == 50


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (ask(name="www"), "reserved"),
        (ask(name="no.dots"), "cannot be part"),
        (ask(hosts=("10.0.0.1",)), "not a host name"),
        (ask(hosts=("x.gw.example",)), "by name"),
        (ask(hosts=("GW.example",)), "by name"),
        (ask(kind="tcp", port=80), "not among"),
        (ask(access=Access(allow=("x",))), "not a network"),
        (ask(kind="tcp", access=Access(basic=("a:b",))), "can log in"),
        (ask(kind="tcpmux", access=Access(body_max_bytes=1)), "only HTTP"),
    ],
)
def test_refusals(request_, words):
    known = registry()
    with pytest.raises(RefusedError, match=words) as refusal:
        known.publish(ANN, request_, instance())
    assert refusal.value.is_final
    assert not list(known)


def test_a_refusal_leaves_what_was_there_alone():
    known = registry()
    service = known.publish(ANN, ask(name="blog"), instance())
    with pytest.raises(RefusedError):
        known.publish(ANN, ask(name="blog", access=Access(allow=("x",))), instance())
    assert known.of_host("blog.gw.example") is service


def test_a_name_belongs_to_who_came_first_or_to_a_group():
    known = registry()
    known.publish(ANN, ask(name="blog"), instance())
    with pytest.raises(RefusedError, match="somebody else") as refusal:
        known.publish(BOB, ask(name="blog"), instance())
    assert not refusal.value.is_final
    shared = known.publish(ANN, ask(name="team", group="secret"), instance())
    assert known.publish(BOB, ask(name="team", group="secret"), instance()) is shared
    with pytest.raises(RefusedError):
        known.publish(BOB, ask(name="team", group="guess"), instance())
    with pytest.raises(RefusedError):
        known.publish(ANN, ask(name="blog", kind="tls"), instance())


def test_several_hosts_of_ones_own_are_taken_together_or_not_at_all():
    known = registry()
    service = known.publish(ANN, ask(hosts=("a.example.org", "B.example.org")), instance())
    assert service.hosts == ("a.example.org", "b.example.org")
    with pytest.raises(RefusedError):
        known.publish(ANN, ask(hosts=("b.example.org", "c.example.org")), instance())
    assert known.of_host("c.example.org") is None
    with pytest.raises(RefusedError, match="own domain only"):
        registry(custom_hosts=False).publish(ANN, ask(hosts=("a.example.org",)), instance())


def test_ports_are_given_until_none_is_free():
    known = registry()
    services = [known.publish(ANN, ask(kind="tcp"), instance()) for _ in range(2)]
    assert {service.port for service in services} == {2000, 2001}
    assert set(known) == set(services)
    with pytest.raises(RefusedError, match="no port is free"):
        known.publish(BOB, ask(kind="tcp"), instance())
    with pytest.raises(RefusedError, match="no TCP ports"):
        registry(ports={}).publish(BOB, ask(kind="tcp"), instance())
    with pytest.raises(RefusedError, match="no domain"):
        registry(domain="").publish(BOB, ask(), instance())


def test_the_last_instance_that_is_there_decides_who_may_come():
    known = registry()
    first, second = instance(), instance()
    service = known.publish(ANN, ask(name="blog"), first)
    known.publish(ANN, ask(name="blog", access=Access(bearer=("t",))), second)
    assert service.policy.needs_credentials
    known.withdraw(service, second)
    assert not service.policy.needs_credentials
    with pytest.raises(ConfigError, match="other issuers"):
        service.set_keys(first, (Issuer(keys=()),))


@pytest.mark.parametrize(
    ("kind", "name", "words"), [("http", "Connection", "cannot be changed"), ("tcp", "X-Own", "only HTTP")]
)
def test_header_rules_that_cannot_be(kind, name, words):
    known = registry()
    with pytest.raises(RefusedError, match=words):
        known.publish(ANN, ask(kind=kind, headers=(HeaderRule(name=name),)), instance())
    assert not list(known)


def test_instances_have_names_of_their_own_that_stay():
    known = registry()
    key = "abcdefghijkl/web"
    first, second, third = (Instance(key, 1, 0.0) for _ in range(3))
    service = known.publish(ANN, ask(name="blog"), first)
    known.publish(ANN, ask(name="blog"), second)
    known.withdraw(service, first)
    known.publish(ANN, ask(name="blog"), third)
    assert [first.name, second.name, third.name] == ["abcdefgh", "abcdefgh-2", "abcdefgh"]
    assert service.reference == "blog.gw.example"
    assert known.publish(ANN, ask(kind="tcp", port=2000), instance()).reference == "tcp:2000"
