from __future__ import annotations

import itertools

import pytest

from p2p.errors import LocalProtocolError
from p2p.proto.tunnel.codes import GoodbyeCode, RefusalCode
from p2p.proto.tunnel.control import (
    Accepted,
    AuthReceived,
    ControlBroken,
    ControlChannel,
    ControlEvent,
    CreditGranted,
    DrainRequested,
    GoodbyeReceived,
    HelloReceived,
    PeerDrained,
    Refused,
    Role,
    RttMeasured,
    State,
)
from p2p.proto.tunnel.frames import (
    AuthRequest,
    AuthResult,
    Credit,
    Drain,
    Drained,
    End,
    Frame,
    Goodbye,
    Hello,
    Ping,
    Pong,
    decode_frame_untrusted,
    encode_frame,
    frame_length_untrusted,
)

HELLO = Hello((1,), "test")
REQUEST = AuthRequest(b"proof", "web", b"t" * 32)
EVERY_FRAME: list[Frame] = [
    HELLO,
    REQUEST,
    AuthResult(0),
    Credit(4, 100_000),
    End(4, 200_000),
    Ping(1),
    Pong(1),
    Drain(),
    Drained(),
    Goodbye(0),
]


def events(channel: ControlChannel) -> list[ControlEvent]:
    return list(iter(channel.next_event, None))


def frames(data: bytes) -> list[Frame]:
    found: list[Frame] = []
    while data:
        length = frame_length_untrusted(data)
        assert length is not None
        frame = decode_frame_untrusted(data[:length])
        assert frame is not None
        found.append(frame)
        data = data[length:]
    return found


def in_state(role: Role, state: State) -> ControlChannel:
    """Bring a fresh channel into a state by the shortest way, its output thrown away."""
    channel = ControlChannel(role, HELLO)
    if role is Role.DIALER:
        channel.authenticate(REQUEST)
    path: dict[State, list[Frame]] = {
        State.AWAIT_HELLO: [],
        State.AWAIT_AUTH: [HELLO],
        State.AWAIT_RESULT: [HELLO],
        State.JUDGING: [HELLO, REQUEST],
        State.OPEN: [HELLO, AuthResult(0)] if role is Role.DIALER else [HELLO, REQUEST],
    }
    for frame in path[state]:
        channel.receive(encode_frame(frame), 0.0)
    events(channel)
    if role is Role.EXPOSER and state is State.OPEN:
        channel.accept()
    channel.data_to_send()
    assert channel.state is state
    return channel


def test_a_dialer_is_let_in() -> None:
    dialer, exposer = ControlChannel(Role.DIALER, HELLO), ControlChannel(Role.EXPOSER, HELLO)
    dialer.authenticate(REQUEST)
    exposer.receive(dialer.data_to_send(), 0.0)
    assert events(exposer) == [HelloReceived(HELLO, 1), AuthReceived(REQUEST)]
    assert exposer.data_to_send() == b"", "an exposer tells a stranger nothing"
    exposer.accept()
    dialer.receive(exposer.data_to_send(), 0.0)
    assert events(dialer) == [HelloReceived(HELLO, 1), Accepted()]
    assert dialer.state is exposer.state is State.OPEN


def test_a_dialer_is_refused() -> None:
    exposer = in_state(Role.EXPOSER, State.JUDGING)
    exposer.refuse(RefusalCode.TICKET_EXPIRED, "since yesterday")
    dialer = in_state(Role.DIALER, State.AWAIT_HELLO)
    dialer.receive(exposer.data_to_send(), 0.0)
    assert events(dialer)[-1] == Refused(RefusalCode.TICKET_EXPIRED, "since yesterday")
    assert dialer.state is exposer.state is State.CLOSED


ALLOWED = {
    (Role.EXPOSER, State.AWAIT_HELLO): {Hello},
    (Role.EXPOSER, State.AWAIT_AUTH): {AuthRequest},
    (Role.EXPOSER, State.JUDGING): set(),
    (Role.EXPOSER, State.OPEN): {Credit, End, Ping, Pong, Drain, Drained, Goodbye},
    (Role.DIALER, State.AWAIT_HELLO): {Hello},
    (Role.DIALER, State.AWAIT_RESULT): {AuthResult},
    (Role.DIALER, State.OPEN): {Credit, End, Ping, Pong, Drain, Drained, Goodbye},
}


@pytest.mark.parametrize(
    ("role", "state", "frame"),
    [(role, state, frame) for (role, state), frame in itertools.product(ALLOWED, EVERY_FRAME)],
    ids=lambda value: getattr(value, "name", type(value).__name__),
)
def test_every_frame_in_every_state(role: Role, state: State, frame: Frame) -> None:
    channel = in_state(role, state)
    channel.receive(encode_frame(frame), 0.0)
    broken = [event for event in events(channel) if isinstance(event, ControlBroken)]
    if type(frame) in ALLOWED[role, state]:
        assert not broken
    else:
        assert broken
        assert channel.state is State.CLOSED
        assert channel.next_event() is None


