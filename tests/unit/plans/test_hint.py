"""Hints on the wire."""

from __future__ import annotations

import json

import pytest

from p2p.errors import DecodeError
from p2p.proto.path.plans import HintKind, PortHint
from p2p.proto.path.plans.hint import MAX_PORTS

GOOD = {"kind": "window", "round": 1, "host": "192.0.2.1", "ports": [2000, 2001]}


def test_round_trip():
    for kind in HintKind:
        hint = PortHint(kind, 2, "192.0.2.1", (2000, 2001))
        assert PortHint.from_wire_untrusted(json.loads(json.dumps(hint.to_wire()))) == hint


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "other"},
        {"kind": None},
        {"round": 0},
        {"round": 1000},
        {"round": True},
        {"round": 1.5},
        {"host": "2001:db8::1"},
        {"host": "example.org"},
        {"host": None},
        {"host": [1]},
        {"ports": []},
        {"ports": [1] * (MAX_PORTS + 1)},
        {"ports": [80]},
        {"ports": [70_000]},
        {"ports": ["2000"]},
        {"ports": None},
        {"kind": "range", "ports": [2000]},
        {"kind": "range", "ports": [2001, 2000]},
    ],
)
def test_nonsense(change):
    with pytest.raises(DecodeError):
        PortHint.from_wire_untrusted({**GOOD, **change})


@pytest.mark.parametrize("value", [None, 1, "window", [GOOD]])
def test_not_even_an_object(value):
    with pytest.raises(DecodeError):
        PortHint.from_wire_untrusted(value)
