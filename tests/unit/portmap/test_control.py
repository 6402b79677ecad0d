"""One port at one router, in PCP or NAT-PMP, with a router that a test makes up and a clock that it moves."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from p2p import defaults
from p2p.address import TransportAddress
from p2p.proto.portmap import natpmp, pcp
from p2p.proto.portmap.announcement import is_announcement
from p2p.proto.portmap.control import PortControlClient
from p2p.proto.portmap.events import (
    PortControlEvent,
    PortControlFailed,
    PortMapped,
    PortMappingLost,
    PortUnmapped,
)
from p2p.proto.portmap.mapping import MappingProtocol, PortMapping

ROUTER = TransportAddress("192.168.1.1", 5351)
INTERNAL = TransportAddress("192.168.1.7", 5000)
NONCE = bytes(12)


@dataclass
class Router:
    """Answers as one does; what it does not speak, it is silent in, or says so."""

    pcp: bool = True
    nat_pmp: bool = True
    host: str = "8.8.8.8"
    port: int | None = None
    result: int = 0
    nat_pmp_result: int = 0
    lifetime_s: int | None = None
    booted_at: float = -1000.0
    asked: list[bytes] = field(default_factory=list)

    def answer(self, data: bytes, now: float) -> list[bytes]:
        self.asked.append(data)
        epoch_s = int(now - self.booted_at)
        if data[0] == 2:
            if not self.pcp:
                # What NAT-PMP routers of before PCP say to it.
                return [bytes((0, 128 | data[1], 0, 1)) + bytes(4)] if self.nat_pmp else []
            if data[1] == pcp.PcpOpcode.ANNOUNCE:
                return [pcp.encode_map_response(pcp.PcpResponse(0, 0, 0, epoch_s))]
            nonce, port = data[24:36], int.from_bytes(data[40:42], "big")
            asked_s = int.from_bytes(data[4:8], "big")
            lifetime_s = asked_s if self.lifetime_s is None or not asked_s else self.lifetime_s
            external = TransportAddress(self.host, self.port or port) if asked_s else TransportAddress("0.0.0.0", 0)
            mapping = pcp.PcpMap(nonce, port, external)
            return [pcp.encode_map_response(pcp.PcpResponse(1, self.result, lifetime_s, epoch_s, mapping))]
        if not self.nat_pmp:
            return []
        if self.nat_pmp_result:
            return [natpmp.encode_response(natpmp.NatPmpRefused(epoch_s, self.nat_pmp_result, data[1] == 1))]
        if data[1] == 0:
            return [natpmp.encode_response(natpmp.NatPmpAddress(epoch_s, self.host))]
        port, suggested = int.from_bytes(data[4:6], "big"), int.from_bytes(data[6:8], "big")
        asked_s = int.from_bytes(data[8:12], "big")
        external_port = (self.port or suggested) if asked_s else 0
        return [natpmp.encode_response(natpmp.NatPmpMapped(epoch_s, port, external_port, asked_s))]


class World:
    def __init__(self, router: Router | None, *, internal: TransportAddress = INTERNAL) -> None:
        self.now = 0.0
        self.router = router
        self.sent: list[tuple[float, bytes]] = []
        self.events: list[PortControlEvent] = []
        server = ROUTER if not internal.is_ipv6 else TransportAddress("fe80::1", 5351)
        self.client = PortControlClient(server, internal, nonce=NONCE, random_bytes=lambda size: b"\x80" * size)
        self.lost: Callable[[bytes], bool] = lambda data: False

    def settle(self) -> None:
        sent = self.client.datagrams_to_send(self.now)
        for datagram in sent:
            self.sent.append((self.now, datagram.data))
            if self.router is not None and not self.lost(datagram.data):
                for answer in self.router.answer(datagram.data, self.now):
                    self.client.receive_datagram(answer, datagram.destination, self.now)
        while (event := self.client.next_event()) is not None:
            self.events.append(event)
        if sent:
            self.settle()

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        self.settle()
        while (at := self.client.get_timer()) is not None and at <= until:
            self.now = max(self.now, at)
            self.client.handle_timer(self.now)
            self.settle()
        self.now = until

    def take(self) -> list[PortControlEvent]:
        events, self.events = self.events, []
        return events


def started(router: Router | None, **more: TransportAddress) -> World:
    world = World(router, **more)
    world.client.start(world.now)
    world.run(1.0)
    return world


def mapped(world: World) -> PortMapping:
    (event,) = world.take()
    assert isinstance(event, PortMapped)
    return event.mapping


def test_both_protocols_are_asked_at_once_and_pcp_is_preferred() -> None:
    world = World(Router())
    world.client.start(0.0)
    world.settle()
    assert [data[0] for _, data in world.sent] == [2, 0]
    assert mapped(world) == PortMapping(MappingProtocol.PCP, INTERNAL, TransportAddress("8.8.8.8", 5000), 3600)
    world.run(5.0)
    assert len(world.sent) == 2, "nothing is asked for in NAT-PMP then"
    assert world.client.heard == {MappingProtocol.PCP: "8.8.8.8", MappingProtocol.NAT_PMP: "8.8.8.8"}


def test_a_router_without_pcp_is_asked_in_nat_pmp_at_once() -> None:
    world = World(Router(pcp=False))
    world.client.start(0.0)
    world.run(0.01)
    assert mapped(world) == PortMapping(MappingProtocol.NAT_PMP, INTERNAL, TransportAddress("8.8.8.8", 5000), 3600)


def test_a_router_that_is_silent_in_pcp_is_asked_in_nat_pmp_soon() -> None:
    world = World(Router())
    world.lost = lambda data: data[0] == 2
    world.client.start(0.0)
    world.run(defaults.PORTMAP_NAT_PMP_GRACE_S + 0.001)
    assert mapped(world).protocol is MappingProtocol.NAT_PMP


def test_requests_are_sent_again() -> None:
    world = World(Router())
    world.lost = lambda data: len(world.sent) <= 2
    world.client.start(0.0)
    world.run(1.0)
    assert mapped(world).protocol is MappingProtocol.PCP
    assert [at for at, data in world.sent if data[0] == 2] == [0.0, 0.1]


def test_a_silent_router_counts_as_such_after_three_requests() -> None:
    world = World(None)
    world.client.start(0.0)
    world.run(0.29)
    assert not world.take()
    world.run(10.0)
    (event,) = world.take()
    assert isinstance(event, PortControlFailed)
    assert len(world.sent) == 6
    assert world.client.get_timer() is None


def test_a_late_answer_counts() -> None:
    world = started(None)
    assert isinstance(world.take()[0], PortControlFailed)
    router = Router()
    for answer in router.answer(world.sent[0][1], world.now):
        assert world.client.receive_datagram(answer, ROUTER, world.now)
    world.settle()
    assert mapped(world).protocol is MappingProtocol.PCP


def test_a_closed_port_is_noticed_at_once() -> None:
    world = World(None)
    world.client.start(0.0)
    world.client.refused(0.001)
    world.settle()
    assert isinstance(world.take()[0], PortControlFailed)
    assert world.client.get_timer() is None


def test_ipv6_is_asked_in_pcp_only() -> None:
    inside = TransportAddress("2606:4700::7", 5000)
    world = started(Router(host=inside.host), internal=inside)
    assert mapped(world).is_pinhole
    assert [data[0] for _, data in world.sent] == [2]


@pytest.mark.parametrize("nat_pmp", [True, False])
def test_a_refusal_in_pcp_leaves_nat_pmp(nat_pmp: bool) -> None:
    world = started(Router(result=pcp.PcpResult.NOT_AUTHORIZED, nat_pmp=nat_pmp))
    (event,) = world.take()
    if nat_pmp:
        assert isinstance(event, PortMapped)
        assert event.mapping.protocol is MappingProtocol.NAT_PMP
    else:
        assert isinstance(event, PortControlFailed)
        assert "NOT_AUTHORIZED" in event.error.detail
        assert event.error.retry_after_s == 3600


def test_a_refusal_in_both_is_told_once() -> None:
    world = started(Router(result=8, nat_pmp_result=4))
    (event,) = world.take()
    assert isinstance(event, PortControlFailed)


def test_a_port_that_another_host_has_is_replaced_by_the_router() -> None:
    for router in (Router(port=6001), Router(port=6001, pcp=False)):
        assert mapped(started(router)).external.port == 6001


@pytest.mark.parametrize("router", [Router(), Router(pcp=False)], ids=["pcp", "nat-pmp"])
def test_it_is_renewed_from_half_its_lifetime_on_and_nothing_is_told(router: Router) -> None:
    world = started(router)
    mapped(world)
    before = len(world.sent)
    world.run(7200.0)
    assert not world.take()
    renewals = [at for at, _ in world.sent[before:]]
    assert 3600 / 2 <= renewals[0] <= 3600 * 5 / 8
    assert 3 <= len(renewals) <= 4


def test_renewals_go_on_until_the_end_and_then_it_is_lost() -> None:
    world = started(Router())
    mapping = mapped(world)
    world.router = None
    world.run(4000.0)
    (event,) = world.take()
    assert isinstance(event, PortMappingLost)
    assert event.mapping == mapping
    assert len(world.sent) > 5
    assert world.client.mapping is None
    assert world.client.get_timer() is None


def test_a_renewal_that_is_refused_ends_it() -> None:
    router = Router(nat_pmp=False)
    world = started(router)
    mapped(world)
    router.result = pcp.PcpResult.NOT_AUTHORIZED
    world.run(3000.0)
    (event,) = world.take()
    assert isinstance(event, PortMappingLost)


def test_a_short_lifetime_does_not_make_us_ask_all_the_time() -> None:
    world = started(Router(lifetime_s=1))
    mapped(world)
    world.run(600.0)
    assert len(world.sent) <= 2 + 600 / defaults.PORTMAP_RENEW_MIN_S


def test_a_router_that_grants_no_time_grants_nothing() -> None:
    world = started(Router(lifetime_s=0, nat_pmp=False))
    assert isinstance(world.take()[0], PortControlFailed)


def test_a_long_lifetime_is_not_believed() -> None:
    assert mapped(started(Router(lifetime_s=2**32 - 1))).lifetime_s == 86_400


# --- the router restarts ---------------------------------------------------------------------------------------


def announcement(router: Router, now: float, *, is_pcp: bool) -> bytes:
    epoch_s = int(now - router.booted_at)
    if is_pcp:
        return pcp.encode_map_response(pcp.PcpResponse(0, 0, 0, epoch_s))
    return natpmp.encode_response(natpmp.NatPmpAddress(epoch_s, router.host))


@pytest.mark.parametrize("is_pcp", [True, False])
def test_a_router_that_announces_a_new_clock_is_asked_again(is_pcp: bool) -> None:
    router = Router(pcp=is_pcp)
    world = started(router)
    mapped(world)
    world.run(60.0)
    router.booted_at = world.now
    router.port = 6002
    assert world.client.receive_announcement(announcement(router, world.now, is_pcp=is_pcp), ROUTER.host, world.now)
    world.run(1.0)
    assert mapped(world).external.port == 6002


@pytest.mark.parametrize("age_s", [3.0, 60.0])
def test_a_router_that_restarts_is_asked_within_a_second_however_new_the_mapping_is(age_s: float) -> None:
    world = started(router := Router())
    mapped(world)
    world.run(age_s)
    router.booted_at = world.now
    before, announced_at = len(world.sent), world.now
    for _ in range(4):
        # It says so several times.
        world.client.receive_announcement(announcement(router, world.now, is_pcp=True), ROUTER.host, world.now)
        world.run(0.25)
    assert [at for at, _ in world.sent[before:]] == [announced_at + defaults.PORTMAP_EPOCH_JITTER_S * 0x8080 / 0x10000]


def test_a_lost_request_after_a_restart_is_repeated_soon() -> None:
    world = started(router := Router())
    mapped(world)
    world.run(60.0)
    router.booted_at = world.now
    router.port = 6002
    lost = iter([True, True])
    world.lost = lambda data: next(lost, False)
    world.client.receive_announcement(announcement(router, world.now, is_pcp=True), ROUTER.host, world.now)
    world.run(defaults.PORTMAP_EPOCH_JITTER_S + 0.8)
    assert mapped(world).external.port == 6002


def test_a_router_that_holds_by_pcp_may_announce_in_nat_pmp() -> None:
    world = started(router := Router())
    assert mapped(world).protocol is MappingProtocol.PCP
    world.run(60.0)
    router.booted_at = world.now
    router.port = 6002
    world.client.receive_announcement(announcement(router, world.now, is_pcp=False), ROUTER.host, world.now)
    world.run(1.0)
    assert mapped(world).external.port == 6002


def test_what_is_announced_is_not_taken_over_unasked() -> None:
    """Anybody on the LAN can announce an address in the router's name."""
    world = started(router := Router(pcp=False))
    before = mapped(world)
    world.run(60.0)
    lie = natpmp.encode_response(natpmp.NatPmpAddress(int(world.now - router.booted_at), "9.9.9.9"))
    world.client.receive_announcement(lie, ROUTER.host, world.now)
    world.run(30.0)
    assert not world.take()
    assert world.client.mapping == before


