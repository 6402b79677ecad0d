"""A lab that is up: run things in it, disturb it, take it down."""

from __future__ import annotations

import re
import secrets
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Final

from .builder import Builder, router_rules
from .cuts import CUT_ALL as CUT_ALL
from .cuts import CUT_SERVER as CUT_SERVER
from .cuts import CUT_UDP_PEER as CUT_UDP_PEER
from .cuts import cut_table
from .delays import command_delay_line, start_delay_line
from .errors import LabError
from .hosts import LabHosts
from .interfaces import switch_off_offload, wait_until_running
from .links import kernel_has_netem, loss_rules, queue_link, queue_numbers, set_queueing
from .moves import (
    arrive_commands,
    free_place,
    leave_commands,
    readdress_commands,
    signal_programs,
    sleep_rules,
)
from .namespaces import NAMESPACE_FOLDER, require_root
from .plan import INTERNET, SERVER, namespace_name, plan_routers
from .port_mapper import start_port_mapper
from .shapes import LinkShape
from .state import LabState, OwnedProcess, load_state
from .tools import ip_batch, load_rules, require_tools, run_tool
from .topology import Topology

_SWITCHED_OFF: Final = """\
flush ruleset
table inet off {
	chain nothing {
		type filter hook prerouting priority -500; policy drop;
	}
}
"""
_PREFIX: Final = re.compile(r"[a-z][a-z0-9]{0,19}")


