from __future__ import annotations

import pytest

from p2p.errors import DecodeError
from p2p.proto.tunnel.fields import encode_fields
from p2p.proto.tunnel.frames import (
    FRAME_MAX_PAYLOAD_BYTES,
    AuthRequest,
    AuthResult,
    Credit,
    Drain,
    Drained,
    End,
    Frame,
    Goodbye,
    Hello,
    OfferedService,
    Ping,
    Pong,
    decode_frame_untrusted,
    encode_frame,
    frame_length_untrusted,
)

VECTORS: list[tuple[Frame, str]] = [
    (Hello((1,), "0.1", frozenset({"tcp"})), "01000e0101010203302e31030403746370"),
    (AuthRequest(b"\x01\x02", "web", b"\x03"), "02000c010201020203776562030103"),
    (AuthRequest(b"\x01", ""), "0200050101010200"),
    (AuthResult(0), "03000100"),
    (AuthResult(4, "no"), "030003046e6f"),
    (Credit(8, 1 << 20), "0400050880100000"),
    (Ping(1), "05000101"),
    (Pong(1), "06000101"),
    (Drain(), "070000"),
    (Drained(), "080000"),
    (Goodbye(2, "bye"), "09000402627965"),
    (End(4, 70_000), "8000050480011170"),
]


@pytest.mark.parametrize(("frame", "encoded"), VECTORS)
def test_wire_format(frame: Frame, encoded: str) -> None:
    assert encode_frame(frame).hex() == encoded
    assert decode_frame_untrusted(bytes.fromhex(encoded)) == frame
    assert frame_length_untrusted(bytes.fromhex(encoded)) == len(encoded) // 2


def test_unknown_hello_fields_are_ignored() -> None:
    payload = encode_fields([(1, b"\x01"), (99, b"new")])
    assert decode_frame_untrusted(bytes((1, 0, len(payload))) + payload) == Hello((1,))


def test_a_payload_may_grow() -> None:
    assert decode_frame_untrusted(bytes.fromhex("05000301ffff")) == Ping(1)
    assert decode_frame_untrusted(bytes.fromhex("070001ff")) == Drain()


def test_optional_frames_of_later_versions_are_skipped() -> None:
    assert decode_frame_untrusted(b"\x81\x00\x01x") is None


@pytest.mark.parametrize(
    "data",
    [
        b"\x7f\x00\x00",  # unknown and not optional
        b"\x05\x00\x00",  # no id
        b"\x05\x00\x02\x01",  # cut short
        b"\x05\x00\x01\x01\x01",  # bytes behind it
        b"\x01\x00\x00",  # no version
        b"\x02\x00\x00",  # no proof
        b"\x03\x00\x02\x01\xff",  # not UTF-8
        b"\x01\x00\x08\x01\x01\x01\x03\x03\x05ab",  # feature cut short
    ],
)
def test_broken_frames(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_frame_untrusted(data)


def test_a_frame_that_would_make_us_hold_too_much_is_refused_by_its_header() -> None:
    with pytest.raises(DecodeError):
        frame_length_untrusted(b"\x01" + (FRAME_MAX_PAYLOAD_BYTES + 1).to_bytes(2, "big"))


def test_the_length_is_unknown_before_the_header_is_there() -> None:
    assert frame_length_untrusted(b"\x01\x00") is None


def test_too_many_versions_or_features_are_refused() -> None:
    for hello in (Hello(tuple(range(1, 18))), Hello((1,), features=frozenset(str(n) for n in range(65)))):
        with pytest.raises(DecodeError):
            decode_frame_untrusted(encode_frame(hello))


def test_a_request_does_not_show_its_proofs() -> None:
    assert "secret" not in repr(AuthRequest(b"secret", "web", b"secret"))


def test_services_are_told_all_or_none() -> None:
    few = tuple(OfferedService(f"web-{number}", number % 3) for number in range(200))
    assert decode_frame_untrusted(encode_frame(Hello((1,), services=few))) == Hello((1,), services=few)
    many = tuple(OfferedService(f"service-{number}") for number in range(300))
    assert decode_frame_untrusted(encode_frame(Hello((1,), services=many))) == Hello((1,))


def test_wanted_services_are_told_all_or_none() -> None:
    few = Hello((1,), features=frozenset({"reverse"}), wanted=("", "ssh", "web"))
    assert decode_frame_untrusted(encode_frame(few)) == few
    assert decode_frame_untrusted(encode_frame(Hello((1,), wanted=tuple(map(str, range(2000)))))) == Hello((1,))


@pytest.mark.parametrize("services", [b"\1", b"\1\5web", b"\1\3web\1"])
def test_services_that_are_cut_short_are_refused(services: bytes) -> None:
    payload = encode_fields(((1, b"\1"), (4, services)))
    with pytest.raises(DecodeError):
        decode_frame_untrusted(bytes((1,)) + len(payload).to_bytes(2, "big") + payload)
