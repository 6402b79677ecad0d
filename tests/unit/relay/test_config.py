"""The configuration file: what it may say, what it must not, and that secrets stay in it."""

import dataclasses
import json
import logging
import re
import time
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from p2p.address import TransportAddress
from p2p.cli.relay import app as p2p_relay
from p2p.errors import ConfigError
from relay import config_file
from relay.cli import app
from relay.config import PeerMode, RelayConfig
from relay.core.credentials import rest_password
from relay.service import RelayService

ADDRESS = TransportAddress("192.0.2.1", 3478)
SECRET = "a secret that nobody guesses"

FULL = f"""
udp = ["192.0.2.1", "[2001:db8::1]:3478"]
tcp = ["192.0.2.1:80"]
relay_addresses = ["10.0.0.5/192.0.2.1", "2001:db8::1"]
realm = "example.org"
shared_secret = "{SECRET}"
previous_secrets = ["the one before it, as long"]
metrics = "127.0.0.1:9641"
drain_s = 5
[users]
alice = "wonderland"
[peers]
mode = "known"
tcp = true
allow = ["10.1.0.0/16"]
deny = ["198.51.100.0/24"]
danger_allow_private = true
[ports]
first = 50000
last = 50999
[quotas]
total = 100
per_user = 2
[connections]
per_address = 7
[rates]
user_mbit_s = 8
total_packets_s = 1000
"""


def _write(tmp_path, text):
    path = tmp_path / "relay.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_a_full_file(tmp_path):
    config = config_file.load(_write(tmp_path, FULL))
    assert config.udp == (ADDRESS, TransportAddress("2001:db8::1", 3478))
    assert config.tcp == (TransportAddress("192.0.2.1", 80),)
    assert config.shared_secrets == (SECRET, "the one before it, as long")
    assert config.quotas.total == 100
    assert config.quotas.per_user == 2
    assert config.connections.per_address == 7
    assert config.peer_mode is PeerMode.KNOWN
    assert config.tcp_to_peers
    assert config.rates.user.bytes_per_s == 1_000_000
    assert config.rates.total.packets_per_s == 1000
    assert not config.rates.address.is_limited
    first, second = config.relay_hosts()
    assert (first.bind_host, first.public_host, first.first_port, first.last_port) == (
        "10.0.0.5",
        "192.0.2.1",
        50000,
        50999,
    )
    assert second.is_ipv6
    assert config.drain_s == 5


def test_the_smallest_file(tmp_path):
    config = config_file.load(_write(tmp_path, f'udp = ["192.0.2.1"]\nshared_secret = "{SECRET}"'))
    assert config.udp == (ADDRESS,)
    assert [host.bind_host for host in config.relay_hosts()] == ["192.0.2.1"]


