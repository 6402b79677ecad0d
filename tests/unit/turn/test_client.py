import pytest

from p2p.address import TransportAddress
from p2p.defaults import TURN_MAX_REQUESTS
from p2p.errors import LocalProtocolError
from p2p.proto.stun.attributes import (
    DATA,
    FINGERPRINT,
    ICMP,
    LIFETIME,
    REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT,
    XOR_PEER_ADDRESS,
    IcmpValue,
)
from p2p.proto.stun.message import MessageClass, Method, decode_untrusted
from p2p.proto.turn import channel_data
from p2p.proto.turn.events import (
    CODE_CREDENTIALS,
    CODE_FORBIDDEN,
    CODE_FORGED,
    CODE_MISMATCH,
    CODE_NO_ANSWER,
    CODE_QUOTA,
    AllocationClosed,
    AllocationCreated,
    AllocationExpired,
    AllocationFailed,
    AllocationState,
    ChannelBound,
    ChannelFailed,
    PeerData,
    PermissionCreated,
    PermissionFailed,
)
from tests.support.turn_server import ADDRESS, KEY, MAPPED, RELAYED, Bench, ScriptedServer, indication

PEER = TransportAddress("192.0.2.1", 1000)
SAME_HOST = TransportAddress("192.0.2.1", 2000)
OTHER_PEER = TransportAddress("192.0.2.2", 1000)


@pytest.fixture
def bench():
    """An allocation that exists; nothing of its making is left in the lists."""
    bench = Bench()
    bench.allocate()
    bench.take()
    bench.server.methods()
    return bench


def kinds(events):
    return [type(event) for event in events]


class TestAllocate:
    def test_challenge_then_success(self):
        bench = Bench()
        bench.allocate()
        assert bench.events == [AllocationCreated(RELAYED, MAPPED, 600)]
        assert bench.client.state is AllocationState.ALLOCATED
        assert (bench.client.relayed_address, bench.client.mapped_address) == (RELAYED, MAPPED)
        first, second = bench.server.requests
        assert first.get(REQUESTED_TRANSPORT) == second.get(REQUESTED_TRANSPORT) == 17
        assert first.transaction_id != second.transaction_id
        assert not first.has_integrity
        assert first.get(FINGERPRINT) is not None

    def test_nonce_given_beforehand_saves_the_round_trip(self):
        bench = Bench(options={"realm": "example.org", "nonce": "nonce 1"})
        bench.allocate()
        assert kinds(bench.events) == [AllocationCreated]
        assert len(bench.server.requests) == 1

    def test_old_nonce_given_beforehand_costs_what_none_costs(self):
        bench = Bench(options={"realm": "example.org", "nonce": "old"})
        bench.allocate()
        assert kinds(bench.events) == [AllocationCreated]
        assert len(bench.server.requests) == 2

    def test_address_family_is_asked_for(self):
        bench = Bench(options={"address_family": 2})
        bench.allocate()
        assert bench.server.requests[0].get(REQUESTED_ADDRESS_FAMILY) == 2

    @pytest.mark.parametrize(("code", "error_code"), [(486, CODE_QUOTA), (437, CODE_MISMATCH), (403, CODE_FORBIDDEN)])
    def test_refusal(self, code, error_code):
        bench = Bench(ScriptedServer(refuse=lambda _: code))
        bench.allocate()
        (event,) = bench.events
        assert isinstance(event, AllocationFailed)
        assert event.error.error_code is error_code
        assert event.stun_code == code
        assert bench.client.state is AllocationState.DONE
        assert bench.client.get_timer() is None

    def test_refused_credentials_end_it(self):
        bench = Bench(ScriptedServer(refuse=lambda _: 401))
        bench.allocate()
        assert bench.events[0].error.error_code is CODE_CREDENTIALS

    def test_server_that_challenges_for_ever_is_left(self):
        server = ScriptedServer()
        bench = Bench(server)
        numbers = iter(range(1000))
        answer = server.respond

        def respond(data):
            server.nonce = f"nonce {next(numbers)}"
            return answer(data)

        server.respond = respond
        bench.allocate()
        assert bench.events[0].error.error_code is CODE_CREDENTIALS
        assert len(server.requests) == 4

    def test_silence_over_datagrams(self):
        bench = Bench(ScriptedServer(silent=True))
        bench.client.start(bench.now)
        bench.run_to_the_end()
        assert bench.events[0].error.error_code is CODE_NO_ANSWER
        assert len(bench.server.requests) == TURN_MAX_REQUESTS
        # Each request after a quarter more than the time that has gone by, and 16 intervals of patience at the end.
        assert bench.now - 100 == pytest.approx(1.25 ** (TURN_MAX_REQUESTS - 1) - 1 + 16 * 0.25)

    def test_silence_over_a_stream(self):
        bench = Bench(ScriptedServer(silent=True), reliable=True)
        bench.client.start(bench.now)
        bench.run_to_the_end()
        assert bench.events[0].error.error_code is CODE_NO_ANSWER
        assert len(bench.server.requests) == 1
        assert bench.now - 100 == pytest.approx(39.5)

    def test_lost_answer_is_made_good_by_a_retransmission(self):
        bench = Bench(ScriptedServer(silent=True))
        bench.allocate()
        bench.server.silent = False
        bench.run_until(bench.now + 1)
        assert kinds(bench.events) == [AllocationCreated]

    @pytest.mark.parametrize("key", [None, b"another"])
    def test_unauthenticated_success_is_not_believed(self, key):
        bench = Bench(ScriptedServer(key=key))
        bench.client.start(bench.now)
        bench.run_to_the_end()
        assert bench.events[0].error.error_code is CODE_FORGED
        assert bench.client.relayed_address is None

    def test_unauthenticated_answer_ends_a_request_over_a_stream_at_once(self):
        bench = Bench(ScriptedServer(key=None), reliable=True)
        bench.allocate()
        assert bench.events[0].error.error_code is CODE_FORGED

    def test_unauthenticated_error_does_not_hide_the_true_answer(self):
        bench = Bench(ScriptedServer(key=None, refuse=lambda _: 486))
        bench.allocate()
        assert bench.events == []
        bench.server.key, bench.server.refuse = KEY, lambda _: None
        bench.run_until(bench.now + 1)
        assert kinds(bench.events) == [AllocationCreated]

    def test_is_started_once(self, bench):
        with pytest.raises(LocalProtocolError):
            bench.client.start(bench.now)


