from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from p2p.errors import DecodeError
from p2p.proto.bench import (
    REPORT_BYTES,
    BenchMode,
    BenchReport,
    BenchRequest,
    decode_datagram_untrusted,
    decode_reports_untrusted,
    decode_request_untrusted,
    encode_datagram,
    encode_report,
    encode_request,
)
from p2p.proto.proxy import ProxyHandshake

requests = st.builds(BenchRequest, st.sampled_from(BenchMode), st.integers(1, 65535))
reports = st.builds(BenchReport, st.integers(0, 10**12).map(lambda us: us / 1_000_000), st.integers(0, 2**64 - 1))


@given(requests)
def test_a_request_for_a_measurement_survives(request: BenchRequest) -> None:
    assert decode_request_untrusted(encode_request(request)) == request


@given(st.binary(max_size=8))
def test_any_bytes_are_a_request_or_an_error(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        assert encode_request(decode_request_untrusted(data)) == data


@given(st.integers(0, 2**32 - 1), st.integers(4, 1500))
def test_a_datagram_of_a_measurement_survives(number: int, size_bytes: int) -> None:
    data = encode_datagram(number, size_bytes)
    assert len(data) == size_bytes
    assert decode_datagram_untrusted(data) == number


@given(st.lists(reports, max_size=5), st.binary(max_size=REPORT_BYTES - 1), st.integers(1, 50))
def test_the_last_whole_report_is_found_in_pieces_of_any_size(sent: list[BenchReport], tail: bytes, step: int) -> None:
    data = b"".join(encode_report(report) for report in sent) + tail
    last, rest = None, b""
    for start in range(0, len(data), step):
        report, rest = decode_reports_untrusted(rest + data[start : start + step])
        last = report or last
    assert last == (sent[-1] if sent else None)
    assert rest == tail


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_bytes_are_a_wish_or_a_refusal_whatever_pieces_they_come_in(data: bytes, step: int) -> None:
    def outcome(step: int) -> object:
        handshake = ProxyHandshake()
        for start in range(0, len(data), step):
            try:
                if (destination := handshake.receive(data[start : start + step])) is not None:
                    return destination
            except DecodeError as error:
                return error.detail
        return None

    assert outcome(step) == outcome(max(1, len(data)))
