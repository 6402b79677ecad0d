"""The adapters: the fallback to the public interface, and the small parts they are made of."""

from __future__ import annotations

import contextlib
import importlib
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.errors import ConfigError, DecodeError, IdentityError, LocalProtocolError
from p2p.quic import ENGINE_NAMES, Engine, EngineConfig, load_engine
from p2p.quic.adapter import SecretSink, ed25519_key_of
from p2p.quic.aioquic_engine import AioquicEngine
from p2p.quic.library import load_tuned
from p2p.quic.qh3_engine import Qh3Engine
from p2p.quic.varint import decode_varint_untrusted, encode_varint, replace_parameter
from tests.support.quic_credentials import credentials, public_key
from tests.support.quic_world import World, make_world
from tests.unit.quic.test_streams import pump

ENGINES: dict[str, type[Any]] = {"qh3": Qh3Engine, "aioquic": AioquicEngine}


@pytest.fixture(params=ENGINE_NAMES)
def plain(request: pytest.FixtureRequest) -> Engine:
    engine: Engine = ENGINES[request.param](is_tuned=False)
    assert not engine.is_tuned
    return engine


def test_the_installed_versions_are_known() -> None:
    for name in ENGINE_NAMES:
        engine = load_engine(name)
        assert engine.name == name
        assert engine.is_tuned, f"{name} {engine.version} is not known to its adapter: check it, or pin another"


@pytest.mark.parametrize("other", ENGINE_NAMES)
@pytest.mark.parametrize("is_client", [True, False])
def test_the_public_interface_alone_carries_a_connection(plain: Engine, other: str, is_client: bool) -> None:
    engines = (plain, load_engine(other)) if is_client else (load_engine(other), plain)
    world = make_world(*engines, credentials(), public_key(), bits_per_s=50e6).connect()
    assert world.client.channel_binding() == world.server.channel_binding()
    up_id, _ = pump(world, "client", 500_000)
    down_id, _ = pump(world, "server", 500_000)
    assert world.loop.run_for(
        20, until=lambda: up_id in world.server_handler.ended and down_id in world.client_handler.ended
    )
    world.client.send_datagram(bytes(world.client.max_datagram_payload))
    world.set_up(False)
    world.loop.run_for(5)
    world.set_up(True)
    for end in (world.client, world.server):
        end.path_changed()
        end.path_up()
    assert (world.client if is_client else world.server).stats.packet_bytes == 1200
    world.loop.run_for(2)
    world.server.close(5, "enough")
    world.loop.run_for(10)
    assert [error.code for error in world.client_handler.errors] == ["P2P-6201"]
    assert len(world.server_handler.errors) == 1


def test_the_public_interface_pins_keys_too(plain: Engine) -> None:
    world = make_world(plain, load_engine(), credentials(1), public_key(0))
    world.server.start()
    world.client.start()
    world.loop.run_for(5)
    assert [type(error) for error in world.client_handler.errors] == [IdentityError]


