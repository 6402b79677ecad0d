"""An exposed folder, an inbox and a proxy, with programs that people use, through the real commands."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import P2P, Peers, environment, meeting_point, need, run
from tests.support.website import website

CONTENT = random.Random(1).randbytes(5_000_000)


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    with meeting_point(tmp_path_factory.mktemp("meeting-point")) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "public" / "sub").mkdir(parents=True)
    (tmp_path / "public" / "big.bin").write_bytes(CONTENT)
    (tmp_path / "public" / "sub" / "<note>.txt").write_text("hello")
    (tmp_path / "inbox").mkdir()
    return tmp_path / "public"


def test_curl_goes_on_with_a_file_and_puts_one(peers: Peers, folder: Path, tmp_path: Path) -> None:
    curl = need("curl")
    inbox = tmp_path / "inbox"
    with peers.expose(str(folder), "--inbox", str(inbox)) as (ticket, _), peers.connect(ticket) as (port, _):
        url = f"http://127.0.0.1:{port}"
        half = tmp_path / "half"
        half.write_bytes(CONTENT[:2_000_000])
        result = run(curl, "-sS", "--fail", "-C", "-", "-o", half, f"{url}/big.bin")
        assert result.returncode == 0, result.stderr
        assert half.read_bytes() == CONTENT
        result = run(curl, "-sS", "--fail", "-T", half, f"{url}/put/")
        assert result.returncode == 0, result.stderr
        assert (inbox / "put" / "half").read_bytes() == CONTENT
        outside = run(
            curl, "-s", "--path-as-is", "-w", "%{http_code}", "-o", tmp_path / "out", f"{url}/../inbox/put/half"
        )
        assert outside.stdout == b"404"


def test_a_browser_shows_the_folder(peers: Peers, folder: Path, tmp_path: Path) -> None:
    chromium = need("chromium", "chromium-browser", "google-chrome")
    with peers.expose(str(folder)) as (ticket, _), peers.connect(ticket) as (port, _):
        result = run(
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            f"http://127.0.0.1:{port}/sub/",
            env=environment(tmp_path),
        )
    page = result.stdout.decode()
    assert '<a href="./%3Cnote%3E.txt">&lt;note&gt;.txt</a>' in page, result.stderr[-2000:]


def test_cp_as_a_user_types_it(peers: Peers, folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()

    def cp(*arguments: str | Path) -> tuple[int, str, str]:
        result = run(P2P, "cp", *arguments, env=environment(home))
        return result.returncode, result.stdout.decode(), result.stderr.decode()

    with peers.expose(str(folder), "--inbox", str(tmp_path / "inbox")) as (ticket, _):
        code, out, err = cp(f"{ticket}:big.bin", home)
        assert code == 0, err
        assert out.startswith("copied 1 file, 5.0 MB in ")
        assert (home / "big.bin").read_bytes() == CONTENT
        code, out, err = cp(home / "big.bin", f"{ticket}:sub/")
        assert code == 0, err
        assert (tmp_path / "inbox" / "sub" / "big.bin").read_bytes() == CONTENT
        code, out, err = cp(f"{ticket}:nothing", home)
        assert code == 8
        assert "P2P-6412" in err


def test_curl_goes_through_a_proxy_on_the_other_side(peers: Peers, folder: Path) -> None:
    curl = need("curl")
    with (
        website(CONTENT) as port,
        peers.expose(str(folder), "--proxy-to", f"127.0.0.1:{port}") as (ticket, _),
        peers.connect(ticket, "--socks", "127.0.0.1:0") as (_, command),
    ):
        socks = command.wait_for("listening", service="p2p/proxy")["address"]
        for flags in (["--socks5-hostname", socks], ["--proxytunnel", "--proxy", f"http://{socks}"]):
            result = run(curl, "-sS", "--fail", *flags, f"http://localhost:{port}/")
            assert result.returncode == 0, result.stderr
            refused = run(curl, "-sS", *flags, f"http://127.0.0.1:{port + 1}/")
            assert refused.returncode in {56, 97}, refused.stderr