class TestRefresh:
    def test_a_minute_before_the_end(self, bench):
        bench.run_until(bench.now + 539)
        assert bench.server.methods() == []
        bench.run_until(bench.now + 2)
        assert bench.server.methods() == [Method.REFRESH]
        bench.run_until(bench.now + 3600)
        assert bench.take() == []
        assert bench.client.state is AllocationState.ALLOCATED

    def test_short_lifetime_is_refreshed_at_half(self):
        bench = Bench(ScriptedServer(lifetime_s=40))
        bench.allocate()
        bench.server.methods()
        bench.run_until(bench.now + 21)
        assert bench.server.methods() == [Method.REFRESH]

    def test_changed_nonce_is_followed(self, bench):
        bench.server.nonce = "nonce 2"
        bench.run_until(bench.now + 541)
        assert bench.server.methods() == [Method.REFRESH, Method.REFRESH]
        assert bench.take() == []

    def test_hole_in_the_network_is_outlived(self, bench):
        bench.server.silent = True
        bench.run_until(bench.now + 570)
        bench.server.silent = False
        bench.run_until(bench.now + 100)
        assert bench.take() == []
        assert bench.client.state is AllocationState.ALLOCATED

    def test_silence_ends_the_allocation_with_its_lifetime(self, bench):
        bench.server.silent = True
        bench.run_to_the_end()
        assert bench.now == 700
        (event,) = bench.take()
        assert isinstance(event, AllocationExpired)
        assert event.error.error_code is CODE_NO_ANSWER

    def test_server_that_forgot_ends_it_at_once(self, bench):
        bench.server.refuse = lambda _: 437
        bench.run_until(bench.now + 541)
        assert kinds(bench.take()) == [AllocationExpired]
        assert bench.client.state is AllocationState.DONE

    def test_on_demand_asks_at_once(self, bench):
        bench.client.refresh(bench.now)
        bench.exchange()
        assert bench.server.methods() == [Method.REFRESH]
        assert bench.take() == []
        bench.server.refuse = lambda _: 437
        bench.client.refresh(bench.now)
        bench.exchange()
        assert kinds(bench.take()) == [AllocationExpired]
        bench.client.refresh(bench.now)
        bench.exchange()
        assert bench.client.get_timer() is None

    @pytest.mark.parametrize("away_s", [0.4, 1.0, 3.0, 8.0])
    def test_a_server_that_comes_back_is_found_within_a_quarter_of_its_absence(self, bench, away_s):
        bench.server.silent = True
        bench.client.refresh(bench.now)
        bench.run_until(bench.now + away_s)
        bench.server.silent = False
        bench.server.refuse = lambda _: 437
        bench.run_until(bench.now + 0.25 * (1 + away_s))
        assert kinds(bench.take()) == [AllocationExpired]

    def test_many_demands_in_a_silence_do_not_multiply(self, bench):
        bench.server.silent = True
        for _ in range(10):
            bench.client.refresh(bench.now)
            bench.run_until(bench.now + 1)
        bench.run_until(bench.now + 60)
        bench.server.methods()
        bench.run_until(bench.now + 20)
        assert 1 <= len(bench.server.methods()) <= 14
        bench.server.silent = False
        bench.run_until(bench.now + 30)
        bench.server.methods()
        bench.run_until(bench.now + 60)
        assert bench.server.methods() == []
        assert bench.take() == []


