"""Fuzz the decoders of signalling messages: ``python tests/fuzz/fuzz_signalling.py [corpus] [-max_total_time=60]``."""

import contextlib
import sys

import atheris

with atheris.instrument_imports():
    from p2p.errors import DecodeError
    from p2p.proto.signalling import early_login
    from p2p.proto.signalling.messages import decode_client_untrusted, decode_server_untrusted, encode

_PEER = b"a" * 52
_SAMPLES = (
    b'{"type":"challenge","version":1,"nonce":"' + b"A" * 43 + b'="}',
    b'{"type":"login","version":1,"peer":"' + _PEER + b'","signature":"' + b"A" * 86 + b'==","host":"rv","token":"t"}',
    b'{"type":"welcome","observed_address":["192.0.2.1",5],"now_wall":1.5,"stun":[["2001:db8::1",3478]],'
    b'"turn":[{"url":"turn:rv","username":"u","password":"p","expires_wall":9,"realm":"r","nonce":"n"}],"id":1}',
    b'{"type":"resolve","id":1,"peer":"' + _PEER + b'","service":"web"}',
    b'{"type":"resolved","id":1,"online":true,"published":false}',
    b'{"type":"signal","to":"' + _PEER + b'","from":"' + _PEER + b'","body":"AAAA","id":1}',
    b'{"type":"error","code":"peer_offline","detail":"d","id":1,"to":"' + _PEER + b'"}',
    b'{"type":"draining","within_s":1e2}',
    b'{"type":"bye","code":"leaving"}',
)


def test_one_input(data: bytes) -> None:
    """Decode the input bare, and as changes to a sound message: the decoder is native, so coverage does not guide."""
    provider = atheris.FuzzedDataProvider(data)
    changed = bytearray(_SAMPLES[provider.ConsumeIntInRange(0, len(_SAMPLES) - 1)])
    while provider.remaining_bytes():
        start = provider.ConsumeIntInRange(0, len(changed))
        removed = provider.ConsumeIntInRange(0, 4)
        changed[start : start + removed] = provider.ConsumeBytes(provider.ConsumeIntInRange(0, 8))
    with contextlib.suppress(DecodeError):
        early_login.from_header_untrusted("P2P " + data.decode(errors="replace"))
    for candidate in (data, bytes(changed)):
        for decode in (decode_client_untrusted, decode_server_untrusted):
            try:
                message = decode(candidate)
            except DecodeError:
                continue
            if message is not None:
                assert decode(encode(message)) == message


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
