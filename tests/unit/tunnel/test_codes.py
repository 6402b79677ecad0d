from __future__ import annotations

import pytest

from p2p.errors import P2PError
from p2p.proto.tunnel.codes import (
    GoodbyeCode,
    RefusalCode,
    StreamCode,
    goodbye_error,
    refusal_error,
    stream_error,
)


def test_every_code_has_a_name_of_its_own() -> None:
    refusals = [refusal_error(code, "").code for code in RefusalCode]
    goodbyes = [goodbye_error(code, "").code for code in GoodbyeCode if code > GoodbyeCode.UNSPECIFIED]
    streams = [stream_error(code).code for code in StreamCode if code >= StreamCode.FORWARD_REFUSED]
    codes = refusals + goodbyes + streams
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("error", [refusal_error(99, ""), goodbye_error(99, ""), stream_error(99)])
def test_codes_of_later_versions_have_a_text(error: P2PError) -> None:
    assert "code 99" in str(error)
    assert error.hint


def test_the_other_sides_words_are_shown() -> None:
    assert "not today" in str(refusal_error(RefusalCode.PEER_NOT_ALLOWED, "not today"))
    assert "refused the connection" in str(stream_error(StreamCode.FORWARD_REFUSED))