class TestPermissions:
    def test_created_once_for_a_host(self, bench):
        bench.client.create_permission(PEER, bench.now)
        bench.client.create_permission(SAME_HOST, bench.now)
        bench.exchange()
        assert bench.take() == [PermissionCreated(PEER), PermissionCreated(SAME_HOST)]
        assert bench.server.methods() == [Method.CREATE_PERMISSION]
        bench.client.create_permission(PEER, bench.now)
        bench.exchange()
        assert bench.take() == [PermissionCreated(PEER)]
        assert bench.server.methods() == []

    def test_asked_for_before_the_allocation_they_wait(self):
        bench = Bench()
        bench.client.create_permission(PEER, bench.now)
        bench.client.bind_channel(OTHER_PEER, bench.now)
        bench.exchange()
        assert bench.server.methods() == []
        bench.allocate()
        assert set(kinds(bench.take())) == {AllocationCreated, PermissionCreated, ChannelBound}

    def test_refreshed_together_every_four_minutes(self, bench):
        for number in range(10):
            bench.client.create_permission(PEER._replace(host=f"192.0.2.{number}"), bench.now)
            bench.exchange()
            bench.now += 1
        bench.take()
        bench.server.methods()
        bench.run_until(100 + 239)
        assert bench.server.methods() == []
        bench.run_until(100 + 241)
        assert [len(request.values(XOR_PEER_ADDRESS)) for request in bench.server.requests] == [8, 2]
        assert bench.take() == []

    def test_one_refused_in_a_refresh_does_not_end_the_others(self, bench):
        bench.client.create_permission(PEER, bench.now)
        bench.client.create_permission(OTHER_PEER, bench.now)
        bench.exchange()
        bench.take()
        bench.server.refuse = lambda request: 403 if PEER in request.values(XOR_PEER_ADDRESS) else None
        bench.run_until(bench.now + 241)
        failed, created = bench.take()
        assert isinstance(failed, PermissionFailed)
        assert (failed.peer, failed.error.error_code) == (PEER, CODE_FORBIDDEN)
        assert created == PermissionCreated(OTHER_PEER)
        bench.server.methods()
        bench.run_until(bench.now + 241)
        asked = [request.values(XOR_PEER_ADDRESS) for request in bench.server.requests]
        assert (OTHER_PEER,) in asked
        assert (PEER, OTHER_PEER) not in asked

    def test_refused_is_asked_for_again_until_a_server_that_restarted_knows_the_peer(self, bench):
        bench.server.refuse = lambda _: 403
        bench.client.create_permission(PEER, bench.now)
        bench.exchange()
        assert kinds(bench.take()) == [PermissionFailed]
        bench.run_until(bench.now + 3)
        assert bench.take() == []
        bench.server.refuse = lambda _: None
        bench.run_until(bench.now + 5)
        assert kinds(bench.take()) == [PermissionCreated]

    def test_refused(self, bench):
        bench.server.refuse = lambda _: 403
        bench.client.create_permission(PEER, bench.now)
        bench.exchange()
        assert kinds(bench.take()) == [PermissionFailed]
        bench.server.refuse = lambda _: None
        bench.client.create_permission(PEER, bench.now)
        bench.exchange()
        assert kinds(bench.take()) == [PermissionCreated]

    def test_lost_allocation_is_noticed(self, bench):
        bench.server.refuse = lambda _: 437
        bench.client.create_permission(PEER, bench.now)
        bench.client.bind_channel(OTHER_PEER, bench.now)
        bench.exchange()
        assert kinds(bench.take()) == [AllocationExpired]

    def test_released_is_not_refreshed(self, bench):
        bench.client.bind_channel(PEER, bench.now)
        bench.client.create_permission(SAME_HOST, bench.now)
        bench.exchange()
        bench.client.release(PEER)
        bench.client.release(OTHER_PEER)
        bench.server.methods()
        bench.run_until(bench.now + 300)
        assert bench.server.methods() == [Method.CREATE_PERMISSION]
        bench.client.release(SAME_HOST)
        bench.run_until(bench.now + 600)
        assert bench.server.methods() == [Method.REFRESH]
        assert bench.client.channel_number(PEER) is None

    def test_released_while_asked_for(self, bench):
        bench.client.create_permission(PEER, bench.now)
        bench.client.release(PEER)
        bench.exchange()
        assert bench.take() == []


