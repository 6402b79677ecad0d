"""Limits on bandwidth as people type them."""

from __future__ import annotations

import pytest

from p2p.errors import ConfigError
from p2p.parse_limits import parse_limits


@pytest.mark.parametrize(
    ("texts", "limits"),
    [
        (["8mbit"], {"": (1e6, 1e6)}),
        (["web=8kbit/16kbit", "-/1gbit"], {"web": (1e3, 2e3), "": (None, 1.25e8)}),
        (["game=0.5Mbit/-"], {"game": (62_500, None)}),
        ([], {}),
    ],
)
def test_limits(texts: list[str], limits: dict[str, tuple[float | None, float | None]]) -> None:
    assert parse_limits(texts, {"web", "game"}) == limits


@pytest.mark.parametrize("text", ["10", "10MB", "0mbit", "web=", "/1mbit", "ssh=1mbit", "1mbit/1mbit/1mbit"])
def test_wrong_limits(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_limits([text], {"web"})
    assert caught.value.code == "P2P-1108"


def test_two_limits_for_the_same() -> None:
    with pytest.raises(ConfigError, match="two limits for 'web'"):
        parse_limits(["web=1mbit", "web=2mbit"], None)