def test_what_is_no_announcement_is_not_taken_for_one() -> None:
    world = started(Router())
    mapped(world)
    for data in (b"", b"\x02", b"\x00\x80", b"\x02\x81" + bytes(58), bytes(12)):
        assert not is_announcement(data)
        assert not world.client.receive_announcement(data, ROUTER.host, world.now)


def test_an_announcement_that_tells_no_news_changes_nothing() -> None:
    world = started(router := Router())
    mapped(world)
    world.run(60.0)
    before = len(world.sent)
    world.client.receive_announcement(announcement(router, world.now, is_pcp=True), ROUTER.host, world.now)
    world.run(10.0)
    assert len(world.sent) == before


def test_a_new_outside_address_is_taken_over() -> None:
    router = Router(pcp=False)
    world = started(router)
    mapped(world)
    world.run(60.0)
    router.host = "9.9.9.9"
    world.client.receive_announcement(announcement(router, world.now, is_pcp=False), ROUTER.host, world.now)
    world.run(1.0)
    assert mapped(world).external == TransportAddress("9.9.9.9", 5000)


@pytest.mark.parametrize("is_pcp", [True, False])
def test_a_doubt_is_settled_by_the_routers_clock(is_pcp: bool) -> None:
    router = Router(pcp=is_pcp)
    world = started(router)
    mapped(world)
    world.run(60.0)
    world.client.check(world.now)
    world.run(20.0)
    assert not world.take()
    before = len(world.sent)
    router.booted_at = world.now
    world.client.check(world.now)
    world.run(2.0)
    assert len(world.sent) == before + 2, "the question and the request"


