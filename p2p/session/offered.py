"""What an exposer tells of its services, and what a dialer makes of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from p2p.errors import ErrorCode, ForwardError
from p2p.proto.proxy import PROXY_SERVICE
from p2p.proto.tunnel.codes import StreamCode, stream_error
from p2p.proto.tunnel.control import PROTOCOL_VERSIONS
from p2p.proto.tunnel.frames import REVERSE_FEATURE, Hello, OfferedService
from p2p.proto.tunnel.header import FlowKind
from p2p.session.version import toolkit_version
from p2p.target import Offered, Target, TcpTarget, UdpTarget

CODE_NO_PROXY: Final = ErrorCode("P2P-6421", "Ask the exposing side to start `p2p expose` with --proxy-to DESTINATION.")

_NAMED_IN_AN_ERROR = 8


def introduction(
    targets: Mapping[str, Offered], wanted: Collection[str] = (), *, built_in: Iterable[str] = ()
) -> Hello:
    """What a side tells the other of itself.

    Args:
        targets: What the other side may open flows to.
        wanted: Services of the other side that we listen for.
        built_in: Names of services that we have built in, beside those that our user named.
    """
    named = (
        OfferedService(name, FlowKind.DATAGRAMS if isinstance(target, UdpTarget) else FlowKind.STREAM)
        for name, target in targets.items()
    )
    services = (*named, *(OfferedService(name, FlowKind.STREAM) for name in built_in))
    features = frozenset({REVERSE_FEATURE} if wanted else ())
    return Hello(PROTOCOL_VERSIONS, toolkit_version(), features, services, tuple(wanted))


def named_services(hello: Hello | None) -> tuple[OfferedService, ...]:
    """What the exposer's user named; built-in services have a slash in their names."""
    return () if hello is None else tuple(service for service in hello.services if "/" not in service.name)


def free_places(hello: Hello | None) -> dict[str, Target]:
    """A free local port for each service on offer; a TCP port for the only one of an exposer that does not tell."""
    services = named_services(hello)
    if not services and hello is not None and hello.wanted:
        return {}  # it is there for services of ours
    return {
        service.name: (UdpTarget if service.kind == FlowKind.DATAGRAMS else TcpTarget)("127.0.0.1", 0)
        for service in services or (OfferedService(""),)
    }


def missing_service(hello: Hello | None, wanted: Collection[str]) -> ForwardError | None:
    """Say which wanted service is not on offer, and what is."""
    told = () if hello is None else tuple(service.name for service in hello.services)
    if told and PROXY_SERVICE in wanted and PROXY_SERVICE not in told:
        return ForwardError("the exposing side has no proxy for us", code=CODE_NO_PROXY)
    names = tuple(service.name for service in named_services(hello))
    wanted = [name for name in wanted if "/" not in name]
    missing = [name for name in wanted if name not in names and (name or len(names) > 1)]
    if not names or not missing:
        return None
    shown = ", ".join(name or "one without a name" for name in names[:_NAMED_IN_AN_ERROR])
    more = f" and {len(names) - _NAMED_IN_AN_ERROR} more" if len(names) > _NAMED_IN_AN_ERROR else ""
    wish = f"no service {missing[0]!r} is on offer" if missing[0] else "there are several services"
    return ForwardError(f"{wish}; there is {shown}{more}", code=stream_error(StreamCode.SERVICE_UNKNOWN).error_code)
