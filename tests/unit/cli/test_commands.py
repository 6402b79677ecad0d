"""The commands as a user types them: help, wrong input, exit codes, start-up."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from p2p.cli.app import app
from p2p.cli.expose import resolve_peers
from p2p.cli.problems import InternalError, find_error, reporting
from p2p.errors import ConfigError, IdentityError, RelayError

COMMANDS = ["expose", "connect", "cp", "ping", "bench", "nat", "status", "serve", "relay", "demo", "identity"]


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P2P_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for variable in ("P2P_CONFIG", "P2P_RENDEZVOUS", "P2P_TOKEN", "P2P_IDENTITY"):
        monkeypatch.delenv(variable, raising=False)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(command: str) -> None:
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert f"p2p {command}" in result.output


def test_help_without_arguments() -> None:
    result = invoke()
    for command in COMMANDS:
        assert f"\n  {command} " in result.output
    assert "..." not in result.output.partition("\nCommands:")[2], "a summary was cut"


def test_version() -> None:
    result = invoke("--version")
    assert result.exit_code == 0
    assert result.output.startswith("p2p ")
    assert "qh3" in result.output


@pytest.mark.parametrize(
    ("arguments", "words", "exit_code"),
    [
        (["expose", "http://localhost:80"], "Error P2P-1102", 2),
        (["expose", "0"], "port 0", 2),
        (["expose", "80", "--expires", "2"], "Error P2P-1101", 2),
        (["expose"], "Error P2P-1105", 2),
        (["expose", "80", "80"], "two services '80'", 2),
        (["expose", "80", "--proxy-protocol", "v3"], "--proxy-protocol: 'v3' is not one of v1, v2", 2),
        (["expose", "80", "--proxy-source", "me"], "--proxy-source: 'me' is not one of peer, client", 2),
        (["connect", "x", "web=80", "--listen", "80"], "Error P2P-1113", 2),
        (["expose", "80", "--relay-only", "--no-relay"], "leave no path at all", 2),
        (["expose", "80", "--engine", "quiche"], "--engine: 'quiche' is not one of qh3, aioquic", 2),
        (["expose", "80", "--rendezvous", "example.org"], "--rendezvous: 'example.org' is not a URL", 2),
        (["expose", "80", "--allow", "nobody"], "Error P2P-2402", 3),
        (["connect", "T", "--listen", "nas:80"], "Error P2P-1103", 2),
        (["connect", "T", "--stdio", "--listen", "80"], "Error P2P-1113", 2),
        (["expose", "80", "--lan", "--relay-only"], "Error P2P-1113", 2),
        (["connect", "T", "--lan", "--relay-only"], "Error P2P-1113", 2),
        (["nat", "--log-file", "/nowhere/log"], "Error P2P-1120", 2),
        (["serve", "--listen", "localhost"], "--listen: 'localhost'", 2),
        (["serve", "--config", "/nowhere/p2p.toml"], "Error P2P-1110", 2),
        (["identity", "show", "--identity", "/dev/null/key"], "Error P2P-2", 3),
    ],
)
def test_wrong_input_says_what_to_type(arguments: list[str], words: str, exit_code: int) -> None:
    result = invoke(*arguments)
    assert words in result.stderr
    assert "  Fix:   " in result.stderr
    assert "docs/errors/P2P-" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert result.exit_code == exit_code


def test_peers_may_be_named_by_alias(tmp_path: Path) -> None:
    (tmp_path / "config" / "p2p").mkdir(parents=True)
    peer_id = "mfrggzdfmztwq2lkmfrggzdfmztwq2lkmfrggzdfmztwq2lkmfrq"
    (tmp_path / "config" / "p2p" / "known_peers").write_text(f"workshop {peer_id}\n")
    assert resolve_peers(["workshop", peer_id]) == (peer_id, peer_id)
    assert resolve_peers([]) == ()


def test_wrong_input_as_json() -> None:
    result = invoke("expose", "0", "--json")
    value = json.loads(result.stdout)
    assert (value["event"], value["code"]) == ("error", "P2P-1102")
    assert result.stderr == ""
    assert result.exit_code == 2


def test_json_stays_out_of_the_payload() -> None:
    result = invoke("connect", "T", "--stdio", "--listen", "80", "--json")
    assert result.stdout == ""
    assert json.loads(result.stderr)["code"] == "P2P-1113"


def test_verbose_adds_a_traceback() -> None:
    result = invoke("expose", "0", "--verbose")
    assert "Traceback" in result.stderr
    assert "Error P2P-1102" in result.stderr


def test_status_of_an_idle_machine() -> None:
    assert "No p2p process" in invoke("status").stdout
    assert json.loads(invoke("status", "--json").stdout) == {"processes": []}


class TestIdentity:
    def test_show_makes_the_key_once(self, tmp_path: Path) -> None:
        key = tmp_path / "key"
        first = invoke("identity", "show", "--identity", str(key)).stdout
        assert len(first.strip()) == 52
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert invoke("identity", "show", "--identity", str(key)).stdout == first
        value = json.loads(invoke("identity", "show", "--identity", str(key), "--json").stdout)
        assert value == {"peer_id": first.strip(), "path": str(key)}

    def test_path_does_not_make_the_key(self, tmp_path: Path) -> None:
        result = invoke("identity", "path", "--identity", str(tmp_path / "key"))
        assert result.stdout.strip() == str(tmp_path / "key")
        assert not (tmp_path / "key").exists()

    def test_path_from_the_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("P2P_IDENTITY", str(tmp_path / "mine"))
        assert invoke("identity", "path").stdout.strip() == str(tmp_path / "mine")

    def test_new_keeps_the_old_key(self, tmp_path: Path) -> None:
        key = tmp_path / "key"
        first = invoke("identity", "show", "--identity", str(key)).stdout
        refused = CliRunner().invoke(app, ["identity", "new", "--identity", str(key)], input="n\n")
        assert refused.exit_code == 1
        assert invoke("identity", "show", "--identity", str(key)).stdout == first
        renewed = invoke("identity", "new", "--identity", str(key), "--yes")
        assert renewed.exit_code == 0
        assert renewed.stdout != first
        assert len(list(tmp_path.glob("key.*"))) == 1


class TestReporting:
    def test_finds_our_error_in_nested_groups(self) -> None:
        error = RelayError("refused")
        group = ExceptionGroup("", [ValueError("x"), ExceptionGroup("", [error, IdentityError("later")])])
        assert find_error(group) is error

    def test_group_without_our_error(self) -> None:
        error = find_error(ExceptionGroup("", [ValueError("x")]))
        assert isinstance(error, InternalError)
        assert error.detail == "ValueError: x"
        assert error.exit_code == 70

    def test_interrupt(self) -> None:
        with pytest.raises(typer.Exit) as caught, reporting():
            raise KeyboardInterrupt
        assert caught.value.exit_code == 130

    def test_exits_pass(self) -> None:
        with pytest.raises(typer.Exit) as caught, reporting():
            raise typer.Exit(5)
        assert caught.value.exit_code == 5

    def test_reader_that_went_away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        silenced = []
        monkeypatch.setattr("p2p.cli.problems.silence_stdout", lambda: silenced.append(True))
        with pytest.raises(typer.Exit) as caught, reporting():
            raise BrokenPipeError
        assert caught.value.exit_code == 0
        assert silenced

    def test_exit_code_is_the_error_class(self) -> None:
        with pytest.raises(typer.Exit) as caught, reporting():
            raise ConfigError("x")
        assert caught.value.exit_code == 2


def test_help_imports_nothing_heavy() -> None:
    script = "import sys, p2p.cli.app; print('\\n'.join(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"aiohttp", "aioquic", "asyncio", "cryptography", "msgspec", "prometheus_client", "qh3", "rich", "ssl"}
    assert heavy.isdisjoint(modules)


def test_interrupt_while_importing_is_no_traceback() -> None:
    script = (
        "import os, signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'typer':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from p2p.cli.main import run\n"
        "run()\n"
    )
    result = subprocess.run([sys.executable, "-c", script, "--version"], capture_output=True, text=True, check=False)
    assert result.stderr == ""
    assert result.returncode == -signal.SIGINT


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_full_disk_is_no_traceback() -> None:
    script = "from p2p.cli.main import run; run()"
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            [sys.executable, "-c", script, "identity", "show", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.stderr.startswith("Error P2P-0000: OSError: [Errno 28] No space left on device")
    assert "Traceback" not in result.stderr
    assert result.returncode == 70


def test_closed_pipe_is_no_traceback() -> None:
    command = f"{sys.executable} -c 'from p2p.cli.main import run; run()' --help | head -1"
    result = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
    assert result.stderr == ""
