"""nginx and HAProxy, with the files that we ship or a few lines of a test's own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"

_NGINX_TOP = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


def shipped(name: str, *changes: tuple[str, str]) -> str:
    """A file of ours with this machine's addresses; each must be in it."""
    text = (DEPLOY / name).read_text()
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    return text


@contextmanager
def run_nginx(site: str, port: int, folder: Path) -> Iterator[None]:
    """Run nginx with this site, which listens on this port, until the block ends."""
    (folder / "site.conf").write_text(site)
    (folder / "nginx.conf").write_text(_NGINX_TOP.format(folder=folder))
    with _running(["nginx", "-c", f"{folder}/nginx.conf", "-p", str(folder)], port, folder):
        yield


@contextmanager
def run_haproxy(config: str, port: int, folder: Path) -> Iterator[None]:
    """Run HAProxy with this configuration, which listens on this port, until the block ends."""
    (folder / "haproxy.cfg").write_text(config)
    with _running(["haproxy", "-db", "-f", f"{folder}/haproxy.cfg"], port, folder):
        yield


@contextmanager
def _running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    if (program := shutil.which(command[0]) or shutil.which(f"/usr/sbin/{command[0]}")) is None:
        pytest.skip(f"{command[0]} is not installed")
    log_file = folder / "front.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen([program, *command[1:]], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 10
        while not _is_listening(port):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(log_file.read_text()[-2000:])
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True
