from hypothesis import given
from hypothesis import strategies as st

from p2p.address import TransportAddress
from p2p.errors import DecodeError
from p2p.proto.stun.attributes import DATA
from p2p.proto.stun.message import decode_untrusted, encode, is_stun
from p2p.proto.turn import channel_data
from p2p.proto.turn.events import AllocationState
from p2p.proto.turn.framing import StreamFramer
from tests.support.stun_strategies import messages
from tests.support.turn_server import ADDRESS, Bench

channel_numbers = st.integers(channel_data.FIRST_CHANNEL, channel_data.LAST_CHANNEL)
# Streams carry what RFC 7983 lets through: methods below 0x100.
frames = st.one_of(
    messages.map(encode).filter(is_stun),
    st.builds(channel_data.encode, channel_numbers, st.binary(max_size=64)),
)
peers = st.sampled_from([TransportAddress(f"192.0.2.{host}", port) for host in range(1, 4) for port in (1, 2)])


@given(channel_numbers, st.binary(max_size=2000), st.booleans())
def test_decoding_undoes_encoding(channel, data, padded):
    wire = channel_data.encode(channel, data, padded=padded)
    assert channel_data.decode_untrusted(wire) == (channel, data)
    assert len(wire) % 4 == 0 or not padded


@given(st.binary(max_size=32))
def test_any_bytes_are_channel_data_or_a_decode_error(data):
    try:
        channel, payload = channel_data.decode_untrusted(data)
    except DecodeError:
        return
    assert data.startswith(channel_data.encode(channel, payload))


def cut(stream, sizes):
    """Feed a stream in chunks of these sizes, over and over; return the frames and whether it ended in an error."""
    framer = StreamFramer()
    found = []
    at = turn = 0
    try:
        while at < len(stream):
            size = sizes[turn % len(sizes)]
            framer.receive_data(stream[at : at + size])
            at += size
            turn += 1
            while (frame := framer.next_frame()) is not None:
                found.append(frame)
    except DecodeError:
        return found, True
    assert framer.buffered_bytes <= 65556
    return found, False


sizes = st.lists(st.integers(1, 100), min_size=1, max_size=8)


@given(st.lists(frames, max_size=6), sizes)
def test_framing_gives_what_was_put_in(given_frames, chunk_sizes):
    stream = b"".join(frame + bytes(-len(frame) % 4) for frame in given_frames)
    assert cut(stream, chunk_sizes) == (given_frames, False)


@given(st.lists(frames, max_size=3), st.binary(max_size=64), sizes, sizes)
def test_framing_does_not_depend_on_chunking(given_frames, garbage, some_sizes, other_sizes):
    stream = b"".join(frame + bytes(-len(frame) % 4) for frame in given_frames) + garbage
    assert cut(stream, some_sizes) == cut(stream, other_sizes)


steps = st.one_of(
    st.tuples(st.just("create_permission"), peers),
    st.tuples(st.just("bind_channel"), peers),
    st.tuples(st.just("release"), peers),
    st.tuples(st.just("pass"), st.integers(0, 700)),
    st.tuples(st.just("silent"), st.booleans()),
    st.tuples(st.just("nonce"), st.text(max_size=3)),
    st.tuples(st.just("refuse"), st.sampled_from([None, None, 400, 403, 437, 486, 508])),
    st.tuples(st.just("receive"), st.one_of(frames, st.binary(max_size=40))),
    st.tuples(st.just("close"), st.none()),
)


def check_timer(client):
    """The timer that is remembered must be the one that would be found."""
    remembered = client.get_timer()
    client._timer_is_current = False
    assert client.get_timer() == remembered


@given(st.booleans(), st.lists(steps, max_size=12))
def test_allocation_lives_through_anything(reliable, script):
    """No order of commands, answers and silences raises, leaves a timer in the past, or keeps it from ending."""
    bench = Bench(reliable=reliable)
    check_timer(bench.client)
    bench.client.start(bench.now)
    check_timer(bench.client)
    for name, argument in script:
        if name in ("create_permission", "bind_channel"):
            getattr(bench.client, name)(argument, bench.now)
        elif name == "release":
            bench.client.release(argument)
        elif name == "pass":
            bench.run_until(bench.now + argument)
        elif name == "receive":
            bench.client.receive_datagram(argument, ADDRESS, bench.now)
        elif name == "close":
            bench.client.close(bench.now)
        elif name == "refuse":
            bench.server.refuse = lambda _, code=argument: code
        else:
            setattr(bench.server, name, argument)
        check_timer(bench.client)
        bench.exchange()
        check_timer(bench.client)
        wire = bench.client.send(TransportAddress("192.0.2.1", 1), b"data")
        if channel_data.is_channel_data(wire):
            assert channel_data.decode_untrusted(wire)[1] == b"data"
        else:
            assert decode_untrusted(wire).get(DATA) == b"data"
    bench.client.close(bench.now)
    bench.server.silent = True
    bench.run_to_the_end()
    assert bench.client.state is AllocationState.DONE
    assert len([event for event in bench.take() if type(event).__name__.startswith("Allocation")]) <= 2
