import pytest

from p2p.errors import ConfigError
from p2p.proto.signalling.codes import SignallingCode
from p2p.signalling.errors import error_of_wire
from p2p.signalling.link import parse_rendezvous_url


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (SignallingCode.PEER_OFFLINE, "P2P-3301"),
        (SignallingCode.TAKEN_OVER, "P2P-3204"),
        (SignallingCode.TOKEN_REQUIRED, "P2P-3201"),
        (SignallingCode.TOKEN_REFUSED, "P2P-3202"),
        (SignallingCode.BAD_SIGNATURE, "P2P-3203"),
        (SignallingCode.RATE_LIMITED, "P2P-3206"),
        (SignallingCode.INTERNAL, "P2P-3208"),
        ("of_the_future", "P2P-3208"),
    ],
)
def test_each_wire_code_has_a_stable_error(wire: str, code: str) -> None:
    error = error_of_wire(wire, "why")
    assert error.code == code
    assert wire in str(error)
    assert "why" in str(error)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("wss://rv.example.com", "wss://rv.example.com/v1/signal"),
        ("https://rv.example.com/", "wss://rv.example.com/v1/signal"),
        ("ws://127.0.0.1:8470", "ws://127.0.0.1:8470/v1/signal"),
        ("http://[::1]:8470", "ws://[::1]:8470/v1/signal"),
        ("wss://rv.example.com:8443/team/signal", "wss://rv.example.com:8443/team/signal"),
        (" WSS://RV.example.com\n", "wss://rv.example.com/v1/signal"),
    ],
)
def test_urls_are_completed(text: str, url: str) -> None:
    assert str(parse_rendezvous_url(text)) == url


@pytest.mark.parametrize("text", ["", "rv.example.com", "ftp://rv.example.com", "wss://", "wss://u:p@rv", "wss://rv:x"])
def test_other_urls_are_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_rendezvous_url(text)
    assert caught.value.code == "P2P-1401"
