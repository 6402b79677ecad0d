"""Port hints: any JSON is one or is refused, and windows hold every port that they must."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.defaults import GUESS_PORT_FIRST, GUESS_PORT_LAST, GUESS_ROUNDS
from p2p.errors import DecodeError
from p2p.proto.path.plans import HintKind, PortHint
from p2p.proto.path.plans.hint import MAX_PORTS
from p2p.proto.path.plans.predict import window

PORTS = st.integers(GUESS_PORT_FIRST, GUESS_PORT_LAST)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["kind", "round", "host", "ports", "x"]), inner),
)


@given(JSON)
def test_any_json_is_a_hint_or_is_refused(value):
    try:
        hint = PortHint.from_wire_untrusted(value)
    except DecodeError:
        return
    assert PortHint.from_wire_untrusted(hint.to_wire()) == hint


@given(
    st.sampled_from([HintKind.WINDOW, HintKind.NEXT]),
    st.integers(1, GUESS_ROUNDS),
    st.ip_addresses(v=4).map(str),
    st.lists(PORTS, min_size=1, max_size=MAX_PORTS).map(tuple),
)
def test_round_trip(kind, number, host, ports):
    hint = PortHint(kind, number, host, ports)
    assert PortHint.from_wire_untrusted(json.loads(json.dumps(hint.to_wire()))) == hint


@given(
    first=st.integers(2_000, 60_000),
    step=st.sampled_from([-3, -2, -1, 1, 2, 3]),
    others=st.lists(st.integers(0, 4), min_size=9, max_size=9),
)
def test_a_window_holds_the_ports_of_all_packets_whatever_others_took_in_between(first, step, others):
    ports, last = [], first
    for taken in others:
        last += step * (taken + 1)
        ports.append(last)
    named = window(first, ports[-1], 8, step)
    if abs(ports[-1] - first) <= 96:
        assert set(ports[:-1]) <= set(named)
    assert len(set(named)) == len(named) <= MAX_PORTS


@pytest.mark.parametrize("kind", [HintKind.WINDOW, HintKind.NEXT])
def test_longest_hint_fits_a_signal(kind):
    hint = PortHint(kind, 1, "255.255.255.255", (65_535,) * MAX_PORTS)
    assert len(json.dumps(hint.to_wire())) < 2048