def test_a_secret_may_be_in_a_file_of_its_own(tmp_path):
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    config = config_file.load(_write(tmp_path, 'udp = ["192.0.2.1"]\nshared_secret_file = "secret"'))
    assert config.shared_secrets == (SECRET,)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "listens nowhere"),
        ("not toml", "relay.toml"),
        ('udp = "192.0.2.1"', "udp"),
        ("udp = []\nfoo = 1", "foo"),
        ('udp = ["192.0.2.1"]', "nobody"),
        ('udp = ["localhost"]\nshared_secret = "x"', "localhost"),
        ('udp = ["192.0.2.1"]\nshared_secret = ""', "empty"),
        ('udp = ["192.0.2.1"]\nshared_secret = "x"\nshared_secret_file = "y"', "either"),
        ('udp = ["192.0.2.1"]\nshared_secret_file = "missing"', "missing"),
        ('udp = ["0.0.0.0"]\nshared_secret = "x"', "0.0.0.0"),
        ('tcp = ["192.0.2.1"]\nshared_secret = "x"', "relay_addresses"),
        ('tls = ["192.0.2.1"]\nrelay_addresses = ["192.0.2.1"]\nshared_secret = "x"', "certificate"),
        ('udp = ["192.0.2.1"]\nrelay_addresses = ["10.0.0.1/2001:db8::1"]\nshared_secret = "x"', "10.0.0.1"),
        ('udp = ["192.0.2.1"]\nrelay_addresses = ["eth0"]\nshared_secret = "x"', "eth0"),
        ('udp = ["192.0.2.1"]\nshared_secret = "x"\n[peers]\nallow = ["10.0.0.1/8"]', "10.0.0.1/8"),
        ('udp = ["192.0.2.1"]\nshared_secret = "x"\n[ports]\nfirst = 5\nlast = 4', "5-4"),
        ('udp = ["192.0.2.1"]\n[users]\n"1:a" = "x"', "colon"),
        ('udp = ["192.0.2.1"]\nshared_secret = "x"\n[peers]\nmode = "all"', "all"),
        ('udp = ["192.0.2.1"]\nshared_secret = "x"\n[rates]\nuser_mbit_s = -1', "rates"),
        ('udp = ["192.0.2.1"]\nrealm = ""\nshared_secret = "x"', "realm"),
        ('metrics_users = 101\nudp = ["192.0.2.1"]\nshared_secret = "x"', "0 to 100"),
        ('udp = ["192.0.2.1"]\n[users]\na = "b"\n[rendezvous]\nservers = ["https://r.example"]', "shared secret"),
        ('udp = ["192.0.2.1"]\nshared_secret = "x"\n[rendezvous]\nservers = ["r.example"]', "https://"),
        (
            'udp = ["192.0.2.1"]\nshared_secret = "x"\n[rendezvous]\nservers = ["https://r"]\nurls = ["r.example"]',
            "turn:203.0.113.20",
        ),
    ],
)
def test_mistakes_are_named(tmp_path, text, named):
    with pytest.raises(ConfigError, match=r"relay\.toml") as caught:
        config_file.load(_write(tmp_path, text))
    assert named in str(caught.value)


def test_what_cannot_be_allowed_is_found_before_serving():
    config = RelayConfig(udp=(ADDRESS,), users={"a": "b"}, allow_peers=(config_file._network("224.0.0.0/8"),))
    with pytest.raises(ConfigError, match=r"224\.0\.0\.0/8"):
        RelayService(config)


def test_secrets_stay_in_the_file(tmp_path):
    config = config_file.load(_write(tmp_path, FULL))
    for text in (repr(config), str(config), *config_file.describe(config)):
        for secret in (SECRET, "the one before", "wonderland"):
            assert secret not in text


def test_warnings(tmp_path):
    path = _write(
        tmp_path, 'udp = ["0.0.0.0"]\nrelay_addresses = ["192.0.2.1"]\nshared_secret = "short"\n[peers]\ntcp = true'
    )
    found = " ".join(config_file.warnings(config_file.load(path), path))
    for word in ("shorter", "wildcard", "tls is empty", "peers.tcp"):
        assert word in found
    reporting = (
        'udp = ["0.0.0.0"]\nrelay_addresses = ["192.0.2.1"]\nshared_secret = "x"\n[rendezvous]\nservers = ["https://r"]'
    )
    found = " ".join(config_file.warnings(config_file.load(_write(tmp_path, reporting)), path))
    assert "no client could use" in found
    assert "holds secrets" not in found
    path.chmod(0o644)
    assert any("holds secrets" in line for line in config_file.warnings(config_file.load(path), path))
    path = _write(tmp_path, FULL)
    found = " ".join(config_file.warnings(config_file.load(path), path))
    assert "danger_allow_private" in found
    assert "danger_allow_loopback" not in found
    assert "peers.tcp" not in found


def test_verify_prints_what_the_file_means(tmp_path):
    result = CliRunner().invoke(app, ["--verify", "--config", str(_write(tmp_path, FULL))])
    assert result.exit_code == 0, result.output
    assert "10.0.0.5 (seen as 192.0.2.1)" in result.output
    assert "8 Mbit/s a user, 1000 packets/s in all" in result.output
    assert "known; 1 networks allowed" in result.output
    assert "is valid" in result.output
    assert SECRET not in result.output


