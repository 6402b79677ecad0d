"""Which port-mapping protocols the routers in front of us speak, asked once and left as it was."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.gather.interfaces import Gateway, default_gateways
from p2p.gather.portmap.control import PortControl
from p2p.gather.portmap.http import BoundedHttp
from p2p.gather.portmap.search import find_description
from p2p.gather.portmap.upnp import UpnpRouter
from p2p.os_errors import reason_of
from p2p.proto.portmap.errors import CODE_UNUSABLE, PortMappingError
from p2p.proto.portmap.mapping import MappingProtocol
from p2p.proto.portmap.pcp import NONCE_BYTES, PCP_PORT
from p2p.proto.portmap.ssdp import SSDP_GROUP


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolAnswer:
    """One router spoke one protocol."""

    protocol: MappingProtocol
    """Which."""
    gateway: str
    """The router's IP address."""
    external_host: str | None
    """The outside address that it told; None when it told none."""
    took_s: float
    """How long it took until all was known, in seconds."""
    igd_version: int | None = None
    """1 or 2 with UPnP: which InternetGatewayDevice it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortMappingFacts:
    """What is known of port mapping in the network in front of us."""

    gateways: tuple[str, ...] = ()
    """The routers that were asked; empty when this host has no default route."""
    answers: tuple[ProtocolAnswer, ...] = ()
    """Who answered in which protocol: by router, the preferred protocols first."""
    problems: tuple[str, ...] = ()
    """Why not, where something is wrong with an answer; each a few words."""


@dataclass(slots=True)
class _Found:
    """What one probe of a router brings."""

    answers: list[ProtocolAnswer] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


async def probe_port_mapping(
    gateways: Sequence[Gateway] | None = None,
    *,
    control_port: int = PCP_PORT,
    ssdp_group: TransportAddress = SSDP_GROUP,
) -> PortMappingFacts:
    """Ask all routers in all protocols at once; takes 1.6 s where one is silent, and never more than a few seconds.

    PCP tells an outside address only with a port, so one is asked for and given back.

    Args:
        gateways: The routers; None means those of the default routes.
        control_port: Where they listen for PCP and NAT-PMP.
        ssdp_group: Where UPnP routers are searched.
    """
    gateways = default_gateways() if gateways is None else gateways
    async with TaskScope() as scope:
        probes = []
        for gateway in gateways:
            probes.append(scope.start(_probe_control(gateway, control_port), name="PCP and NAT-PMP probe"))
            if not gateway.is_ipv6:
                probes.append(scope.start(_probe_upnp(gateway, ssdp_group), name="UPnP probe"))
        results = [await probe for probe in probes]
    return PortMappingFacts(
        gateways=tuple(gateway.host for gateway in gateways),
        answers=tuple(answer for found in results for answer in found.answers),
        problems=tuple(problem for found in results for problem in found.problems),
    )


async def _probe_control(gateway: Gateway, server_port: int) -> _Found:
    loop = asyncio.get_running_loop()
    # Held as long as the port may be forwarded, so that nobody else has it then.
    with socket.socket(socket.AF_INET6 if gateway.is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM) as held:
        try:
            held.bind((gateway.source, 0))
            control = PortControl(
                loop,
                gateway,
                held.getsockname()[1],
                nonce=os.urandom(NONCE_BYTES),
                on_changed=lambda mapping: None,
                server_port=server_port,
            )
        except OSError as error:
            return _Found(problems=[f"the router {gateway.host} cannot be asked: {reason_of(error)}"])
        except PortMappingError as error:
            return _Found(problems=[error.detail])
        started_at = loop.time()
        try:
            await control.outcome()
            took_s = loop.time() - started_at
            heard = dict(control.client.heard)
            await control.unmap()
        finally:
            control.close()
    answers = [
        ProtocolAnswer(protocol=protocol, gateway=gateway.host, external_host=heard[protocol], took_s=took_s)
        for protocol in MappingProtocol
        if protocol in heard
    ]
    return _Found(answers, [control.error.detail] if heard and control.error is not None else [])


async def _probe_upnp(gateway: Gateway, group: TransportAddress) -> _Found:
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    try:
        location = await find_description(gateway, group=group)
        async with BoundedHttp(gateway) as http:
            router = await UpnpRouter.describe(gateway, http, location)
    except PortMappingError as error:
        # That most routers are silent is no problem worth a word; that one answers nonsense is.
        return _Found(problems=[error.detail] if error.error_code is CODE_UNUSABLE else [])
    answer = ProtocolAnswer(
        protocol=MappingProtocol.UPNP,
        gateway=gateway.host,
        external_host=router.external_host,
        took_s=loop.time() - started_at,
        igd_version=router.igd_version,
    )
    return _Found([answer])
