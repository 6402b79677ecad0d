"""Fuzz what visitors say before it is known what they want: heads of HTTP/2, CONNECT, request lines, cookies.

Run: ``python tests/fuzz/fuzz_gateway.py -max_total_time=60``
"""

from __future__ import annotations

import contextlib
import sys

import atheris

with atheris.instrument_imports():
    from gateway.core.connect_head import connect_head_untrusted
    from gateway.core.h2_head import fields_of_request, request_head_untrusted
    from gateway.core.login import Logins, Pending
    from gateway.core.names import host_of_header, may_be_host
    from gateway.core.paths import climbs, path_of, plain
    from gateway.core.seals import SECRET_BYTES, Seals
    from gateway.core.targets import origin_form_untrusted
    from p2p.errors import DecodeError, IntegrityError
    from p2p.proto.login import OidcLogin

SEALS = Seals(bytes(SECRET_BYTES), bytes)
LOGINS = Logins(SEALS, bytes)
LOGIN = OidcLogin(authorize="https://auth.example/", client="x")


def test_one_input(data: bytes) -> None:
    """Feed one input to every reader; anything but a value or the error that is documented is a finding."""
    fields = [tuple(line.split(b"=", 1)) for line in data.split(b"\n") if b"=" in line]
    with contextlib.suppress(DecodeError):
        head = request_head_untrusted(fields)  # type: ignore[arg-type]
        written = b"".join(name + value for name, value in fields_of_request(head))
        assert b"\r" not in written
        assert b"\0" not in written
    with contextlib.suppress(DecodeError):
        found = connect_head_untrusted(data)
        assert found is None or data[:8] == b"CONNECT "
    text = data.decode("utf-8", "surrogateescape")
    target = origin_form_untrusted(text, "blog.example")
    if target is not None:
        path = path_of(target)
        assert path.startswith("/")
        climbs(plain(path))
    assert not may_be_host(host_of_header(text)) or "/" not in host_of_header(text)
    LOGINS.who(LOGIN, "blog.example", [("cookie", text)], 0.0, is_secure=False)
    with contextlib.suppress(IntegrityError):
        SEALS.open(text, Pending)
        raise AssertionError("a seal was made without the secret")


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
