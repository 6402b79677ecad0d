"""Log set-up."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p.errors import ConfigError
from p2p.observe import log


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {
        name: logging.getLogger(name).level for name in ("p2p", "relay", "rendezvous", "quic", "aiohttp", "asyncio")
    }
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, value in levels.items():
        logging.getLogger(name).setLevel(value)


def test_quiet_shows_warnings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    log.set_up(verbose=False)
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    logging.getLogger("p2p.x").info("detail")
    logging.getLogger("p2p.x").warning("trouble")
    logging.getLogger("quic").warning("closed")
    assert "trouble" in stream.getvalue()
    assert "detail" not in stream.getvalue()
    assert "closed" not in stream.getvalue()


def test_verbose_shows_details_and_follows_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    log.set_up(verbose=True)
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    logging.getLogger("relay.x").debug("detail %d", 7)
    assert "DEBUG relay.x: detail 7" in stream.getvalue()


def test_log_file_gets_details_while_stderr_stays_quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.set_up(verbose=False, log_file=tmp_path / "log")
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    logging.getLogger("p2p.x").debug("detail")
    assert "detail" in (tmp_path / "log").read_text()
    assert stream.getvalue() == ""


def test_log_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--log-file") as caught:
        log.set_up(verbose=False, log_file=tmp_path / "missing" / "log")
    assert caught.value.error_code is log.CODE_LOG_FILE