class TestChannels:
    def test_bound_and_refreshed_every_nine_minutes(self, bench):
        bench.client.bind_channel(PEER, bench.now)
        bench.exchange()
        assert bench.take() == [PermissionCreated(PEER), ChannelBound(PEER, 0x4000)]
        assert bench.client.channel_number(PEER) == 0x4000
        assert bench.client.channel_peer(0x4000) == PEER
        bench.server.methods()
        bench.run_until(100 + 539)
        assert Method.CHANNEL_BIND not in bench.server.methods()
        bench.run_until(100 + 541)
        assert Method.CHANNEL_BIND in bench.server.methods()
        assert bench.take() == []

    def test_bound_again_is_said_at_once(self, bench):
        bench.client.bind_channel(PEER, bench.now)
        bench.exchange()
        bench.take()
        bench.server.methods()
        bench.client.bind_channel(PEER, bench.now)
        bench.exchange()
        assert ChannelBound(PEER, 0x4000) in bench.take()
        assert bench.server.methods() == []

    def test_failed_one_leaves_indications(self, bench):
        bench.server.refuse = lambda request: 400 if request.method == Method.CHANNEL_BIND else None
        bench.client.bind_channel(PEER, bench.now)
        bench.exchange()
        assert kinds(bench.take()) == [PermissionCreated, ChannelFailed]
        assert decode_untrusted(bench.client.send(PEER, b"x")).method == Method.SEND
        bench.server.refuse = lambda _: None
        bench.client.bind_channel(PEER, bench.now)
        bench.exchange()
        assert ChannelBound(PEER, 0x4000) in bench.take()

    def test_there_are_4096(self, bench):
        for number in range(4096):
            bench.client.bind_channel(TransportAddress("192.0.2.1", number), bench.now)
        with pytest.raises(LocalProtocolError):
            bench.client.bind_channel(OTHER_PEER, bench.now)


