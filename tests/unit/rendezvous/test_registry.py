import pytest

from p2p.identity import Identity
from p2p.proto.signalling.codes import SignallingCode
from rendezvous.core.refusal import Refusal
from rendezvous.core.registry import MemoryRegistry, Seat

ALICE = Seat(Identity.from_seed(b"a" * 32).peer_id)


class FakeMember:
    async def deliver(self, message: bytes) -> bool:
        return True

    def dismiss(self, code: SignallingCode, detail: str) -> None:
        pass


async def test_a_peer_is_found_while_it_is_online() -> None:
    registry, member = MemoryRegistry(services_per_peer=2), FakeMember()
    assert await registry.find(ALICE) is None
    assert await registry.claim(ALICE, member) is None
    presence = await registry.find(ALICE)
    assert presence is not None
    assert presence.member is member
    assert len(registry) == 1
    await registry.release(ALICE, member)
    assert await registry.find(ALICE) is None


async def test_a_later_login_replaces_the_earlier_one_and_is_not_hurt_by_its_end() -> None:
    registry, old, new = MemoryRegistry(services_per_peer=2), FakeMember(), FakeMember()
    await registry.claim(ALICE, old)
    await registry.publish(ALICE, old, "web")
    assert await registry.claim(ALICE, new) is old
    await registry.release(ALICE, old)
    await registry.unpublish(ALICE, old, "web")
    presence = await registry.find(ALICE)
    assert presence is not None
    assert presence.member is new
    assert presence.services == set()
    with pytest.raises(Refusal) as caught:
        await registry.publish(ALICE, old, "web")
    assert caught.value.wire_code is SignallingCode.TAKEN_OVER


async def test_services_are_published_and_withdrawn_within_the_limit() -> None:
    registry, member = MemoryRegistry(services_per_peer=2), FakeMember()
    await registry.claim(ALICE, member)
    for service in ("a", "b", "b"):
        await registry.publish(ALICE, member, service)
    with pytest.raises(Refusal) as caught:
        await registry.publish(ALICE, member, "c")
    assert caught.value.wire_code is SignallingCode.TOO_MANY
    await registry.unpublish(ALICE, member, "a")
    await registry.unpublish(ALICE, member, "never")
    await registry.publish(ALICE, member, "c")
    presence = await registry.find(ALICE)
    assert presence is not None
    assert presence.services == {"b", "c"}


async def test_each_program_of_a_key_has_its_own_seat() -> None:
    registry, exposer, connector = MemoryRegistry(services_per_peer=2), FakeMember(), FakeMember()
    other = Seat(ALICE.peer_id, "b1")
    await registry.claim(ALICE, exposer)
    await registry.publish(ALICE, exposer, "web")
    assert await registry.claim(other, connector) is None
    first, second = await registry.find(ALICE), await registry.find(other)
    assert first is not None
    assert second is not None
    assert (first.member, first.services) == (exposer, {"web"})
    assert (second.member, second.services) == (connector, set())
    assert len(registry) == 2