def test_an_unknown_version_falls_back(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for name, module in (("qh3", "p2p.quic.qh3_engine"), ("aioquic", "p2p.quic.aioquic_engine")):
        monkeypatch.setattr(f"{module}.TUNED_VERSIONS", ("99.",))
        with caplog.at_level(logging.WARNING):
            assert not load_engine(name).is_tuned
        assert "public interface" in caplog.text


def test_a_missing_private_name_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, version in (("p2p.quic.qh3_tuned", "2.1.0"), ("p2p.quic.aioquic_tuned", "1.7.2")):
        monkeypatch.setattr(f"{module}._CONNECTION_NAMES", ("_gone",))
        assert load_tuned(module, version, (version,)) is None
    assert load_tuned("p2p.quic.no_such_module", "1.0", ("1.",)) is None


def test_engines_are_chosen_by_name() -> None:
    assert load_engine().name == "qh3"
    with pytest.raises(ConfigError, match="choose one of"):
        load_engine("quiche")


def test_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def without_qh3(name: str) -> Any:
        if "qh3" in name:
            raise ImportError("no qh3 here")
        return real(name)

    monkeypatch.setattr("p2p.quic.load.importlib.import_module", without_qh3)
    assert load_engine().name == "aioquic"
    with pytest.raises(ConfigError, match="no qh3 here"):
        load_engine("qh3")


def test_the_libraries_log_through_us_only(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    load_engine("qh3")
    logging.getLogger("quic").warning("peer closed")
    assert not capsys.readouterr().err
    with caplog.at_level(logging.DEBUG, "p2p.quic.library"):
        load_engine("aioquic")
        logging.getLogger("quic").warning("peer closed")
    assert [record.levelname for record in caplog.records if record.name.startswith("p2p.")] == ["DEBUG"]
    load_engine("qh3")


def test_the_sink_keeps_no_secret() -> None:
    sink = SecretSink()
    sink.write("CLIENT_HANDSHAKE_TRAFFIC_SECRET 00 11\n")
    sink.write("CLIENT_TRAFFIC_SECRET_0 00 aabb\n")
    assert sink.binding is None
    sink.write("SERVER_TRAFFIC_SECRET_0 00 ccdd\n")
    sink.flush()
    assert sink.binding is not None
    assert len(sink.binding) == 32
    assert not sink._secrets


def test_only_ed25519_keys_are_taken() -> None:
    prefix = bytes.fromhex("302a300506032b6570032100")
    assert ed25519_key_of(prefix + bytes(32)) == bytes(32)
    for wrong in (b"", prefix, prefix + bytes(33), bytes(44)):
        with pytest.raises(IdentityError):
            ed25519_key_of(wrong)


@given(st.integers(0, (1 << 62) - 1))
def test_varints_come_back(value: int) -> None:
    encoded = encode_varint(value)
    assert decode_varint_untrusted(encoded + b"x", 0) == (value, len(encoded))


def test_varints_of_the_standard() -> None:
    # Source: RFC 9000 appendix A.1.
    for text, value in (
        ("c2197c5eff14e88c", 151288809941952652),
        ("9d7f3e7d", 494878333),
        ("7bbd", 15293),
        ("25", 37),
    ):
        assert decode_varint_untrusted(bytes.fromhex(text), 0)[0] == value
        assert encode_varint(value).hex() == text
    with pytest.raises(ValueError, match="does not fit"):
        encode_varint(1 << 62)


def test_one_parameter_is_replaced_and_the_rest_kept() -> None:
    parameters = bytes.fromhex("0102 0203 0802 4064 0f08 1122334455667788")
    replaced = replace_parameter(parameters, 0x08, 16_384)
    assert replaced == bytes.fromhex("0102 0203 0804 80004000 0f08 1122334455667788")
    assert replace_parameter(parameters, 0x33, 1) == parameters


@given(st.binary(max_size=40))
def test_any_bytes_are_parameters_or_an_error(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        replace_parameter(data, 8, 1)


def test_a_connection_that_was_not_started_is_silent() -> None:
    for name in ENGINE_NAMES:
        server = load_engine(name).server(EngineConfig(), credentials(), bytes(8))
        server.start(1.0)
        assert server.poll(1.0, 10) == []
        assert server.get_timer() is None
        server.ping()
        server.close(1, "", 1.0)
        assert server.poll(1.0, 10) == []


class FailingLibrary:
    """The library's connection, or its core, with every call failing, or some of them."""

    def __init__(self, real: Any, only: tuple[str, ...] = ()) -> None:
        self._real = real
        self._only = only

    def __getattr__(self, attribute: str) -> Any:
        if attribute in {"get_timer", "next_event", "stats"} and not self._only:
            return lambda *_: 0.0 if attribute == "get_timer" else None
        if attribute == "_core":
            return FailingLibrary(self._real._core, self._only) if self._only else self
        is_told = attribute.startswith("_") or attribute in {"state", "loss_total", "pto_total"}
        if is_told or (self._only and attribute not in self._only):
            return getattr(self._real, attribute)

        def fail(*_: object, **__: object) -> None:
            raise ValueError(f"{attribute} failed")

        return fail


def connected(name: str) -> tuple[World, Any, Any]:
    """Two ends of one engine, with the server's adapter and its library."""
    engine = load_engine(name)
    world = make_world(engine, engine, credentials(), public_key()).connect()
    connection: Any = world.server._engine
    return world, connection, connection._quic


def replace_library(connection: Any, library: Any) -> None:
    """Have a connection's adapter, and its parts, talk to another library."""
    for part in (connection, getattr(connection, "_builder", None), getattr(connection, "_feed", None)):
        if part is not None:
            part._quic = library


@pytest.mark.parametrize("name", ENGINE_NAMES)
def test_a_library_that_fails_costs_packets_not_the_program(name: str) -> None:
    world, connection, real = connected(name)
    replace_library(connection, FailingLibrary(real))
    now = world.loop.now
    connection.receive(b"\x40" * 50, 25, now)
    connection.handle_timer(now)
    connection.ping()
    connection.reset(0, 1)
    connection.stop(0, 1)
    connection.request_key_update()
    for misuse in (lambda: connection.send(0, b"x"), lambda: connection.open_stream()):
        with pytest.raises(LocalProtocolError):
            misuse()
    assert connection._guarded_errors >= 2
    # A timer that fails is not due again at once.
    assert connection.get_timer() > now
    replace_library(connection, real)
    stream_id = world.client.open_stream()
    world.client.send(stream_id, b"still here", end=True)
    assert world.loop.run_for(5, until=lambda: stream_id in world.server_handler.ended)


@pytest.mark.parametrize("name", ENGINE_NAMES)
def test_a_library_that_spoils_a_packet_ends_the_connection(name: str) -> None:
    world, connection, real = connected(name)
    world.server.send(world.server.open_stream(), b"lost for good")
    replace_library(connection, FailingLibrary(real, only=("poll_transmit", "datagrams_to_send")))
    world.loop.run_for(0)
    replace_library(connection, real)
    assert world.loop.run_for(5, until=lambda: bool(world.server_handler.errors and world.client_handler.errors))
    assert world.server_handler.errors[0].code == "P2P-7202"
    assert "the QUIC library failed" in str(world.server_handler.errors[0])
    assert "internal error" in str(world.client_handler.errors[0])
    world.loop.run_for(30)
    assert world.loop.pending == 0
