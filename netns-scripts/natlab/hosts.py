"""The hosts of a lab that is up: where they are, and how to run things on them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from .errors import LabError
from .moves import Home
from .namespaces import entered
from .plan import SERVER, SERVER_ADDRESSES, SERVER_ADDRESSES6, RouterPlan, namespace_name, plan_routers
from .state import LabState, load_state
from .topology import Topology


class LabHosts:
    """What a lab consists of; the part of `natlab.lab.Lab` that changes nothing.

    Args:
        state: What is known about it.
    """

    def __init__(self, state: LabState) -> None:
        self._state = state
        self._plans: Mapping[str, RouterPlan] = plan_routers(state.topology)

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
        if name in self._plans:
            return self._state.wan_addresses.get(name, self._plans[name].wan)
        home = self._home(name)
        return self._plans[home.router].host_address(home.index)

    def address6(self, name: str) -> str:
        """The IPv6 address of a host or of ``srv``, or a router's outside one.

        Raises:
            LabError: The lab has nothing of this name, or no IPv6 there.
        """
        if name == SERVER and self.topology.ipv6:
            return SERVER_ADDRESSES6[0]
        home = None if name in self._plans or name == SERVER else self._home(name)
        plan = self._plans.get(name if home is None else home.router)
        if plan is None or not plan.has_ipv6:
            raise LabError(f"{name!r} has no IPv6 address in the lab {self.prefix!r}", "See its topology.")
        return plan.wan6 if home is None else plan.host_address6(home.index)

    def _home(self, host: str) -> Home:
        """Where a host is now."""
        return self._state.guests.get(host) or self._own_home(host)

    def _own_home(self, host: str) -> Home:
        """Where a host is by the topology.

        Raises:
            LabError: The lab has no such host.
        """
        for router in self.topology.routers:
            if host in router.host_names:
                return Home(router.name, router.host_names.index(host), "eth0")
        raise LabError(f"the lab {self.prefix!r} has no host {host!r}", "See `lab list`.")