class Lab(LabHosts):
    """One lab; made by `up` or found by `attach`. As a context manager it is taken down at the end of the block.

    Not safe for use by several threads at once, but for `popen`, `run` and `entered`.
    """

    def __init__(self, state: LabState) -> None:
        super().__init__(state)
        self._delay_process: subprocess.Popen[str] | None = None
        self._port_mappers: list[subprocess.Popen[bytes]] = []

    @classmethod
    def up(cls, topology: Topology, *, prefix: str | None = None) -> Lab:
        """Build a lab.

        Args:
            topology: What to build.
            prefix: What its namespaces' names start with; the topology's name where not given.

        Raises:
            LabError: There is such a lab already, something is missing on this machine, or the kernel refused
                something. Then nothing is left behind.
        """
        require_root()
        require_tools("ip", "nft", *(["miniupnpd"] if any(router.portmap for router in topology.routers) else []))
        prefix = topology.name if prefix is None else prefix
        if _PREFIX.fullmatch(prefix) is None:
            raise LabError(f"{prefix!r} is no prefix", "Take a letter and up to nineteen letters or digits.")
        builder = Builder(prefix, topology, plan_routers(topology))
        state = LabState(prefix=prefix, identity=secrets.token_hex(8), topology=topology, namespaces=builder.namespaces)
        state.links = {router.name: LinkShape() for router in topology.routers if router.uplink is None}
        state.claim()
        foreign = [name for name in builder.namespaces if (NAMESPACE_FOLDER / name).exists()]
        if foreign:
            state.forget()
            raise LabError(
                f"network namespaces of these names exist and are not the lab's: {', '.join(foreign)}",
                "Give another --prefix.",
            )
        lab = cls(state)
        try:
            builder.build()
            if not topology.offload:
                for name in (SERVER, *(host for router in topology.routers for host in router.host_names)):
                    switch_off_offload(namespace_name(prefix, name), "eth0")
            lab.set_links({r.name: r.link for r in topology.routers if r.link != LinkShape()})
            wait_until_running(state.namespaces)
            lab._start_port_mappers()
        except BaseException:
            lab.down()
            raise
        return lab

    @classmethod
    def attach(cls, prefix: str) -> Lab:
        """Find a lab that another process built.

        Raises:
            LabError: There is none of this prefix, or we are not root.
        """
        require_root()
        return cls(load_state(prefix))

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def down(self) -> None:
        """End its delay line and delete its namespaces. Doing it again does nothing."""
        process, self._delay_process = self._delay_process, None
        if process is not None:
            process.kill()
            process.wait()
        for port_mapper in self._port_mappers:
            port_mapper.kill()
            port_mapper.wait()
        self._port_mappers.clear()
        try:
            self._refresh()
        except LabError:
            return
        if self._state.delay_line is not None:
            self._state.delay_line.kill()
        for owned in self._state.port_mappers.values():
            owned.kill()
        present = [name for name in self._state.namespaces if (NAMESPACE_FOLDER / name).exists()]
        ip_batch((f"netns del {name}" for name in present), may_fail=True)
        self._state.forget()

    def _start_port_mappers(self) -> None:
        for router in self.topology.routers:
            if router.portmap:
                self._start_port_mapper(router.name)

    def _start_port_mapper(self, router: str) -> None:
        process = start_port_mapper(self.namespace(router), self._state.port_mapper_path(router))
        self._port_mappers.append(process)
        self._state.port_mappers[router] = OwnedProcess.of(process.pid)
        self._state.save()

    def move(self, host: str, router: str, *, keep: bool = False) -> str:
        """Let a host go to another router's LAN, as a laptop goes from Wi-Fi to mobile.

        Args:
            host: The host.
            router: The router of its new LAN.
            keep: Whether it keeps its old interface and address, and only its default route moves.

        Returns:
            Its IPv4 address there.

        Raises:
            LabError: There is no such host or router, or the host is there already.
        """
        self._refresh()
        old, own = self._home(host), self._own_home(host)
        target = self.topology.router(router)
        if old.router == router:
            raise LabError(f"{host} is behind {router} already", "Name another router.")
        commands = leave_commands(old, guest=old != own, keep=keep and old == own)
        # It is let go first: a host has one guest's interface at most.
        ip_batch(commands, namespace=self.namespace(host))
        others = [home for guest, home in self._state.guests.items() if guest != host]
        new = own if router == own.router else free_place(target, self._plans[router], others, device="eth1")
        if new != own:
            port = f"v-{host}"
            ip_batch(
                [
                    f"link add name {port} netns {self.namespace(router)} type veth"
                    f" peer name {new.device} netns {self.namespace(host)}"
                ]
            )
            ip_batch([f"link set {port} master lan", f"link set {port} up"], namespace=self.namespace(router))
        family = self.topology.router(own.router).family
        ip_batch(arrive_commands(new, self._plans[router], family), namespace=self.namespace(host))
        self._state.guests.pop(host, None)
        if new != own:
            self._state.guests[host] = new
        self._state.save()
        return self.address(host)

    def sleep(self, host: str) -> int:
        """Stop every program on a host, and let it hear nothing, until `wake`.

        Returns:
            How many programs sleep.

        Raises:
            LabError: The lab has nothing of this name.
        """
        load_rules(sleep_rules(asleep=True), namespace=self.namespace(host))
        return signal_programs(self.namespace(host), signal.SIGSTOP)

    def wake(self, host: str) -> int:
        """Undo `sleep`.

        Returns:
            How many programs go on.

        Raises:
            LabError: The lab has nothing of this name.
        """
        load_rules(sleep_rules(asleep=False), namespace=self.namespace(host))
        return signal_programs(self.namespace(host), signal.SIGCONT)

    def reboot(self, router: str) -> None:
        """Let a router forget every session and every mapping, at once; its port mapper begins anew.

        Raises:
            LabError: There is no such router, or its port mapper does not start again.
        """
        require_tools("conntrack")
        self._refresh()
        rules = "flush ruleset\n" + router_rules(
            self.topology.router(router), self.address(router), self._plans[router].pool
        )
        # Nothing passes meanwhile, or a busy flow would carry its old mapping over.
        load_rules(_SWITCHED_OFF, namespace=self.namespace(router))
        run_tool(["conntrack", "-F"], namespace=self.namespace(router))
        port_mapper = self._state.port_mappers.get(router)
        if port_mapper is not None:
            port_mapper.kill()
        load_rules(rules, namespace=self.namespace(router))
        if port_mapper is not None:
            self._start_port_mapper(router)

    def readdress(self, router: str, address: str | None = None) -> str:
        """Give a router another outside IPv4 address, as a provider does; it forgets every session.

        Args:
            router: The router.
            address: Its new address; by default a spare one, or its first one where it has the spare one now.

        Returns:
            The address it has now.

        Raises:
            LabError: There is no such router, it is not on the internet itself, or the address is none.
        """
        self._refresh()
        values, plan = self.topology.router(router), self._plans[router]
        if values.uplink is not None or values.hairpin:
            raise LabError(f"router {router} cannot get another address", "Take one without uplink and hairpin.")
        old = self.address(router)
        if address is None:
            address = plan.spare_wan if old == plan.wan else plan.wan
        if address == old:
            return old
        inside, outside = readdress_commands(router, plan, old, address)
        ip_batch(inside, namespace=self.namespace(router))
        ip_batch(outside, namespace=self.namespace(INTERNET))
        self._state.wan_addresses[router] = address
        self._state.save()
        self.reboot(router)
        return address

    def link(self, router: str) -> LinkShape:
        """The shape of a router's uplink.

        Raises:
            LabError: There is no such router on the internet itself.
        """
        self._refresh()
        try:
            return self._state.links[router]
        except KeyError:
            raise LabError(
                f"{router!r} is no router on the internet itself", f"Routers: {', '.join(self._state.links)}."
            ) from None

    def set_link(self, router: str, **changes: float) -> LinkShape:
        """Change the shape of a router's uplink while packets flow.

        Args:
            router: The router.
            changes: Fields of `LinkShape`; the others stay as they are.

        Returns:
            The shape it has now.

        Raises:
            LabError: There is no such router, or the kernel cannot do it.
        """
        shape = replace(self.link(router), **changes)  # type: ignore[arg-type]
        self.set_links({router: shape})
        return shape

    def set_links(self, shapes: Mapping[str, LinkShape]) -> None:
        """Give several uplinks their shapes.

        Raises:
            LabError: There is no such router, or the kernel cannot do it.
        """
        if not shapes:
            return
        old = {router: self.link(router) for router in shapes}
        if any(shape.delays for shape in shapes.values()) and self._state.netem is None:
            require_tools("tc")
            self._state.netem = kernel_has_netem(self.prefix)
        netem = bool(self._state.netem)
        losses = "".join(loss_rules(r, shape) for r, shape in shapes.items() if shape.loss != old[r].loss)
        if losses:
            load_rules(losses, namespace=self.namespace(INTERNET))
        changes = {router: (old[router], shape) for router, shape in shapes.items()}
        if any(before.rate_bps or after.rate_bps for before, after in changes.values()):
            require_tools("tc")
        set_queueing(self.prefix, changes, netem=netem)
        if not netem:
            self._delay({r: shape for r, shape in shapes.items() if shape.delays or r in self._state.queued})
        self._state.links |= shapes
        self._state.save()

    def _delay(self, shapes: Mapping[str, LinkShape]) -> None:
        """Have the delay line delay these links' packets; it runs as long as the lab is up."""
        if not shapes:
            return
        if self._state.delay_line is None:
            self._delay_process = start_delay_line(self.namespace(INTERNET), self._state.control_path)
            self._state.delay_line = OwnedProcess.of(self._delay_process.pid)
            self._state.save()
        delays = {
            number: (shape.delay_s, shape.jitter_s)
            for router, shape in shapes.items()
            for number in queue_numbers(self._plans[router].number)
        }
        command_delay_line(self._state.control_path, delays)
        for router in shapes:
            if router not in self._state.queued:
                queue_link(self.prefix, router, self._plans[router].number)
                self._state.queued.append(router)

    def cut(self, router: str, what: str = CUT_ALL) -> None:
        """Drop traffic of a router on its way through the internet, until `restore`.

        Args:
            router: The router.
            what: `CUT_ALL`: everything. `CUT_UDP_PEER`: UDP between its hosts and those of other routers; the
                server is still reached. `CUT_SERVER`: everything to and from the server.

        Raises:
            LabError: There is no such router on the internet itself.
        """
        self.link(router)
        self._state.cuts[router] = what
        self._load_cuts()

    def restore(self, router: str) -> None:
        """Undo `cut`.

        Raises:
            LabError: There is no such router on the internet itself.
        """
        self.link(router)
        self._state.cuts.pop(router, None)
        self._load_cuts()

    def _load_cuts(self) -> None:
        load_rules(cut_table(self._state.cuts), namespace=self.namespace(INTERNET))
        self._state.save()
