"""The audit log: a file that is never waited for."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from gateway import audit
from gateway.audit import AuditLog
from gateway.core.audit import Record, line_of, path_of, time_of
from p2p.errors import ConfigError


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_path_has_no_query_and_no_end():
    assert path_of("/a%2Fb?token=secret") == "/a%2Fb"
    assert len(path_of("/" * 9000)) == 2048


def test_times_are_in_utc():
    assert time_of(1_700_000_000.1234) == "2023-11-14T22:13:20.123Z"


async def test_records_are_lines_for_the_owner_only(tmp_path):
    path = tmp_path / "audit"
    async with AuditLog(path) as log:
        log.write(Record(kind="http", path='/"\n', status=200))
        log.write(Record(kind="tcp", problem="access"))
    assert lines(path) == [{"kind": "http", "path": '/"\n', "status": 200}, {"kind": "tcp", "problem": "access"}]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_file_that_was_moved_away_is_opened_anew(tmp_path):
    path = tmp_path / "audit"
    async with AuditLog(path) as log:
        log.write(Record(kind="http"))
        while not path.read_bytes():
            time.sleep(0.01)
        path.rename(tmp_path / "audit.1")
        log.write(Record(kind="tls"))
        log.reopen()
        while not path.exists():
            time.sleep(0.01)
        log.write(Record(kind="tcp"))
    assert [line["kind"] for line in lines(tmp_path / "audit.1")] == ["http", "tls"]
    assert [line["kind"] for line in lines(path)] == ["tcp"]


async def test_a_disk_that_hangs_costs_lines_and_no_time(tmp_path, monkeypatch):
    monkeypatch.setattr(audit, "WAITING_MAX_BYTES", 200_000)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    record = Record(kind="http", path="/" * 1000)
    async with AuditLog(path) as log:
        began_at = time.monotonic()
        for _ in range(1000):
            log.write(record)
        assert time.monotonic() - began_at < 1
        assert 600 < log.dropped < 1000
        dropped = log.dropped
        got = b""
        os.set_blocking(reader, True)
        while got.count(b"\n") < 1000 - dropped:
            got += os.read(reader, 1 << 16)
        log.write(Record(kind="tcp"))
        while b"dropped" not in got:
            got += os.read(reader, 1 << 16)
    os.close(reader)
    assert f'{{"dropped":{dropped}}}'.encode() in got.splitlines()


def test_a_file_that_cannot_be_written_is_an_error_at_once(tmp_path):
    with pytest.raises(ConfigError, match="audit"):
        AuditLog(tmp_path / "nowhere" / "audit")


def test_text_that_cannot_be_written_is_marked():
    record = Record(kind="http", host="b\udcffog", who="\ud800ann", status=200)
    assert json.loads(line_of(record)) == {"kind": "http", "host": "b?og", "who": "?ann", "status": 200}
    assert record.who == "\ud800ann"
