from pathlib import Path

import pytest
from typer.testing import CliRunner

from p2p.errors import ConfigError
from rendezvous.cli import app

GOOD = """
listen = ["127.0.0.1:{port}"]
names = ["127.0.0.1"]
drain_s = 0.2

[stun]
enabled = false

[[tokens]]
name = "alice"
secret = "correct-horse-battery"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rendezvous.toml"
    path.write_text(GOOD.format(port=8470))
    path.chmod(0o600)
    return path


def test_help_tells_what_a_stranger_needs() -> None:
    result = CliRunner().invoke(app, ["-h"])
    assert result.exit_code == 0
    for word in ("--config", "--verify", "--token", "SIGHUP", "trusted_proxies"):
        assert word in result.output


def test_verify_sums_up_without_secrets(file: Path) -> None:
    result = CliRunner().invoke(app, ["--verify", "--config", str(file)])
    assert result.exit_code == 0
    assert "127.0.0.1:8470" in result.output
    assert "by token, 1 tokens" in result.output
    assert "horse" not in result.output


def test_verify_names_a_mistake(file: Path) -> None:
    file.write_text("oops = 1")
    result = CliRunner().invoke(app, ["--verify", "--config", str(file)])
    assert isinstance(result.exception, ConfigError)
    assert "oops" in str(result.exception)


def test_verify_reads_the_certificate(file: Path) -> None:
    file.write_text(f"listen_tls = ['127.0.0.1:443']\n{GOOD.format(port=1)}\n[tls]\ncertificate = 'no'\nkey = 'no'\n")
    result = CliRunner().invoke(app, ["--verify", "--config", str(file)])
    assert isinstance(result.exception, ConfigError)
    assert "certificate" in str(result.exception)


def test_every_token_is_another() -> None:
    tokens = {CliRunner().invoke(app, ["--token"]).output.strip() for _ in range(3)}
    assert len(tokens) == 3
    assert all(len(token) == 32 for token in tokens)
