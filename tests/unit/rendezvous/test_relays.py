"""Which relays clients are told of, by what relays report."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from p2p.defaults import RELAY_REPORT_LASTS_S, RELAY_REPORT_SKEW_S, RELAYS_REPORTING
from p2p.errors import DecodeError, IntegrityError
from p2p.proto.signalling.relay_report import RelayReport, open_untrusted, seal
from rendezvous.core.relays import SERVERS_MAX, RelayBook

SECRET = "a secret of sixteen characters"
COTURN = "turn:192.0.2.9:3478?transport=udp"


def report(name: int = 1, at_wall: float = 1000.0, **fields: Any) -> RelayReport:
    urls = (f"turn:192.0.2.{name}:3478?transport=udp", f"turns:r{name}.example.com:443?transport=tcp")
    values: dict[str, Any] = {"urls": urls, "addresses_max": 100, "region": f"region-{name}"}
    return RelayReport(reporter=f"{name:016x}", at_wall=at_wall, **(values | fields))


def names(book: RelayBook, *configured: str, now: float = 0.0, region: str = "") -> list[str]:
    return [place.url.split(":")[1] for place in book.offered(configured, now, region=region)]


def test_a_report_passes_with_the_secret_and_in_its_time_only() -> None:
    sealed = seal(report(), SECRET)
    assert open_untrusted(sealed, SECRET, 1000.0 + RELAY_REPORT_SKEW_S) == report()
    for data, secret, now_wall in (
        (sealed, "another secret", 1000.0),
        (sealed[:-1] + b" ", SECRET, 1000.0),
        (sealed, SECRET, 1001.0 + RELAY_REPORT_SKEW_S),
        (sealed, SECRET, 999.0 - RELAY_REPORT_SKEW_S),
        (seal(report(at_wall=1e308), SECRET), SECRET, 1000.0),
        (b"", SECRET, 1000.0),
    ):
        with pytest.raises(IntegrityError):
            open_untrusted(data, secret, now_wall)


@pytest.mark.parametrize(
    "fields",
    [
        {"urls": ()},
        {"urls": ("turn:a",) * 9},
        {"urls": ("http://192.0.2.1",)},
        {"urls": ("turn:a\r\nb",)},
        {"addresses": -1},
        {"region": "x" * 65},
        {"reporter": "../../etc"},
    ],
)
def test_what_makes_no_sense_is_no_report_even_with_the_secret(fields: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        open_untrusted(seal(msgspec.structs.replace(report(), **fields), SECRET), SECRET, 1000.0)


@pytest.mark.parametrize(
    ("fields", "has_room"),
    [
        ({}, True),
        ({"addresses": 94}, True),
        ({"addresses": 95}, False),
        ({"addresses_max": 0}, False),
        ({"mbit_s": 900.0}, True),
        ({"mbit_s": 900.0, "mbit_s_max": 1000.0}, True),
        ({"mbit_s": 990.0, "mbit_s_max": 1000.0}, False),
        ({"is_draining": True}, False),
    ],
)
def test_a_relay_is_offered_while_it_has_room(fields: dict[str, Any], has_room: bool) -> None:
    book = RelayBook()
    book.take(report(1, **fields), 0.0)
    book.take(report(2, region="there"), 0.0)
    assert ("192.0.2.1" in names(book)) is has_room
    assert "192.0.2.2" in names(book)
    assert {place.region for place in book.offered((), 0.0)} >= {"there"}


def test_a_relay_that_falls_silent_or_is_gone_is_offered_no_more() -> None:
    book = RelayBook()
    book.take(report(1), 0.0)
    book.take(report(2), 1.0)
    assert names(book, now=RELAY_REPORT_LASTS_S - 0.1)[:2] == ["192.0.2.1", "192.0.2.2"]
    assert names(book, now=RELAY_REPORT_LASTS_S) == ["192.0.2.2", "r2.example.com"]
    book.take(report(2, 1001.0, is_gone=True), 2.0)
    assert names(book, now=3.0) == ["192.0.2.1", "r1.example.com"]
    assert names(book, now=RELAY_REPORT_LASTS_S) == []
    assert book.count(3.0) == {"ready": 1, "full": 0, "draining": 0, "silent": 0}
    assert book.count(RELAY_REPORT_LASTS_S)["silent"] == 1


def test_the_configuration_goes_first_and_stays_as_far_as_nobody_says_otherwise() -> None:
    book = RelayBook()
    assert names(book, COTURN) == ["192.0.2.9"]
    book.take(report(1), 0.0)
    own = report(1).urls[0]
    assert names(book, COTURN, own) == ["192.0.2.9", "192.0.2.1", "r1.example.com"]
    book.take(report(1, 1001.0, is_draining=True), 1.0)
    assert names(book, COTURN, own, now=1.0) == ["192.0.2.9"]
    assert names(book, COTURN, own, now=100.0) == ["192.0.2.9"]
    # Better a relay that may be full, or back, than none.
    assert names(book, own, now=1.0) == ["192.0.2.1", "r1.example.com"]
    assert names(book, own, now=100.0) == ["192.0.2.1"]


def test_own_region_first_then_room_and_of_each_relay_the_best_way() -> None:
    book = RelayBook()
    book.take(report(1, addresses=60), 0.0)
    book.take(report(2, addresses=10), 0.0)
    book.take(report(3, addresses=90), 0.0)
    assert names(book, region="region-3")[:3] == ["192.0.2.3", "192.0.2.2", "192.0.2.1"]
    for number in range(4, 30):
        book.take(report(number), 0.0)
    assert len(names(book)) == SERVERS_MAX == len(set(names(book)))
    assert not any("example.com" in name for name in names(book))


def test_workers_of_one_relay_share_its_urls() -> None:
    book = RelayBook()
    urls = report(1).urls
    book.take(report(1, addresses=100), 0.0)
    book.take(report(2, urls=urls), 0.0)
    assert names(book) == ["192.0.2.1", "r1.example.com"]


def test_old_reports_and_too_many_reporters_are_refused() -> None:
    book = RelayBook()
    book.take(report(1), 0.0)
    for at_wall in (1000.0, 999.0):
        with pytest.raises(IntegrityError):
            book.take(report(1, at_wall), 1.0)
    for number in range(2, RELAYS_REPORTING + 1):
        book.take(report(number), 5.0)
    with pytest.raises(IntegrityError):
        book.take(report(999), 5.0)
    book.take(report(999), RELAY_REPORT_LASTS_S)
    assert book.count(RELAY_REPORT_LASTS_S) == {"ready": RELAYS_REPORTING, "full": 0, "draining": 0, "silent": 0}
