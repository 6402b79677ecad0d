"""What is remembered of each network, and that a wrong memory does no harm."""

from __future__ import annotations

import asyncio
import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.defaults import NAT_CACHE_AGE_S, NAT_CACHE_BYTES, NAT_CACHE_NETWORKS
from p2p.errors import DecodeError
from p2p.gather import discovery as discovery_module
from p2p.gather.discovery import Discovery
from p2p.gather.interfaces import NetworkState
from p2p.gather.nat_cache import NatCache, complete, decode_networks_untrusted
from p2p.gather.network_key import neighbours, network_key
from p2p.proto.path.reason import NatFacts
from p2p.proto.stun.behaviour import FilteringBehaviour, MappingBehaviour, NatBehaviour, PortAllocation

NOW = 1_800_000_000.0
HOME = NatFacts(
    MappingBehaviour.ENDPOINT_INDEPENDENT,
    FilteringBehaviour.ADDRESS_AND_PORT_DEPENDENT,
    dependent=False,
    udp_blocked=False,
    port_preserving=True,
    allocation=PortAllocation.PRESERVING,
)
HARD = NatFacts(
    MappingBehaviour.ADDRESS_AND_PORT_DEPENDENT,
    dependent=True,
    udp_blocked=False,
    allocation=PortAllocation.SEQUENTIAL,
    port_step=2,
)


@pytest.fixture
def cache(tmp_path: Path) -> NatCache:
    return NatCache(tmp_path / "p2p" / "networks.json", now_wall=lambda: NOW)


