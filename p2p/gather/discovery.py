"""What the outside sees of our sockets: mapped addresses at once, the NAT's behaviour a moment later."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Sequence
from functools import partial

from p2p.address import TransportAddress
from p2p.aio.driver import MachineDriver
from p2p.aio.tasks import TaskScope
from p2p.errors import ConnectivityError
from p2p.gather.nat import discover_behaviour
from p2p.gather.nat_cache import NatCache, complete, here
from p2p.path.base import SocketBase
from p2p.path.endpoint import Endpoint
from p2p.proto.path.reason import NatFacts
from p2p.proto.stun.behaviour import NatBehaviour, PortAllocation
from p2p.proto.stun.client import BindingClient, BindingEvent, BindingSucceeded

logger = logging.getLogger(__name__)


def servers_to_test(servers: Sequence[TransportAddress], families: Collection[bool]) -> list[TransportAddress]:
    """Choose the STUN servers that say how the NAT behaves: those of one address family.

    The tests of IPv4 decide: IPv6 has no NAT, and its firewalls answer to plain checks. But on a host without IPv4 they
    would say that UDP is blocked.

    Args:
        servers: All of them.
        families: The families of our sockets: whether each is IPv6.
    """
    ours = [server for server in servers if server.is_ipv6 in families] or list(servers)
    return [server for server in ours if not server.is_ipv6] or ours


class Discovery:
    """Asks STUN servers from each socket of an endpoint, and finds out how the NAT behaves.

    Concurrency: one event loop; the behaviour tests are one task in the scope.

    Args:
        loop: The event loop.
        endpoint: Its sockets are asked about.
        scope: Where the tests run.
        on_mapped: Called with a socket's base id, its mapped address and the server that told it.
        on_facts: Called each time more is known of the NAT.
        on_done: Called when the tests are over.
        on_lifetime: Called with how long mappings live, as far as it is remembered of the network that we are in now.
        direct_disabled: Whether the user wants no direct path; part of the facts.
        birthday_disabled: Whether the user does not want many ports tried at random; part of the facts.
        cache: What was learned of each network; its facts hold until the tests say otherwise.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        endpoint: Endpoint,
        scope: TaskScope,
        *,
        on_mapped: Callable[[int, TransportAddress, TransportAddress], None],
        on_facts: Callable[[NatFacts], None],
        on_done: Callable[[], None],
        on_lifetime: Callable[[tuple[float, float | None] | None], None] = lambda _: None,
        direct_disabled: bool = False,
        birthday_disabled: bool = False,
        cache: NatCache | None = None,
    ) -> None:
        self.facts = NatFacts(direct_disabled=direct_disabled, birthday_disabled=birthday_disabled)
        self._unknown = self.facts
        self.is_done = False
        self.mapped_address: TransportAddress | None = None
        self.port_range: tuple[int, int] | None = None
        """The lowest and the highest port that the NAT was seen to give at random; None if it has several addresses."""
        self._loop = loop
        self._endpoint = endpoint
        self._scope = scope
        self._on_mapped = on_mapped
        self._on_facts = on_facts
        self._on_done = on_done
        self._on_lifetime = on_lifetime
        self._cache = cache or NatCache()
        self._network: str | None = None
        self._remembered: NatFacts | None = None
        self._servers: tuple[TransportAddress, ...] = ()
        self._drivers: dict[tuple[int, TransportAddress], MachineDriver[BindingEvent]] = {}
        self._tests: asyncio.Task[None] | None = None

    @property
    def servers(self) -> tuple[TransportAddress, ...]:
        """The STUN servers in use."""
        return self._servers

    def update(self, servers: Sequence[TransportAddress]) -> None:
        """Use these STUN servers; nothing happens when they are the same as before."""
        if tuple(servers) != self._servers:
            self._servers = tuple(servers)
            self._begin()

    def restart(self) -> None:
        """Forget what was found out, and find it out again: we are in another network now."""
        self.mapped_address = self.port_range = None
        self.is_done = False
        self._know(self._unknown)
        self._begin()

    def _begin(self) -> None:
        self.close()
        for base in self._endpoint.sockets:
            for server in self._servers:
                if server.is_ipv6 is base.local_address.is_ipv6:
                    self._ask(base, server)
        if self._servers:
            self._recall()
            self._tests = self._scope.start(self._test(), name="NAT behaviour tests")

    def stun_received(self, data: bytes, base_id: int, source: TransportAddress, now: float) -> bool:
        """Take the answer of a STUN server.

        Returns:
            Whether it was one.
        """
        driver = self._drivers.get((base_id, source))
        return driver is not None and driver.receive(data, source, now)

    def told(self, base_id: int, mapped: TransportAddress, server: TransportAddress) -> None:
        """Take a mapped address that a server has told unasked: the answer to a knock."""
        self.mapped_address = self.mapped_address or mapped
        self._on_mapped(base_id, mapped, server)

    def ask_again(self) -> None:
        """Ask for the mapped addresses again: a router may have forgotten us, or have got another address itself."""
        for driver in self._drivers.values():
            client = driver.machine
            assert isinstance(client, BindingClient)
            client.start(self._loop.time())
            driver.poke()

    def close(self) -> None:
        """Stop asking."""
        for driver in self._drivers.values():
            driver.close()
        self._drivers.clear()
        if self._tests is not None:
            self._tests.cancel()
            self._tests = None

    def _ask(self, base: SocketBase, server: TransportAddress) -> None:
        client = BindingClient(server, os.urandom)
        driver: MachineDriver[BindingEvent] = MachineDriver(
            self._loop,
            client,
            send=lambda data, destination: base.send((data,), destination),
            on_event=partial(self._answered, base.base_id),
        )
        self._drivers[base.base_id, server] = driver
        client.start(self._loop.time())
        driver.poke()

    def _answered(self, base_id: int, event: BindingEvent) -> None:
        if not isinstance(event, BindingSucceeded):
            logger.info("%s", event.error)
            return
        self.mapped_address = self.mapped_address or event.mapped_address
        self._on_mapped(base_id, event.mapped_address, event.server)

    async def _test(self) -> None:
        servers = servers_to_test(self._servers, {base.local_address.is_ipv6 for base in self._endpoint.sockets})
        try:
            self._learn(await discover_behaviour(servers, on_update=self._learn))
        except ConnectivityError as error:
            logger.warning("the NAT could not be examined: %s", error)
        else:
            if self._network is not None:
                self._cache.remember(self._network, self.facts)
        self._remembered = None
        self.is_done = True
        self._on_done()

    def _recall(self) -> None:
        """Begin with what is remembered of this network; nothing waits for it, and the tests correct it."""
        self._network = None if any(server.ip.is_loopback for server in self._servers) else here()
        recalled = None if self._network is None else self._cache.recall(self._network)
        self._remembered = None if recalled is None else recalled.facts
        self._on_lifetime(None if recalled is None else recalled.lifetime)
        if recalled is not None:
            logger.info("the NAT as of %.0f s ago: %s", recalled.age_s, recalled.facts)
            self._learn(NatBehaviour())

    def _learn(self, behaviour: NatBehaviour) -> None:
        is_random = behaviour.allocation is PortAllocation.RANDOM and len(behaviour.mapped_hosts) == 1
        self.port_range = behaviour.port_range if is_random else None
        facts = NatFacts.of(
            behaviour,
            direct_disabled=self.facts.direct_disabled,
            birthday_disabled=self.facts.birthday_disabled,
        )
        if self._remembered is not None:
            completed = complete(facts, self._remembered)
            if completed is None:
                logger.info("the NAT is not what is remembered of it: %s", facts)
                self._remembered = None
                self._on_lifetime(None)
            facts = completed or facts
        self._know(facts)

    def _know(self, facts: NatFacts) -> None:
        if facts != self.facts:
            self.facts = facts
            self._on_facts(facts)
