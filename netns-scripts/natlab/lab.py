"""A lab that is up: run things in it, disturb it, take it down."""

from __future__ import annotations

import re
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from types import TracebackType
from typing import Any, Final

from .builder import Builder, router_rules
from .cuts import CUT_ALL as CUT_ALL
from .cuts import CUT_SERVER as CUT_SERVER
from .cuts import CUT_UDP_PEER as CUT_UDP_PEER
from .cuts import cut_table
from .delays import command_delay_line, start_delay_line
from .errors import LabError
from .interfaces import switch_off_offload, wait_until_running
from .links import kernel_has_netem, loss_rules, queue_link, queue_numbers, set_queueing
from .namespaces import NAMESPACE_FOLDER, entered, require_root
from .plan import INTERNET, SERVER, SERVER_ADDRESSES, SERVER_ADDRESSES6, RouterPlan, namespace_name, plan_routers
from .shapes import LinkShape
from .state import LabState, OwnedProcess, load_state
from .tools import ip_batch, load_rules, require_tools, run_tool
from .topology import Topology

_PREFIX: Final = re.compile(r"[a-z][a-z0-9]{0,19}")


class Lab:
    """One lab; made by `up` or found by `attach`. As a context manager it is taken down at the end of the block.

    Not safe for use by several threads at once, but for `popen`, `run` and `entered`.
    """

    def __init__(self, state: LabState) -> None:
        self._state = state
        self._plans: Mapping[str, RouterPlan] = plan_routers(state.topology)
        self._delay_process: subprocess.Popen[str] | None = None

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
        require_tools("ip", "nft")
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

    @property
    def prefix(self) -> str:
        """What its namespaces' names start with."""
        return self._state.prefix

    @property
    def topology(self) -> Topology:
        """What it was built from."""
        return self._state.topology

    def _refresh(self) -> None:
        """Take over what other processes did to the lab since.

        Raises:
            LabError: One of them took it down.
        """
        found = load_state(self.prefix)
        if found.identity != self._state.identity:
            raise LabError(f"the lab {self.prefix!r} was taken down", "Another one has its prefix now.")
        self._state = found

    def down(self) -> None:
        """End its delay line and delete its namespaces. Doing it again does nothing."""
        process, self._delay_process = self._delay_process, None
        if process is not None:
            process.kill()
            process.wait()
        try:
            self._refresh()
        except LabError:
            return
        if self._state.delay_line is not None:
            self._state.delay_line.kill()
        present = [name for name in self._state.namespaces if (NAMESPACE_FOLDER / name).exists()]
        ip_batch((f"netns del {name}" for name in present), may_fail=True)
        self._state.forget()

    def namespace(self, name: str) -> str:
        """The network namespace of a host, a router, ``inet`` or ``srv``.

        Raises:
            LabError: The lab has nothing of this name.
        """
        namespace = namespace_name(self.prefix, name)
        if namespace not in self._state.namespaces:
            known = ", ".join(known.partition("-")[2] for known in self._state.namespaces)
            raise LabError(f"the lab {self.prefix!r} has no {name!r}", f"It has: {known}.")
        return namespace

    def entered(self, name: str) -> AbstractContextManager[None]:
        """Be in a host's namespace for the length of a `with` block: this thread only, and without awaiting.

        Raises:
            LabError: The lab has nothing of this name.
        """
        return entered(self.namespace(name))

    def popen(self, name: str, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program on a host.

        Args:
            name: The host.
            command: Program and arguments.
            options: As for `subprocess.Popen`.

        Raises:
            LabError: The lab has nothing of this name.
        """
        with self.entered(name):
            return subprocess.Popen(command, **options)

    def run(
        self, name: str, command: Sequence[str], *, timeout_s: float = 30.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on a host to its end, and keep what it prints.

        Args:
            name: The host.
            command: Program and arguments.
            timeout_s: When it is ended, in seconds.
            check: Whether its failure is an error.

        Raises:
            LabError: The lab has nothing of this name.
            subprocess.CalledProcessError: It failed.
            subprocess.TimeoutExpired: It took too long.
        """
        with self.entered(name):
            return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=check)

    def address(self, name: str) -> str:
        """The IPv4 address of a host or of ``srv``, or a router's outside one.

        Raises:
            LabError: The lab has nothing of this name.
        """
        if name == SERVER:
            return SERVER_ADDRESSES[0]
        for router in self.topology.routers:
            plan = self._plans[router.name]
            if name == router.name:
                return self._state.wan_addresses.get(name, plan.wan)
            if name in router.host_names:
                return plan.host_addresses[router.host_names.index(name)]
        raise LabError(f"the lab {self.prefix!r} has no host {name!r}", "See `lab list`.")

    def address6(self, name: str) -> str:
        """The IPv6 address of a host or of ``srv``, or a router's outside one.

        Raises:
            LabError: The lab has nothing of this name, or no IPv6 there.
        """
        if name == SERVER and self.topology.ipv6:
            return SERVER_ADDRESSES6[0]
        for router in self.topology.routers:
            plan = self._plans[router.name]
            if plan.has_ipv6 and name == router.name:
                return plan.wan6
            if plan.has_ipv6 and name in router.host_names:
                return plan.host_address6(router.host_names.index(name))
        raise LabError(f"{name!r} has no IPv6 address in the lab {self.prefix!r}", "See its topology.")

    def reboot(self, router: str) -> None:
        """Let a router forget every session and every mapping, at once.

        Raises:
            LabError: There is no such router.
        """
        require_tools("conntrack")
        self._refresh()
        rules = "flush ruleset\n" + router_rules(
            self.topology.router(router), self.address(router), self._plans[router].pool
        )
        load_rules(rules, namespace=self.namespace(router))
        run_tool(["conntrack", "-F"], namespace=self.namespace(router))

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
        old_prefix = 30 if old == plan.wan else 32
        ip_batch(
            [
                f"addr del {old}/{old_prefix} dev wan",
                f"addr add {address}/{30 if address == plan.wan else 32} dev wan",
                f"route replace {plan.gateway} dev wan",
                f"route replace default via {plan.gateway} dev wan onlink",
            ],
            namespace=self.namespace(router),
        )
        ip_batch(
            [
                f"route replace {address}/32 dev {router}",
                f"route replace 203.0.113.{16 * plan.number}/28 via {address} dev {router} onlink",
            ],
            namespace=self.namespace(INTERNET),
        )
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