class TestFile:
    def test_round_trip(self, cache: NatCache) -> None:
        cache.remember("home", HOME)
        cache.remember("work", HARD)
        later = NatCache(cache.path, now_wall=lambda: NOW + 60)
        recalled = later.recall("work")
        assert recalled is not None
        assert (recalled.facts, recalled.age_s) == (HARD, 60.0)
        assert later.recall("cafe") is None

    @pytest.mark.parametrize("lifetime", [(18.0, 20.0), (300.0, None)])
    def test_a_lifetime_outlives_what_is_learned_without_one(
        self, cache: NatCache, lifetime: tuple[float, float | None]
    ) -> None:
        cache.remember("home", HOME, lifetime)
        cache.remember("home", replace(HOME, filtering=FilteringBehaviour.UNKNOWN))
        recalled = cache.recall("home")
        assert recalled is not None
        assert recalled.lifetime == lifetime
        cache.remember("home", HARD)
        recalled = cache.recall("home")
        assert recalled is not None
        assert recalled.lifetime is None, "that is another NAT"

    @pytest.mark.parametrize(
        "value", [None, 3, [], [1], [1, 2, 3], ["a", None], [20, 10], [-1, None], [1, 1e9], [float("nan"), None]]
    )
    def test_a_lifetime_that_makes_no_sense_is_none(self, value: object) -> None:
        entry = {"at": round(NOW), "facts": HOME.to_wire(), "lifetime": value}
        found = decode_networks_untrusted(json.dumps({"networks": {"home": entry}}).encode(), NOW)
        assert found["home"].lifetime is None

    def test_is_for_its_owner_only(self, cache: NatCache) -> None:
        cache.remember("home", HOME)
        assert stat.S_IMODE(cache.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(cache.path.parent.stat().st_mode) == 0o700
        assert [entry.name for entry in cache.path.parent.iterdir()] == ["networks.json"]

    def test_is_bounded_and_keeps_the_latest(self, cache: NatCache) -> None:
        for number in range(NAT_CACHE_NETWORKS + 5):
            NatCache(cache.path, now_wall=lambda number=number: NOW + number).remember(f"{number:032}", HARD)
        assert cache.path.stat().st_size < NAT_CACHE_BYTES
        later = NatCache(cache.path, now_wall=lambda: NOW + 100)
        assert later.recall(f"{4:032}") is None
        assert later.recall(f"{5:032}") is not None

    def test_old_memories_and_those_from_the_future_do_not_count(self, cache: NatCache) -> None:
        cache.remember("home", HOME)
        assert NatCache(cache.path, now_wall=lambda: NOW + NAT_CACHE_AGE_S + 1).recall("home") is None
        assert NatCache(cache.path, now_wall=lambda: NOW - 3600).recall("home") is None

    @pytest.mark.parametrize(
        "content",
        [b"", b"\xff\xfe", b"[]", b'{"networks": 3}', b"{" * 10_000, b'{"networks": {"home": []}}', b" " * 200_000],
    )
    def test_a_damaged_file_is_as_good_as_none(self, cache: NatCache, content: bytes) -> None:
        cache.path.parent.mkdir()
        cache.path.write_bytes(content)
        assert cache.recall("home") is None
        cache.remember("home", HOME)
        assert cache.recall("home") is not None

    def test_a_damaged_entry_does_not_take_the_others_along(self, cache: NatCache) -> None:
        cache.remember("home", HOME)
        value = json.loads(cache.path.read_text())
        value["networks"] |= {"a": None, "b": {"at": "x"}, "c": {"at": round(NOW), "facts": 1}, "d": {"at": True}}
        cache.path.write_text(json.dumps(value))
        assert cache.recall("home") is not None
        assert all(cache.recall(name) is None for name in "abcd")

    def test_a_folder_that_cannot_be_written_is_no_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        blocked = NatCache(tmp_path / "file" / "networks.json")
        blocked.remember("home", HOME)
        assert blocked.recall("home") is None

    def test_what_could_do_harm_is_not_kept(self, cache: NatCache) -> None:
        cache.remember("home", NatFacts(udp_blocked=True))
        cache.remember("home", NatFacts(udp_blocked=False))
        assert not cache.path.exists()

    def test_wishes_of_the_user_are_not_kept(self) -> None:
        entry = {"at": round(NOW), "facts": {**HOME.to_wire(), "direct_disabled": True}}
        found = decode_networks_untrusted(json.dumps({"networks": {"home": entry}}).encode(), NOW)
        assert found["home"].facts == HOME

    def test_what_is_no_list_is_refused(self) -> None:
        with pytest.raises(DecodeError):
            decode_networks_untrusted(b"3", NOW)


class TestComplete:
    def test_memory_fills_in(self) -> None:
        early = NatFacts(MappingBehaviour.ENDPOINT_INDEPENDENT, udp_blocked=False, birthday_disabled=True)
        filled = complete(early, HOME)
        assert filled is not None
        assert filled.filtering is HOME.filtering
        assert filled.birthday_disabled

    def test_one_contradiction_ends_the_trust(self) -> None:
        assert complete(NatFacts(MappingBehaviour.ENDPOINT_INDEPENDENT, udp_blocked=False), HARD) is None
        assert complete(NatFacts(udp_blocked=True), HOME) is None


class TestKey:
    STATE = NetworkState(("192.168.1.7",), ("192.168.1.1 wlan0", "192.168.1.7"))

    def test_same_addresses_behind_another_router(self) -> None:
        one = network_key(self.STATE, {"192.168.1.1": "00:11:22:33:44:55"})
        other = network_key(self.STATE, {"192.168.1.1": "00:11:22:33:44:66"})
        assert one != other
        assert one is not None
        assert "192" not in one or len(one) == 32

    def test_another_lease_is_the_same_network(self) -> None:
        moved = NetworkState(("192.168.1.9",), ("192.168.1.1 wlan0", "192.168.1.9"))
        hardware = {"192.168.1.1": "00:11:22:33:44:55"}
        assert network_key(moved, hardware) == network_key(self.STATE, hardware)
        assert network_key(moved, {}) == network_key(self.STATE, {})
        assert network_key(self.STATE, {}) != network_key(self.STATE, hardware)

    def test_no_way_out_has_no_name(self) -> None:
        assert network_key(NetworkState(("127.0.0.1",), ()), {}) is None
        assert network_key(NetworkState((), ("2001:db8::7",)), {}) is None

    def test_neighbours_of_linux(self, tmp_path: Path) -> None:
        table = tmp_path / "arp"
        table.write_text(
            "IP address       HW type     Flags       HW address            Mask     Device\n"
            "10.0.0.1         0x1         0x2         aa:bb:cc:dd:ee:ff     *        eth0\n"
            "10.0.0.9         0x1         0x0         00:00:00:00:00:00     *        eth0\n"
            "10.0.0.8         0x1         0xzz        00:00:00:00:00:00     *        eth0\n"
            "garbage\n"
        )
        assert neighbours(table) == {"10.0.0.1": "aa:bb:cc:dd:ee:ff"}
        assert neighbours(tmp_path / "none") == {}


class TestDiscovery:
    """A discovery begins with what is remembered, and what is measured replaces it."""

    SERVER = TransportAddress("192.0.2.9", 3478)

    async def run(self, monkeypatch: pytest.MonkeyPatch, cache: NatCache, *seen: NatBehaviour) -> list[NatFacts]:
        told: list[NatFacts] = []
        done = asyncio.Event()

        async def discover(servers, *, on_update):  # type: ignore[no-untyped-def]
            for behaviour in seen[:-1]:
                on_update(behaviour)
            return seen[-1]

        class Endpoint:
            sockets = ()

        self.lifetimes: list[tuple[float, float | None] | None] = []
        monkeypatch.setattr(discovery_module, "discover_behaviour", discover)
        monkeypatch.setattr(discovery_module, "here", lambda: "home")
        async with TaskScope() as scope:
            discovery = Discovery(
                asyncio.get_running_loop(),
                Endpoint(),  # type: ignore[arg-type]
                scope,
                on_mapped=lambda *_: None,
                on_facts=told.append,
                on_done=done.set,
                on_lifetime=self.lifetimes.append,
                birthday_disabled=True,
                cache=cache,
            )
            discovery.update([self.SERVER])
            told.append(discovery.facts)
            await done.wait()
            assert told[-1] == discovery.facts
        return told

    SEEN = NatBehaviour(
        udp=True,
        mapping=MappingBehaviour.ENDPOINT_INDEPENDENT,
        mapping_is_dependent=False,
        filtering=FilteringBehaviour.ADDRESS_AND_PORT_DEPENDENT,
        port_preserved=True,
        allocation=PortAllocation.PRESERVING,
    )

    async def test_remembered_facts_are_there_at_once_and_stay(
        self, monkeypatch: pytest.MonkeyPatch, cache: NatCache
    ) -> None:
        cache.remember("home", HOME, (18.0, 20.0))
        told = await self.run(monkeypatch, cache, NatBehaviour(udp=True), self.SEEN)
        assert self.lifetimes == [(18.0, 20.0)]
        assert {facts.filtering for facts in told} == {HOME.filtering}
        assert all(facts.birthday_disabled for facts in told)

    async def test_wrong_memory_is_corrected_and_replaced(
        self, monkeypatch: pytest.MonkeyPatch, cache: NatCache
    ) -> None:
        cache.remember("home", HARD)
        early = NatBehaviour(udp=True, mapping=MappingBehaviour.ENDPOINT_INDEPENDENT, mapping_is_dependent=False)
        told = await self.run(monkeypatch, cache, NatBehaviour(udp=True), early, self.SEEN)
        assert told[0].mapping is HARD.mapping
        assert told[-2].port_step is None
        recalled = cache.recall("home")
        assert recalled is not None
        assert recalled.facts.mapping is HOME.mapping

    async def test_first_time(self, monkeypatch: pytest.MonkeyPatch, cache: NatCache) -> None:
        told = await self.run(monkeypatch, cache, self.SEEN)
        assert told[0].mapping is MappingBehaviour.UNKNOWN
        assert cache.recall("home") is not None

    async def test_blocked_udp_contradicts_everything(self, monkeypatch: pytest.MonkeyPatch, cache: NatCache) -> None:
        cache.remember("home", HOME)
        told = await self.run(monkeypatch, cache, NatBehaviour(udp=False))
        assert told[-1].udp_blocked is True
        assert told[-1].mapping is MappingBehaviour.UNKNOWN