class TestData:
    def test_send_indication(self, bench):
        message = decode_untrusted(bench.client.send(PEER, b"data"))
        assert (message.message_class, message.method) == (MessageClass.INDICATION, Method.SEND)
        assert (message.get(XOR_PEER_ADDRESS), message.get(DATA)) == (PEER, b"data")

    @pytest.mark.parametrize(("reliable", "wire"), [(False, b"\x40\0\0\1x"), (True, b"\x40\0\0\1x\0\0\0")])
    def test_channel(self, reliable, wire):
        bench = Bench(reliable=reliable)
        bench.allocate()
        bench.client.bind_channel(PEER, bench.now)
        assert decode_untrusted(bench.client.send(PEER, b"x")).method == Method.SEND
        bench.exchange()
        assert bench.client.send(PEER, b"x") == wire

    def test_data_that_overtakes_the_answer_to_the_binding_is_taken(self, bench):
        bench.server.silent = True
        bench.client.bind_channel(PEER, bench.now)
        bench.exchange()
        assert bench.client.receive_datagram(channel_data.encode(0x4000, b"early"), ADDRESS, bench.now)
        bench.exchange()
        assert bench.take() == [PeerData(PEER, b"early")]

    def test_data_indication(self, bench):
        bench.client.create_permission(PEER, bench.now)
        bench.exchange()
        bench.take()
        assert bench.deliver(indication(XOR_PEER_ADDRESS(SAME_HOST), DATA(b"data")))
        assert bench.take() == [PeerData(SAME_HOST, b"data")]

    @pytest.mark.parametrize(
        "attributes",
        [
            (XOR_PEER_ADDRESS(OTHER_PEER), DATA(b"not let in")),
            (XOR_PEER_ADDRESS(PEER),),
            (DATA(b"of nobody"),),
            (XOR_PEER_ADDRESS(PEER), ICMP(IcmpValue(3, 3, bytes(4)))),
        ],
    )
    def test_useless_indications_are_counted(self, bench, attributes):
        bench.client.create_permission(PEER, bench.now)
        bench.exchange()
        bench.take()
        bench.deliver(indication(*attributes))
        assert bench.take() == []
        assert bench.client.dropped == 1

    @pytest.mark.parametrize("data", [b"\x40\x09\0\1x", b"\x40\0\0\2x", b"\0\1\0\4\x21\x12\xa4\x42" + bytes(12)])
    def test_garbage_is_counted(self, bench, data):
        bench.client.receive_datagram(data, ADDRESS, bench.now)
        assert bench.client.next_event() is None
        assert bench.client.dropped == 1

    def test_others_are_not_heard(self, bench):
        data = channel_data.encode(0x4000, b"x")
        assert not bench.client.receive_datagram(data, PEER, bench.now)
        assert not bench.client.receive_datagram(b"\x80\0\0\0", ADDRESS, bench.now)
        assert not bench.client.receive_datagram(b"", ADDRESS, bench.now)


class TestClose:
    def test_gives_the_allocation_back(self, bench):
        bench.client.close(bench.now)
        bench.exchange()
        assert bench.server.requests[0].get(LIFETIME) == 0
        assert kinds(bench.take()) == [AllocationClosed]
        assert bench.client.get_timer() is None
        bench.client.close(bench.now)
        bench.client.create_permission(PEER, bench.now)
        bench.client.bind_channel(PEER, bench.now)
        bench.exchange()
        assert bench.take() == []

    def test_follows_a_new_nonce(self, bench):
        bench.server.nonce = "nonce 2"
        bench.client.close(bench.now)
        bench.exchange()
        assert kinds(bench.take()) == [AllocationClosed]

    def test_does_not_wait_long_for_an_answer(self, bench):
        bench.server.silent = True
        bench.client.close(bench.now)
        bench.run_to_the_end()
        assert kinds(bench.take()) == [AllocationClosed]
        assert len(bench.server.requests) == 3
        assert bench.now - 100 < 5

    def test_before_the_start(self):
        bench = Bench()
        bench.client.close(bench.now)
        bench.exchange()
        assert kinds(bench.take()) == [AllocationClosed]

    def test_what_an_allocate_on_its_way_creates_is_given_back(self):
        bench = Bench()
        bench.client.start(bench.now)
        bench.client.close(bench.now)
        bench.exchange()
        assert bench.server.methods() == [Method.ALLOCATE, Method.ALLOCATE, Method.REFRESH]
        assert kinds(bench.take()) == [AllocationClosed]

    def test_allocate_that_fails_after_close_is_no_failure(self):
        bench = Bench(ScriptedServer(refuse=lambda _: 486))
        bench.client.start(bench.now)
        bench.client.close(bench.now)
        bench.exchange()
        assert kinds(bench.take()) == [AllocationClosed]
