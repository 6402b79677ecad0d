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
{top} daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""
_NGINX_STREAM = (
    "{top} daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;\nevents {{}}\nstream {{ {site} }}\n"
)
_STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


def shipped(name: str, *changes: tuple[str, str]) -> str:
    """A file of ours with this machine's addresses; each must be in it."""
    text = (DEPLOY / name).read_text()
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    return text


@contextmanager
def run_nginx(site: str, port: int, folder: Path, *, reloads: bool = False) -> Iterator[None]:
    """Run nginx with this site, which listens on this port, until the block ends; one that reloads has a master."""
    (folder / "site.conf").write_text(site)
    top = "user root;" if reloads else "master_process off;"
    (folder / "nginx.conf").write_text(_NGINX_TOP.format(folder=folder, top=top))
    with _running(["nginx", "-c", f"{folder}/nginx.conf", "-p", str(folder)], port, folder):
        yield


@contextmanager
def run_nginx_stream(site: str, port: int, folder: Path, host: str) -> Iterator[None]:
    """Run nginx with these TCP servers, of which one listens on this port, until the block ends."""
    top = "master_process off;"
    if _STREAM_MODULE.exists():
        top += f" load_module {_STREAM_MODULE};"
    folder.mkdir()
    (folder / "nginx.conf").write_text(_NGINX_STREAM.format(folder=folder, top=top, site=site))
    with _running(["nginx", "-c", f"{folder}/nginx.conf", "-p", str(folder)], port, folder, host):
        yield


@contextmanager
def run_haproxy(config: str, port: int, folder: Path, *more: Path) -> Iterator[None]:
    """Run HAProxy with this configuration, which listens on this port, and more files, until the block ends."""
    (folder / "haproxy.cfg").write_text(config)
    files = [word for path in (folder / "haproxy.cfg", *more) for word in ("-f", str(path))]
    with _running(["haproxy", "-db", *files], port, folder):
        yield


@contextmanager
def _running(command: list[str], port: int, folder: Path, host: str = "127.0.0.1") -> Iterator[None]:
    if (program := shutil.which(command[0]) or shutil.which(f"/usr/sbin/{command[0]}")) is None:
        pytest.skip(f"{command[0]} is not installed")
    log_file = folder / "front.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen([program, *command[1:]], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 10
        while not _is_listening(host, port):
            if 'unknown directive "stream"' in log_file.read_text():
                pytest.skip("nginx has no module for TCP")
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(log_file.read_text()[-2000:])
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _is_listening(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 0.2).close()
    except OSError:
        return False
    return True
