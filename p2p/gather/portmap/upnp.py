"""A port at a UPnP router.

Source: WANIPConnection:1 sections 2.4.16 to 2.4.18, WANIPConnection:2 section 2.5.19.
"""

from __future__ import annotations

import ipaddress
import logging
import secrets
from collections.abc import Callable
from typing import Final

from p2p.address import TransportAddress
from p2p.defaults import PORTMAP_CONFLICT_TRIES, PORTMAP_LIFETIME_S
from p2p.errors import DecodeError
from p2p.gather.interfaces import Gateway
from p2p.gather.portmap.http import RouterHttp
from p2p.proto.portmap import soap
from p2p.proto.portmap.device import WanService, decode_description_untrusted
from p2p.proto.portmap.errors import CODE_UNUSABLE, PortMappingError
from p2p.proto.portmap.mapping import MappingProtocol, PortMapping

logger = logging.getLogger(__name__)

_NAME: Final = "p2p-toolkit"
_FIRST_PORT: Final = 1024
_PORTS: Final = 65536 - _FIRST_PORT


def _random_port() -> int:
    return _FIRST_PORT + secrets.randbelow(_PORTS)


class UpnpRouter:
    """Asks one router for ports; made by ``describe``.

    Args:
        gateway: The router.
        http: How it is asked.
        services: Those of its services that forward ports, the preferred ones first.
        random_port: Picks an outside port when the one we want is somebody else's.
    """

    def __init__(
        self,
        gateway: Gateway,
        http: RouterHttp,
        services: tuple[WanService, ...],
        *,
        random_port: Callable[[], int] = _random_port,
    ) -> None:
        self.external_host: str | None = None
        """The router's outside address, as it said last."""
        self._gateway = gateway
        self._http = http
        self._services = services
        self._random_port = random_port

    @property
    def igd_version(self) -> int:
        """1 or 2: the version of InternetGatewayDevice whose service is used."""
        return self._services[0].igd_version

    @classmethod
    async def describe(
        cls, gateway: Gateway, http: RouterHttp, location: str, *, random_port: Callable[[], int] = _random_port
    ) -> UpnpRouter:
        """Read a router's description, and find the service that is on the internet.

        Args:
            gateway: The router.
            http: How it is asked.
            location: The URL of its description.
            random_port: See the class.

        Raises:
            PortMappingError: It has none that can be used.
        """
        try:
            services = decode_description_untrusted(await http.get(location), location=location, host=gateway.host)
        except DecodeError as error:
            raise PortMappingError(f"the router {gateway.host}: {error.detail}", code=CODE_UNUSABLE) from error
        router = cls(gateway, http, services, random_port=random_port)
        await router.ask_external_host()
        return router

    async def ask_external_host(self) -> str:
        """Ask for the outside address, of each service until one has it.

        Raises:
            PortMappingError: The router has none.
        """
        problem: PortMappingError | None = None
        for service in self._services:
            try:
                request = soap.encode_action(service.type, "GetExternalIPAddress")
                values = await self._post(service, "GetExternalIPAddress", request)
                host = ipaddress.IPv4Address(values.get("NewExternalIPAddress", ""))
            except PortMappingError as error:
                problem = problem or error
                continue
            except ValueError:
                continue
            if not host.is_unspecified:
                # A router with several lines describes each; the others are down.
                self._services = (service,)
                self.external_host = str(host)
                return self.external_host
        raise problem or PortMappingError(f"the router {self._gateway.host} has no outside address")

    async def map(self, internal_port: int, *, wanted_port: int, lifetime_s: int = PORTMAP_LIFETIME_S) -> PortMapping:
        """Have a UDP port forwarded, or a forwarded one renewed.

        A port that belongs to somebody else is replaced by another one; a router that forwards for ever only does so
        until ``unmap``.

        Args:
            internal_port: Ours.
            wanted_port: The outside port that we would like.
            lifetime_s: How long to ask for, in seconds.

        Raises:
            PortMappingError: It does not.
        """
        host = await self.ask_external_host()
        service = self._services[0]
        action = "AddAnyPortMapping" if service.picks_ports else "AddPortMapping"
        port, lease_s, tries_left = wanted_port, lifetime_s, PORTMAP_CONFLICT_TRIES
        while True:
            request = soap.add_port_mapping(
                service.type,
                action=action,
                internal_host=self._gateway.source,
                internal_port=internal_port,
                external_port=port,
                lease_s=lease_s,
                name=_NAME,
            )
            try:
                values = await self._post(service, action, request)
                break
            except PortMappingError as error:
                if lease_s and error.upnp_code in (soap.ONLY_PERMANENT, soap.INVALID_ARGUMENTS):
                    lease_s = 0
                elif action == "AddAnyPortMapping" and error.upnp_code is not None:
                    action = "AddPortMapping"
                elif tries_left > 1 and error.upnp_code in (soap.CONFLICT, soap.OTHER_MECHANISM):
                    tries_left -= 1
                    port = self._random_port()
                else:
                    raise
        if action == "AddAnyPortMapping":
            port = self._port(values)
        internal = TransportAddress(self._gateway.source, internal_port)
        return PortMapping(MappingProtocol.UPNP, internal, TransportAddress(host, port), lease_s or None)

    async def unmap(self, mapping: PortMapping) -> None:
        """Have a port forwarded no longer.

        Args:
            mapping: From ``map``.

        Raises:
            PortMappingError: The router does not take it back; it may have ended already.
        """
        service = self._services[0]
        request = soap.delete_port_mapping(service.type, external_port=mapping.external.port)
        await self._post(service, "DeletePortMapping", request)

    def _port(self, values: dict[str, str]) -> int:
        try:
            return soap.port_untrusted(values.get("NewReservedPort", ""))
        except DecodeError as error:
            text = f"the router {self._gateway.host} forwards a port and does not say which"
            raise PortMappingError(text, code=CODE_UNUSABLE) from error

    async def _post(self, service: WanService, action: str, request: soap.SoapRequest) -> dict[str, str]:
        try:
            reply = soap.decode_reply_untrusted(await self._http.post(service.control_url, request), action)
        except DecodeError as error:
            raise PortMappingError(f"the router {self._gateway.host}: {error.detail}", code=CODE_UNUSABLE) from error
        if isinstance(reply, soap.SoapFault):
            text = f"the router {self._gateway.host} refuses {action}: {reply}"
            raise PortMappingError(text, upnp_code=reply.code)
        return reply