def test_a_router_that_restarts_and_does_not_answer_then_forwards_nothing() -> None:
    router = Router()
    world = started(router)
    mapped(world)
    world.run(60.0)
    router.booted_at = world.now
    news = announcement(router, world.now, is_pcp=True)
    world.router = None
    world.client.receive_announcement(news, ROUTER.host, world.now)
    world.run(5.0)
    assert isinstance(world.take()[0], PortMappingLost)


def test_announcements_of_a_liar_do_not_make_us_flood_the_router() -> None:
    world = started(Router())
    mapped(world)
    before = len(world.sent)
    for step in range(600):
        world.run(0.1)
        lie = pcp.encode_map_response(pcp.PcpResponse(0, 0, 0, step % 2 * 50_000))
        world.client.receive_announcement(lie, ROUTER.host, world.now)
    assert len(world.sent) - before <= 60 / defaults.PORTMAP_RENEW_MIN_S + 1
    assert not world.take()


# --- answers of others -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [TransportAddress("192.168.1.2", 5351), TransportAddress("192.168.1.1", 5350)])
def test_answers_from_elsewhere_are_not_heard(source: TransportAddress) -> None:
    world = World(None)
    world.client.start(0.0)
    world.settle()
    for answer in Router().answer(world.sent[0][1], 0.0):
        assert not world.client.receive_datagram(answer, source, 0.0)
    assert not world.client.receive_announcement(announcement(Router(), 0.0, is_pcp=True), "192.168.1.2", 0.0)
    assert world.client.heard == {}