def test_the_example_names_every_setting_and_is_valid(tmp_path):
    """What is commented out is a default, or an example where there is none."""
    text = CliRunner().invoke(app, ["--example"]).output
    assert text == config_file.example() == (Path(__file__).parents[3] / "deploy" / "relay.toml").read_text()
    (tmp_path / "relay.secret").write_text(SECRET)
    as_shipped = config_file.load(_write(tmp_path, text))
    every = tomllib.loads(re.sub(r"^#(?=\w+ = )", "", text, flags=re.MULTILINE))
    fields = set(config_file._File.__struct_fields__) - {"shared_secret"}  # instead of shared_secret_file
    assert set(every) == fields
    for name, table in (
        ("peers", config_file._Peers),
        ("ports", config_file._Ports),
        ("quotas", config_file._Quotas),
        ("rates", config_file._Rates),
        ("connections", config_file._Connections),
        ("rendezvous", config_file._Rendezvous),
    ):
        assert set(every[name]) == set(table.__struct_fields__)
    uncommented = config_file.load(_write(tmp_path, re.sub(r"^#(?=\w+ = )", "", text, flags=re.MULTILINE)))
    differs = {
        field.name
        for field in dataclasses.fields(RelayConfig)
        if getattr(as_shipped, field.name) != getattr(uncommented, field.name)
    }
    reports = {"report_to", "report_ca", "region", "urls"}
    assert differs == reports | {
        "users",
        "allow_peers",
        "deny_peers",
        "trusted_proxies",
        "alternate_servers",
        "metrics",
    }


def test_verify_reads_the_certificate(tmp_path):
    text = f'tls = ["192.0.2.1"]\nrelay_addresses = ["192.0.2.1"]\nshared_secret = "{SECRET}"\n'
    path = _write(tmp_path, text + 'tls_certificate = "a.pem"\ntls_key = "b.pem"')
    result = CliRunner().invoke(app, ["--verify", "-c", str(path)])
    assert isinstance(result.exception, ConfigError)
    assert result.exception.code == "P2P-1304"


def test_secret_makes_a_new_one_each_time():
    first, second = (CliRunner().invoke(app, ["--secret"]).output.strip() for _ in range(2))
    assert first != second
    assert len(first) >= 24


def test_credentials_are_an_entry_of_ice_servers(tmp_path):
    path = _write(tmp_path, FULL)
    result = CliRunner().invoke(p2p_relay, ["credentials", "visitor", "-c", str(path), "--lifetime", "1h"])
    assert result.exit_code == 0, result.output
    server = json.loads(result.output)
    assert server["urls"] == [
        "turn:192.0.2.1:3478?transport=udp",
        "turn:[2001:db8::1]:3478?transport=udp",
        "turn:192.0.2.1:80?transport=tcp",
    ]
    expiry, _, name = server["username"].partition(":")
    assert name == "visitor"
    assert abs(int(expiry) - time.time() - 3600) < 60
    assert server["credential"] == rest_password(SECRET, server["username"])
    static = _write(tmp_path, 'udp = ["192.0.2.1"]\n[users]\na = "b"')
    assert CliRunner().invoke(p2p_relay, ["credentials", "-c", str(static)]).exit_code == 2


def test_urls_have_the_address_that_the_world_sees():
    config = RelayConfig(
        udp=(TransportAddress("10.0.0.5", 3478),), relay_addresses=("10.0.0.5/192.0.2.1",), users={"a": "b"}
    )
    assert config.turn_urls() == ("turn:192.0.2.1:3478?transport=udp",)


def test_help_shows_how_to_begin():
    output = CliRunner().invoke(app, ["--help"]).output
    for word in ("--config", "--verify", "shared_secret", "SIGTERM"):
        assert word in output


@pytest.fixture(autouse=True)
def _quiet():
    """The command sets up logging for the whole process; tests must not keep that."""
    before = logging.getLogger("asyncio").level
    yield
    logging.getLogger("asyncio").setLevel(before)
