"""The rendezvous's ports: TLS, and a foreign protocol beside HTTP, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop

from p2p.errors import ConfigError
from p2p.signalling import SignallingClient
from rendezvous.service import RendezvousService
from tests.support.authority import Authority
from tests.support.rendezvous_world import ALICE, BASE, LOOPBACK, until, url_of

BINDING_REQUEST = bytes.fromhex("000100002112a442") + bytes(12)


class Shout(asyncio.Protocol):
    """A foreign protocol that answers in capitals."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport.get_extra_info("peername"), tuple)
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())


class BufferedShout(asyncio.BufferedProtocol):
    """The same with a buffer of its own; the first bytes come by ``data_received``."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.buffer = bytearray(1000)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, count: int) -> None:
        self.transport.write(bytes(self.buffer[:count]).upper())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def run_on(loop_name: str, main: Coroutine[Any, Any, None]) -> None:
    factory = uvloop.new_event_loop if loop_name == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


@pytest.mark.parametrize("loop_name", ["asyncio", "uvloop"])
@pytest.mark.parametrize("foreign", [Shout, BufferedShout])
def test_one_port_serves_signalling_and_a_foreign_protocol_with_and_without_tls(
    loop_name: str, foreign: Callable[[], asyncio.BaseProtocol], authority: Authority
) -> None:
    config = replace(BASE, listen_tls=(LOOPBACK,), tls_certificate=authority.certificate, tls_key=authority.key)

    async def main() -> None:
        async with RendezvousService(config, foreign_protocol=foreign) as service:
            for scheme, address in (("ws", service.listen_addresses[0]), ("wss", service.listen_tls_addresses[0])):
                context = authority.context() if scheme == "wss" else None
                reader, writer = await asyncio.open_connection(*address, ssl=context)
                for part in (b"\x00hello", b"again", b"x" * 5000):
                    writer.write(part)
                    assert await asyncio.wait_for(reader.readexactly(len(part)), 5) == part.upper()
                async with SignallingClient([f"{scheme}://{address}"], ALICE, ssl_context=context) as alice:
                    await alice.welcome()
                    await alice.publish("web")
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

    run_on(loop_name, main())


@pytest.mark.parametrize("loop_name", ["asyncio", "uvloop"])
@pytest.mark.parametrize("scheme", ["plain", "tls"])
def test_one_host_cannot_take_all_connections(
    loop_name: str, scheme: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rendezvous.service.RENDEZVOUS_SOCKETS_PER_HOST", 8)
    config = replace(BASE, limits=replace(BASE.limits, connections_per_address=4))
    if scheme == "tls":
        config = replace(
            config, listen=(), listen_tls=(LOOPBACK,), tls_certificate=authority.certificate, tls_key=authority.key
        )

    async def main() -> None:
        async with RendezvousService(config, foreign_protocol=Shout) as service:
            address = (service.listen_addresses or service.listen_tls_addresses)[0]
            context = authority.context() if scheme == "tls" else None

            async def take(beginning: bytes) -> list[asyncio.StreamWriter]:
                """Open ten connections that begin something and never end it; gives those that may stay."""
                kept = []
                for _ in range(10):
                    reader, writer = await asyncio.open_connection(*address, ssl=context)
                    writer.write(beginning)
                    with contextlib.suppress(ConnectionError):
                        await writer.drain()
                    try:
                        async with asyncio.timeout(0.15):
                            await reader.read(1)
                        # A foreign connection is answered, one too many is closed.
                        is_kept = beginning.startswith(b"\0") and not reader.at_eof()
                    except TimeoutError:
                        is_kept = True
                    except ConnectionError:
                        is_kept = False
                    if is_kept:
                        kept.append(writer)
                    else:
                        writer.close()
                return kept

            for beginning in (b"GET / HTTP/1.1\r\n", b"\0hello", b""):
                kept = await take(beginning)
                assert len(kept) == 8, beginning
                for writer in kept:
                    writer.close()
                    with contextlib.suppress(ConnectionError):
                        await writer.wait_closed()
                await asyncio.sleep(0.1)
            # All were counted out again, or the next ones would not have found room.
            reader, writer = await asyncio.open_connection(*address, ssl=context)
            writer.write(b"\0a")
            assert await asyncio.wait_for(reader.readexactly(2), 5) == b"\0A"
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    run_on(loop_name, main())


async def test_a_first_byte_of_the_foreign_protocol_without_one_closes() -> None:
    async with RendezvousService(BASE) as service:
        reader, writer = await asyncio.open_connection(*service.listen_addresses[0])
        writer.write(BINDING_REQUEST)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_a_certificate_of_an_unknown_authority_is_refused(authority: Authority) -> None:
    config = replace(
        BASE, listen=(), listen_tls=(LOOPBACK,), tls_certificate=authority.certificate, tls_key=authority.key
    )
    async with RendezvousService(config) as service, SignallingClient([url_of(service, "wss")], ALICE) as alice:
        await until(lambda: alice.last_error is not None)
        assert alice.last_error is not None
        assert alice.last_error.code == "P2P-3102"
        assert not alice.connected


async def test_wrong_certificate_files_are_named(tmp_path: Path) -> None:
    config = replace(BASE, listen_tls=(LOOPBACK,), tls_certificate=tmp_path / "none.pem", tls_key=tmp_path / "none.pem")
    with pytest.raises(ConfigError, match=r"none\.pem"):
        async with RendezvousService(config):
            pass


async def test_an_address_in_use_is_named() -> None:
    async with RendezvousService(BASE) as service:
        with pytest.raises(ConfigError, match=str(service.listen_addresses[0].port)):
            async with RendezvousService(replace(BASE, listen=service.listen_addresses)):
                pass