def test_an_answer_with_another_nonce_or_port_is_not_heard() -> None:
    world = World(None)
    world.client.start(0.0)
    world.settle()
    for nonce, port in ((b"x" * 12, 5000), (NONCE, 5001)):
        mapping = pcp.PcpMap(nonce, port, TransportAddress("8.8.8.8", 1))
        data = pcp.encode_map_response(pcp.PcpResponse(1, 0, 60, 7, mapping))
        assert not world.client.receive_datagram(data, ROUTER, 0.0)
    data = natpmp.encode_response(natpmp.NatPmpMapped(7, 5001, 5001, 60))
    assert not world.client.receive_datagram(data, ROUTER, 0.0)


def test_a_mapping_in_nat_pmp_that_was_not_asked_for_is_none() -> None:
    world = World(None)
    world.client.start(0.0)
    world.settle()
    world.client.receive_datagram(natpmp.encode_response(natpmp.NatPmpMapped(7, 5000, 5000, 60)), ROUTER, 0.0)
    world.settle()
    assert not world.take()


# --- the end ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("router", [Router(), Router(pcp=False)], ids=["pcp", "nat-pmp"])
def test_it_is_given_back(router: Router) -> None:
    world = started(router)
    mapped(world)
    world.client.stop(world.now)
    world.settle()
    assert world.take() == [PortUnmapped()]
    last = world.sent[-1][1]
    lifetime = last[4:8] if last[0] == 2 else last[8:12]
    assert lifetime == bytes(4)
    assert world.client.get_timer() is None


def test_what_was_asked_for_and_not_granted_yet_is_given_back_too() -> None:
    world = World(None)
    world.client.start(0.0)
    world.settle()
    world.client.stop(0.05)
    world.settle()
    assert world.sent[-1][1][4:8] == bytes(4)


def test_the_end_does_not_wait_for_a_silent_router() -> None:
    world = started(Router())
    mapped(world)
    world.router = None
    world.client.stop(world.now)
    world.run(defaults.PORTMAP_UNMAP_S + 0.01)
    assert world.take() == [PortUnmapped()]


def test_nothing_to_give_back() -> None:
    world = started(None)
    world.take()
    world.client.stop(world.now)
    world.settle()
    assert world.take() == [PortUnmapped()]


def test_it_can_be_started_again_and_wishes_for_the_port_it_had() -> None:
    router = Router()
    world = started(router)
    external = mapped(world).external
    world.client.stop(world.now)
    world.run(1.0)
    world.take()
    world.client.start(world.now, suggested=external)
    world.run(1.0)
    assert mapped(world).external == external
    assert router.asked[-2][42:44] == external.port.to_bytes(2, "big")
