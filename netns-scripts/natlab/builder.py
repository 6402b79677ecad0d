"""Make the namespaces, links, addresses and rules of a lab, in as few processes as that takes.

One ``ip -batch`` makes all namespaces, the kernel parameters are written by this process, one ``ip -batch`` makes all
links, and then one ``ip`` and one ``nft`` for each namespace run at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from .kinds import RULES_FOLDER, kind_named, ruleset
from .links import link_table
from .namespaces import write_sysctls
from .plan import (
    INTERNET,
    SERVER,
    SERVER_ADDRESSES,
    SERVER_ADDRESSES6,
    SERVER_GATEWAY,
    SERVER_GATEWAY6,
    RouterPlan,
    namespace_name,
)
from .tools import RunningTools, ip_batch
from .topology import FAMILY_IPV4, FAMILY_IPV6, Router, Topology

# Written before there is any interface: otherwise IPv6 is of no use for the first second.
_IPV6_AT_ONCE: Final = {
    "net/ipv6/conf/all/accept_dad": 0,
    "net/ipv6/conf/default/accept_dad": 0,
    "net/ipv6/conf/default/accept_ra": 0,
}
_NO_IPV6: Final = {"net/ipv6/conf/all/disable_ipv6": 1, "net/ipv6/conf/default/disable_ipv6": 1}
_FORWARDING: Final = {
    "net/ipv4/ip_forward": 1,
    "net/ipv4/conf/all/send_redirects": 0,
    "net/ipv4/conf/default/send_redirects": 0,
}
_FORWARDING6: Final = {"net/ipv6/conf/all/forwarding": 1}
_HAIRPIN_TABLE: Final = 77


class Builder:
    """Gathers what has to be done for a topology, then does it.

    Args:
        prefix: What the namespaces' names start with.
        topology: What to build.
        plans: The addresses of its routers.
    """

    def __init__(self, prefix: str, topology: Topology, plans: Mapping[str, RouterPlan]) -> None:
        self._prefix = prefix
        self._topology = topology
        self._plans = plans
        self._links: list[str] = []
        self._commands: dict[str, list[str]] = {}
        self._sysctls: dict[str, dict[str, int]] = {}
        self._rules: dict[str, str] = {}
        self._add_internet()
        for router in topology.routers:
            self._add_router(router, plans[router.name])

    @property
    def namespaces(self) -> list[str]:
        """The names of all namespaces."""
        return [namespace_name(self._prefix, name) for name in self._commands]

    def build(self) -> None:
        """Do it all.

        Raises:
            LabError: A tool or the kernel refused something; what was made until then is left as it is.
        """
        ip_batch(f"netns add {namespace}" for namespace in self.namespaces)
        for namespace in self.namespaces:
            write_sysctls(namespace, _IPV6_AT_ONCE if self._topology.ipv6 else _NO_IPV6)
        ip_batch(self._links)
        tools = RunningTools()
        for name, commands in self._commands.items():
            script = "".join(f"{command}\n" for command in commands)
            tools.start(["ip", "-batch", "-"], script, namespace=namespace_name(self._prefix, name))
        for name, rules in self._rules.items():
            if not rules:
                continue
            tools.start(["nft", "-f", "-"], rules, namespace=namespace_name(self._prefix, name))
        tools.wait()
        for name, values in self._sysctls.items():
            write_sysctls(namespace_name(self._prefix, name), values)

    def _add_namespace(self, name: str, *, forwards: bool = False) -> list[str]:
        commands = self._commands[name] = ["link set dev lo up"]
        if forwards:
            self._sysctls[name] = {**_FORWARDING, **(_FORWARDING6 if self._topology.ipv6 else {})}
        return commands

    def _connect(self, left: str, left_device: str, right: str, right_device: str) -> None:
        left_namespace = namespace_name(self._prefix, left)
        right_namespace = namespace_name(self._prefix, right)
        self._links.append(
            f"link add name {left_device} netns {left_namespace} type veth"
            f" peer name {right_device} netns {right_namespace}"
        )
        self._commands[left].append(f"link set dev {left_device} up")
        self._commands[right].append(f"link set dev {right_device} up")

    def _add_internet(self) -> None:
        internet = self._add_namespace(INTERNET, forwards=True)
        server = self._add_namespace(SERVER)
        self._connect(INTERNET, SERVER, SERVER, "eth0")
        internet.append(f"addr add {SERVER_GATEWAY}/32 dev {SERVER}")
        for address in SERVER_ADDRESSES:
            internet.append(f"route add {address}/32 dev {SERVER}")
            server.append(f"addr add {address}/32 dev eth0")
        server.append(f"route add default via {SERVER_GATEWAY} dev eth0 onlink src {SERVER_ADDRESSES[0]}")
        if self._topology.ipv6:
            internet.append(f"addr add {SERVER_GATEWAY6}/64 dev {SERVER} nodad")
            server += [f"addr add {address}/64 dev eth0 nodad" for address in SERVER_ADDRESSES6]
            server.append(f"route add default via {SERVER_GATEWAY6}")
        top = [router for router in self._topology.routers if router.uplink is None]
        turning = [self._plans[router.name].wan for router in top if router.hairpin]
        self._rules[INTERNET] = link_table((router.name for router in top), turning)

    def _add_router(self, router: Router, plan: RouterPlan) -> None:
        commands = self._add_namespace(router.name, forwards=True)
        commands.append("link add name lan type bridge mcast_snooping 0")
        if router.uplink is None:
            self._connect_to_internet(router, plan)
        else:
            self._connect(router.uplink, f"d-{router.name}", router.name, "wan")
            self._commands[router.uplink].append(f"link set d-{router.name} master lan")
        commands += [
            f"addr add {plan.wan}/{plan.wan_prefix} dev wan",
            f"route add default via {plan.gateway}",
            "link set dev lan up",
            f"addr add {plan.lan}/{plan.lan_prefix} dev lan",
        ]
        if plan.has_ipv6:
            commands += [
                f"addr add {plan.wan6}/64 dev wan nodad",
                f"route add default via {plan.gateway6}",
                f"addr add {plan.lan6}/64 dev lan nodad",
            ]
        for index, host in enumerate(router.host_names):
            self._add_host(router, plan, index, host)
        self._add_behaviour(router, plan)

    def _connect_to_internet(self, router: Router, plan: RouterPlan) -> None:
        self._connect(INTERNET, router.name, router.name, "wan")
        internet = self._commands[INTERNET]
        internet.append(f"addr add {plan.gateway}/{plan.wan_prefix} dev {router.name}")
        # Its public LAN if it has one, and the other address its provider may give it.
        internet.append(f"route add 203.0.113.{16 * plan.number}/28 via {plan.wan}")
        if plan.has_ipv6:
            internet.append(f"addr add {plan.gateway6}/64 dev {router.name} nodad")
            internet.append(f"route add {plan.network6} via {plan.wan6}")

    def _add_host(self, router: Router, plan: RouterPlan, index: int, host: str) -> None:
        commands = self._add_namespace(host)
        self._connect(router.name, f"h{index + 1}", host, "eth0")
        self._commands[router.name].append(f"link set h{index + 1} master lan")
        if router.isolated:
            self._commands[router.name].append(f"link set h{index + 1} type bridge_slave isolated on")
        commands += host_commands(plan, index, "eth0", router.family)

    def _add_behaviour(self, router: Router, plan: RouterPlan) -> None:
        self._rules[router.name] = router_rules(router, plan.wan, plan.pool)
        sysctls = self._sysctls[router.name]
        if self._rules[router.name]:
            sysctls["net/netfilter/nf_conntrack_udp_timeout"] = router.lifetime_s
            sysctls["net/netfilter/nf_conntrack_udp_timeout_stream"] = router.lifetime_s
        if router.hairpin:
            self._commands[router.name] += hairpin_commands(plan.wan, plan.gateway)
            sysctls |= {
                "net/ipv4/conf/wan/accept_local": 1,
                "net/ipv4/conf/all/rp_filter": 0,
                "net/ipv4/conf/wan/rp_filter": 0,
            }


def router_rules(router: Router, wan_address: str, pool: Sequence[str]) -> str:
    """Write the nft rules of a router, empty for one that only forwards."""
    rules = ruleset(
        kind_named(router.kind),
        wan_address=wan_address,
        pool=pool,
        servers=SERVER_ADDRESSES,
        lifetime_s=router.lifetime_s,
        wan_input=router.wan_input,
        session_cap=router.session_cap,
        evicts=router.session_full == "evict",
    )
    return rules + (RULES_FOLDER / "portmap.nft").read_text() if router.portmap else rules


def host_commands(plan: RouterPlan, index: int, device: str, family: str) -> list[str]:
    """Write the ``ip`` commands that give a host its addresses and its way out.

    Args:
        plan: The addresses of its router.
        index: Which host of the LAN it is, from 0.
        device: Its interface there.
        family: The addresses it gets, one of the constants in `natlab.topology`.
    """
    commands = []
    if family != FAMILY_IPV6:
        commands += [
            f"addr replace {plan.host_address(index)}/{plan.lan_prefix} dev {device}",
            f"route replace default via {plan.lan} dev {device}",
        ]
    if family != FAMILY_IPV4 and plan.has_ipv6:
        commands += [
            f"addr replace {plan.host_address6(index)}/64 dev {device} nodad",
            f"route replace default via {plan.lan6} dev {device}",
        ]
    return commands


def hairpin_commands(wan_address: str, gateway: str) -> list[str]:
    """Write the ``ip`` commands that let hosts reach each other through the router's outside address.

    Packets from the LAN to the outside address take a turn around the next router, so that they come back as what
    any packet from outside is, and meet the same rules.
    """
    return [
        "rule add pref 10 lookup local",
        "rule del pref 0 lookup local",
        f"rule add pref 5 iif lan to {wan_address}/32 lookup {_HAIRPIN_TABLE}",
        f"route add default via {gateway} dev wan table {_HAIRPIN_TABLE}",
    ]
