"""h2spec, the conformance tests of HTTP/2, against the gateway."""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import PIPE, STDOUT
from dataclasses import replace

import pytest

from gateway.ingress.tls import CertificateFiles
from tests.support.authority import Authority
from tests.support.gateway_world import CONFIG, LOOPBACK, gateway_world, mirror, website

H2SPEC = shutil.which("h2spec")
# It knows no other way to a host than its name.
IN_A_WORLD_WITH_THAT_NAME = 'mount --bind "$1" /etc/hosts && exec "$2" -h blog.gw.test -p "$3" -t -k -o 5'


@pytest.mark.skipif(
    H2SPEC is None, reason="h2spec is not installed: go install github.com/summerwind/h2spec/cmd/h2spec"
)
@pytest.mark.root
async def test_it_keeps_to_the_rules(tmp_path):
    authority = Authority(tmp_path, "*.gw.test")
    files = (CertificateFiles(authority.certificate, authority.key),)
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 blog.gw.test\n")
    config = replace(CONFIG, https=(LOOPBACK,), certificates=files)
    async with gateway_world(tmp_path, config) as there, website(mirror) as port:
        await there.publish(port, name="blog")
        process = await asyncio.create_subprocess_exec(
            *("unshare", "--mount", "sh", "-c", IN_A_WORLD_WITH_THAT_NAME, "sh", str(hosts), str(H2SPEC)),
            str(there.gateway.https_addresses[0].port),
            stdout=PIPE,
            stderr=STDOUT,
        )
        out, _ = await process.communicate()
    assert ", 0 failed" in out.decode(), out.decode()
