from collections.abc import Callable
from pathlib import Path

import pytest

from p2p.address import TransportAddress
from p2p.errors import ConfigError
from rendezvous import config_file
from rendezvous.config import RendezvousConfig, StunConfig
from rendezvous.core.admission import AdmissionToken

FULL = """
listen = ["127.0.0.1:8470"]
listen_tls = ["0.0.0.0:443", "[::]:443"]
names = ["rv.example.com"]
region = "eu"
trusted_proxies = ["127.0.0.0/8"]
metrics_allowed = ["10.0.0.0/8"]
stun_servers = ["192.0.2.1", "192.0.2.2:3479"]
drain_s = 5

[tls]
certificate = "cert.pem"
key = "/etc/key.pem"

[stun]
addresses = ["192.0.2.1"]
public_addresses = ["203.0.113.1"]
alternate_port = 0

[relay]
urls = ["turn:192.0.2.1:3478?transport=udp"]
secret_file = "relay.secret"

[limits]
connections = 7

[[tokens]]
name = "alice"
secret = "correct-horse-battery"
services = ["web"]
relay = false
expires = 2030-01-01T00:00:00Z
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    (tmp_path / "relay.secret").write_text("north\n")

    def write_file(text: str) -> Path:
        path = tmp_path / "rendezvous.toml"
        path.write_text(text)
        path.chmod(0o600)
        return path

    return write_file


def test_every_setting_arrives(write: Callable[[str], Path]) -> None:
    path = write(FULL)
    config = config_file.load(path)
    assert config.listen == (TransportAddress("127.0.0.1", 8470),)
    assert config.listen_tls == (TransportAddress("0.0.0.0", 443), TransportAddress("::", 443))
    assert config.names == {"rv.example.com"}
    assert config.tls_certificate == path.parent / "cert.pem"
    assert config.tls_key == Path("/etc/key.pem")
    assert config.stun == StunConfig(addresses=("192.0.2.1",), public_addresses=("203.0.113.1",), alternate_port=None)
    assert config.stun_servers == (TransportAddress("192.0.2.1", 3478), TransportAddress("192.0.2.2", 3479))
    assert config.relay_secret == "north"
    assert config.limits.connections == 7
    assert config.drain_s == 5
    assert config.tokens == (
        AdmissionToken(
            secret="correct-horse-battery", name="alice", services=("web",), relay=False, expires_wall=1893456000
        ),
    )
    assert config_file.warnings(config, path) == []
    assert "north" not in repr(config)
    assert "horse" not in repr(config)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nonsense", "key/value"),
        ("oops = 1", "oops"),
        ("open = 'yes'", "open"),
        ("open = true\nlisten = ['localhost']", "localhost"),
        ("open = true\nlisten_tls = ['0.0.0.0:443']", "certificate"),
        ("", "nobody could log in"),
        ("open = true\n[relay]\nurls = ['turn:rv']", "secret"),
        ("open = true\n[relay]\nurls = ['rv:3478']\nsecret = 'x'", "turn:"),
        ("open = true\n[relay]\nurls = []\nsecret_file = 'missing'", "missing"),
        ("open = true\ntrusted_proxies = ['10.0.0.1/8']", "network"),
        ("[[tokens]]\nname = 'a'\nsecret = ''", "empty"),
        ("[[tokens]]\nname = 'a'\nsecret = 'x'\nexpires = 2030-01-01T00:00:00", "offset"),
        ("[[tokens]]\nname = 'a'\nsecret = 'x'\n[[tokens]]\nname = 'b'\nsecret = 'x'", "the same"),
        ("open = true\nnames = ['RV.example.com']", "lower case"),
        ("open = true\n[stun]\naddresses = []", "stun"),
        ("open = true\n[stun]\npublic_addresses = ['192.0.2.1']", "as many"),
        ("open = true\nstun_servers = ['bad host name:3478']", "bad host name"),
    ],
)
def test_a_mistake_is_named(write: Callable[[str], Path], text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        config_file.load(write(text))
    assert caught.value.code == "P2P-1402"
    assert "rendezvous.toml" in caught.value.detail


def test_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        config_file.load(tmp_path / "none")


def test_what_is_probably_not_meant_is_said(write: Callable[[str], Path]) -> None:
    path = write("open = true\nlisten = ['0.0.0.0:80']\n[[tokens]]\nname = 'a'\nsecret = 'short'")
    path.chmod(0o644)
    text = "\n".join(config_file.warnings(config_file.load(path), path))
    for word in ("names is empty", "without TLS", "open is true", "shorter", "no [relay]", "every user"):
        assert word in text
    silent = RendezvousConfig(is_open=True)
    assert "no signalling" in "\n".join(config_file.warnings(silent, path))
