"""File < environment < flag, and every complaint names its source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from p2p import config, defaults
from p2p.config import ServeOptions, load_peer_options, load_serve_options, load_services
from p2p.errors import ConfigError
from p2p.session.options import PeerOptions, RelayPolicy


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def environment(file: Path, **more: str) -> dict[str, str]:
    return {"P2P_CONFIG": str(file), **more}


def test_defaults_without_any_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert load_peer_options({}, environ={}) == PeerOptions()


def test_usual_place_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "p2p").mkdir()
    (tmp_path / "p2p" / "config.toml").write_text('engine = "aioquic"')
    assert load_peer_options({}, environ={}).engine == "aioquic"


def test_file_then_environment_then_flag(file: Path) -> None:
    file.write_text('rendezvous = ["https://file.example"]\nengine = "aioquic"\ntimeout = 5\nrelay = "only"')
    from_file = load_peer_options({}, environ=environment(file))
    assert from_file.rendezvous_urls == ("wss://file.example",)
    assert (from_file.engine, from_file.timeout_s, from_file.relay_policy) == ("aioquic", 5.0, RelayPolicy.ONLY)

    variables = environment(
        file, P2P_RENDEZVOUS="https://a.example/, WSS://b.example", P2P_ENGINE="qh3", P2P_TIMEOUT="2m"
    )
    from_environment = load_peer_options({}, environ=variables)
    assert from_environment.rendezvous_urls == ("wss://a.example", "wss://b.example")
    assert (from_environment.engine, from_environment.timeout_s) == ("qh3", 120.0)

    flags = {"rendezvous": ["https://flag.example"], "engine": "aioquic", "relay": "never", "birthday": False}
    from_flags = load_peer_options(flags, environ=variables)
    assert from_flags.rendezvous_urls == ("wss://flag.example",)
    assert from_flags.relay_policy is RelayPolicy.NEVER
    assert not from_flags.birthday
    assert from_flags.timeout_s == 120.0


def test_empty_variable_counts_as_absent(file: Path) -> None:
    file.write_text("")
    assert load_peer_options({}, environ=environment(file, P2P_TOKEN="")).token is None


@pytest.mark.parametrize(
    ("content", "variables", "flags", "place", "words"),
    [
        ('engine = "quiche"', {}, {}, "config.toml: engine", "not one of qh3, aioquic"),
        ("engine = 3", {}, {}, "config.toml: engine", "must be text"),
        ("rendezvous = 3", {}, {}, "config.toml: rendezvous", "list of texts"),
        ("verbose = 'perhaps'", {}, {}, "config.toml: verbose", "neither true nor false"),
        ("", {"P2P_RENDEZVOUS": "example.org"}, {}, "P2P_RENDEZVOUS", "not a URL such as"),
        ("", {"P2P_TIMEOUT": "30"}, {}, "P2P_TIMEOUT", "no unit"),
        ("", {}, {"ca_file": Path("/nowhere/ca.pem")}, "--ca-file", "no such file: /nowhere/ca.pem"),
        ("", {}, {"relay": "sometimes"}, "--relay-only", "not one of allow, only, never"),
    ],
)
def test_wrong_value_names_its_source(
    file: Path, content: str, variables: dict[str, str], flags: dict[str, Any], place: str, words: str
) -> None:
    file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_peer_options(flags, environ=environment(file, **variables))
    assert place in caught.value.detail
    assert words in caught.value.detail


def test_unknown_key_suggests_the_known_one(file: Path) -> None:
    file.write_text('rendevous = "https://a.example"')
    with pytest.raises(ConfigError, match="did you mean 'rendezvous'") as caught:
        load_peer_options({}, environ=environment(file))
    assert caught.value.error_code is config.CODE_UNKNOWN_KEY


@pytest.mark.parametrize("content", ["engine = ", "engine = 'a'\nengine = 'b'", b"\xff\xfe"])
def test_unreadable_file(file: Path, content: str | bytes) -> None:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=r"config\.toml") as caught:
        load_peer_options({}, environ=environment(file))
    assert caught.value.error_code is config.CODE_UNREADABLE_FILE


def test_named_file_must_exist(file: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_peer_options({}, environ=environment(file))


def test_token_is_not_in_the_repr() -> None:
    assert "hunter2" not in repr(PeerOptions(token="hunter2"))
    assert "hunter2" not in repr(ServeOptions(tokens=("hunter2",), shared_secret="hunter2"))


def test_wrong_token_is_not_in_the_message(file: Path) -> None:
    file.write_text("token = ['hunter2']")
    with pytest.raises(ConfigError) as caught:
        load_peer_options({}, environ=environment(file))
    assert "hunter2" not in str(caught.value)


def test_serve_table_and_flags(file: Path, tmp_path: Path) -> None:
    certificate = tmp_path / "cert.pem"
    certificate.write_text("x")
    file.write_text(
        'engine = "qh3"\n[serve]\nlisten = ["192.0.2.1", "2001:DB8::1"]\nstun_port = 4000\n'
        'relay_ports = "50000-50100"\nrelay_peers = "public"\nrelay_mbit = 100\n'
        f'tls_cert = "{certificate}"\ntls_key = "{certificate}"\ntoken = ["secret"]'
    )
    options = load_serve_options({"stun_port": 4001}, environ=environment(file))
    assert options.listen == ("192.0.2.1", "2001:db8::1")
    assert options.stun_port == 4001
    assert options.relay_ports == (50000, 50100)
    assert options.relay_peers == "public"
    assert (options.relay_mbit_s, options.relay_user_mbit_s) == (100.0, 0.0)
    assert options.tokens == ("secret",)
    assert load_peer_options({}, environ=environment(file)).engine == "qh3"


def test_serve_defaults(file: Path) -> None:
    file.write_text("")
    options = load_serve_options({}, environ=environment(file))
    assert options.stun_port == defaults.STUN_PORT
    assert options.relay_peers == "known"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"tls_cert": Path(__file__)}, "needed together"),
        ({"open": True, "token": ["x"]}, "asks for no token"),
        ({"listen": ["localhost"]}, "--listen"),
        ({"http_port": 70000}, "not a port from 0 to 65535"),
        ({"relay_ports": "9-5"}, "49152-65535"),
        ({"relay_peers": "all"}, "known, public"),
        ({"relay_mbit": -1.0}, "Mbit/s"),
        ({"relay_user_mbit": "much"}, "Mbit/s"),
    ],
)
def test_serve_contradictions(file: Path, flags: dict[str, Any], words: str) -> None:
    file.write_text("")
    with pytest.raises(ConfigError, match=words):
        load_serve_options(flags, environ=environment(file))


def test_serve_must_be_a_table(file: Path) -> None:
    file.write_text("serve = 3")
    with pytest.raises(ConfigError, match="must be a table"):
        load_serve_options({}, environ=environment(file))


def test_services_of_the_file(file: Path) -> None:
    file.write_text('engine = "qh3"\n[services]\nweb = "8080"\ngame = "udp:27015"')
    assert load_services(environ=environment(file)) == {"web": "8080", "game": "udp:27015"}
    assert load_peer_options({}, environ=environment(file)).engine == "qh3"


@pytest.mark.parametrize("text", ["services = 1", "[services]\nweb = 8080"])
def test_services_that_are_none(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"\[services\]") as caught:
        load_services(environ=environment(file))
    assert caught.value.code == "P2P-1112"