def test_optional_frames_are_skipped_only_once_open() -> None:
    channel = in_state(Role.DIALER, State.OPEN)
    channel.receive(b"\x81\x00\x01x" + encode_frame(Drain()), 0.0)
    assert events(channel) == [DrainRequested()]
    channel = in_state(Role.EXPOSER, State.AWAIT_AUTH)
    channel.receive(b"\x81\x00\x01x", 0.0)
    assert isinstance(channel.next_event(), ControlBroken)


def test_events_behind_a_verdict_are_heard_in_its_light() -> None:
    exposer = in_state(Role.EXPOSER, State.AWAIT_AUTH)
    exposer.receive(encode_frame(REQUEST) + encode_frame(Ping(7)), 0.0)
    assert isinstance(exposer.next_event(), AuthReceived)
    exposer.accept()
    assert exposer.next_event() is None
    assert frames(exposer.data_to_send())[-1] == Pong(7)


def test_no_common_version_is_told_to_the_dialer() -> None:
    exposer = ControlChannel(Role.EXPOSER, HELLO)
    exposer.receive(encode_frame(Hello((2, 3))), 0.0)
    event = exposer.next_event()
    assert isinstance(event, ControlBroken)
    assert event.error.code == "P2P-7211"
    hello, result = frames(exposer.data_to_send())
    assert hello == HELLO
    assert isinstance(result, AuthResult)
    assert result.code == RefusalCode.VERSION_UNSUPPORTED


def test_the_highest_common_version_is_used() -> None:
    channel = ControlChannel(Role.EXPOSER, Hello((1, 2, 3)))
    channel.receive(encode_frame(Hello((4, 2, 1))), 0.0)
    event = channel.next_event()
    assert isinstance(event, HelloReceived)
    assert event.version == 2


def test_round_trip_is_measured_by_its_own_id() -> None:
    channel = in_state(Role.DIALER, State.OPEN)
    channel.ping(10.0)
    channel.ping(11.0)
    assert frames(channel.data_to_send()) == [Ping(0), Ping(1)]
    channel.receive(encode_frame(Pong(1)), 11.5)
    assert events(channel) == [RttMeasured(0.5)]
    channel.receive(encode_frame(Pong(1)) + encode_frame(Pong(99)), 12.0)
    assert events(channel) == []


def test_only_the_last_ping_is_answered() -> None:
    channel = in_state(Role.EXPOSER, State.OPEN)
    channel.receive(b"".join(encode_frame(Ping(number)) for number in range(1000)), 0.0)
    assert events(channel) == []
    assert frames(channel.data_to_send()) == [Pong(999)]


def test_unanswered_pings_are_forgotten() -> None:
    channel = in_state(Role.DIALER, State.OPEN)
    for number in range(20):
        channel.ping(float(number))
    channel.receive(encode_frame(Pong(0)), 100.0)
    assert events(channel) == []


def test_a_later_grant_replaces_an_unsent_one() -> None:
    channel = in_state(Role.EXPOSER, State.OPEN)
    channel.grant_credit(4, 1)
    channel.grant_credit(8, 2)
    channel.grant_credit(4, 3)
    assert frames(channel.data_to_send()) == [Credit(4, 3), Credit(8, 2)]
    assert channel.data_to_send() == b""


def test_credit_and_drain_are_heard() -> None:
    channel = in_state(Role.DIALER, State.OPEN)
    channel.receive(b"".join(map(encode_frame, (Credit(4, 9), Drain(), Drained(), Goodbye(2, "x"), Ping(1)))), 0.0)
    assert events(channel) == [CreditGranted(4, 9), DrainRequested(), PeerDrained(), GoodbyeReceived(2, "x")]
    assert channel.state is State.CLOSED


def test_the_stream_must_not_end_without_a_goodbye() -> None:
    channel = in_state(Role.DIALER, State.OPEN)
    channel.receive(encode_frame(Drain()) + b"\x05", 0.0)
    channel.receive_end()
    assert isinstance(channel.next_event(), DrainRequested)
    assert isinstance(channel.next_event(), ControlBroken)
    channel = in_state(Role.DIALER, State.OPEN)
    channel.receive(encode_frame(Goodbye(0)), 0.0)
    channel.receive_end()
    assert events(channel) == [GoodbyeReceived(0, "")]


def test_goodbye_is_sent_and_nothing_is_heard_after_it() -> None:
    channel = in_state(Role.EXPOSER, State.OPEN)
    channel.drain()
    channel.report_drained()
    channel.goodbye(GoodbyeCode.SHUTTING_DOWN, "restart")
    assert frames(channel.data_to_send()) == [Drain(), Drained(), Goodbye(2, "restart")]
    channel.receive(encode_frame(Drain()), 0.0)
    assert events(channel) == []


@pytest.mark.parametrize("role", list(Role))
def test_commands_out_of_order_are_bugs_of_the_caller(role: Role) -> None:
    channel = ControlChannel(role, HELLO)
    for command in (channel.accept, channel.drain, channel.report_drained):
        with pytest.raises(LocalProtocolError):
            command()
    with pytest.raises(LocalProtocolError):
        channel.ping(0.0)
    with pytest.raises(LocalProtocolError):
        channel.goodbye(0)
    if role is Role.DIALER:
        channel.authenticate(REQUEST)
    with pytest.raises(LocalProtocolError):
        channel.authenticate(REQUEST)
