"""Which protocols a router on loopback speaks, and that asking leaves nothing behind."""

from __future__ import annotations

from p2p.gather.portmap.probe import probe_port_mapping
from p2p.proto.portmap.pcp import PcpResult
from tests.support.port_router import GATEWAY, control_router, upnp_box


async def test_all_that_answer_and_nothing_stays() -> None:
    async with control_router() as router, upnp_box() as box:
        facts = await probe_port_mapping((GATEWAY,), control_port=router.port, ssdp_group=box.group)
        assert router.asked == 2
        assert router.mapped == {}
        assert box.mapped == {}
    assert [answer.protocol.value for answer in facts.answers] == ["pcp", "upnp"]
    assert [answer.external_host for answer in facts.answers] == ["8.8.8.8", "8.8.4.4"]
    assert [answer.igd_version for answer in facts.answers] == [None, 1]
    assert facts.problems == ()


async def test_a_router_that_refuses_speaks_all_the_same() -> None:
    async with control_router() as router, upnp_box() as box:
        router.result = PcpResult.NOT_AUTHORIZED
        facts = await probe_port_mapping((GATEWAY,), control_port=router.port, ssdp_group=box.group)
    assert [answer.external_host for answer in facts.answers] == [None, "8.8.4.4"]
    assert len(facts.problems) == 1
    assert "NOT_AUTHORIZED" in facts.problems[0]


async def test_without_a_default_route_nobody_is_asked() -> None:
    facts = await probe_port_mapping(())
    assert (facts.gateways, facts.answers) == ((), ())
