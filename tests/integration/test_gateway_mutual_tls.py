"""Visitors that must show a certificate."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.ingress.tls import CertificateFiles
from p2p.proto.publication import Access
from tests.support.authority import Authority
from tests.support.curl import curl
from tests.support.gateway_world import CONFIG, LOOPBACK, GatewayWorld, gateway_world, mirror, website


def folder(path: Path) -> Path:
    path.mkdir()
    return path


@asynccontextmanager
async def bank(path: Path) -> AsyncIterator[tuple[GatewayWorld, str, tuple[str, ...], tuple[str, ...]]]:
    """A service that wants certificates, one that wants others, and one that wants none; with flags of curl."""
    ours = Authority(path, "*.gw.test")
    people = Authority(folder(path / "people"), subject="ann\nX-Real-IP: 6.6.6.6, ä")
    others = Authority(folder(path / "others"))
    config = replace(
        CONFIG, https=(LOOPBACK,), certificates=(CertificateFiles(ours.certificate, ours.key),), redirect=False
    )
    async with gateway_world(path, config) as there, website(mirror) as port:
        for name, authority in (("bank", people), ("other", others)):
            await there.publish(port, name=name, group="us", access=Access(client_ca=authority.root.read_text()))
        await there.publish(port, name="blog")
        port = there.gateway.https_addresses[0].port
        trust = ("--cacert", str(ours.root), "--write-out", "%{http_code}")
        person = ("--cert", str(people.certificate), "--key", str(people.key))
        yield there, str(port), trust, person


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
async def test_a_certificate_lets_in_and_the_service_hears_whose_it_is(tmp_path, version):
    async with bank(tmp_path) as (there, port, trust, person):
        lie = ("--header", "Client-Cert: :QUJD:", "--header", "X-Client-Subject: CN=boss")
        address, url = there.gateway.https_addresses[0], f"https://bank.gw.test:{port}/"
        said = await curl(address, url, *trust, *person, *lie, version)
        assert said.endswith("200")
        headers = [(name.lower(), value) for name, value in json.loads(said[:-3])["headers"]]
        assert [value for name, value in headers if name == "x-client-subject"] == [
            r"CN=ann\0AX-Real-IP: 6.6.6.6\, \C3\A4"
        ]
        pem = (tmp_path / "people" / "cert.pem").read_text().replace("\n", "")
        der = pem.removeprefix("-----BEGIN CERTIFICATE-----").removesuffix("-----END CERTIFICATE-----")
        assert [value for name, value in headers if name == "client-cert"] == [f":{der}:"]
        # Where no certificate is asked for, the visitor can say nothing of one either.
        said = await curl(address, f"https://blog.gw.test:{port}/", *trust, *person, *lie, version)
        assert said.endswith("200")
        assert "client" not in said.lower()


async def test_who_has_none_or_a_wrong_one_does_not_get_in(tmp_path):
    async with bank(tmp_path) as (there, port, trust, person):
        address = there.gateway.https_addresses[0]
        assert await curl(address, f"https://bank.gw.test:{port}/", *trust, fails=True)
        assert await curl(address, f"https://other.gw.test:{port}/", *trust, *person, fails=True)
        # Through the door of a neighbour, whose handshake asks for nothing, or for other certificates.
        for door in ("blog", "bank"):
            said = await curl(
                address, f"https://{door}.gw.test:{port}/", *trust, *person, "--header", "Host: other.gw.test"
            )
            assert said.endswith("421")
        plain = there.gateway.http_addresses[0]
        said = await curl(plain, f"http://bank.gw.test:{plain.port}/", "--write-out", "%{http_code}")
        assert said.endswith("403")


async def test_new_authorities_count_at_once(tmp_path):
    async with bank(tmp_path) as (there, port, trust, person):
        service = there.gateway.services.of_host("other.gw.test")
        url = f"https://other.gw.test:{port}/"
        assert await curl(there.gateway.https_addresses[0], url, *trust, *person, fails=True)
        assert service is not None
        async with website(mirror) as other:
            authority = (tmp_path / "people" / "ca.pem").read_text()
            await there.publish(other, name="other", group="us", access=Access(client_ca=authority))
            assert (await curl(there.gateway.https_addresses[0], url, *trust, *person)).endswith("200")
