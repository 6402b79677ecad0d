"""What an exposer tells of its services, and what a dialer makes of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from p2p.errors import ForwardError
from p2p.proto.tunnel.codes import StreamCode, stream_error
from p2p.proto.tunnel.control import PROTOCOL_VERSIONS
from p2p.proto.tunnel.frames import REVERSE_FEATURE, Hello, OfferedService
from p2p.proto.tunnel.header import FlowKind
from p2p.session.version import toolkit_version
from p2p.target import Offered, Target, TcpTarget, UdpTarget

_NAMED_IN_AN_ERROR = 8


def introduction(targets: Mapping[str, Offered], wanted: Collection[str] = ()) -> Hello:
    """What a side tells the other of itself.

    Args:
        targets: What the other side may open flows to.
        wanted: Services of the other side that we listen for.
    """
    services = tuple(
        OfferedService(name, FlowKind.DATAGRAMS if isinstance(target, UdpTarget) else FlowKind.STREAM)
        for name, target in targets.items()
    )
    features = frozenset({REVERSE_FEATURE} if wanted else ())
    return Hello(PROTOCOL_VERSIONS, toolkit_version(), features, services, tuple(wanted))


def free_places(hello: Hello | None) -> dict[str, Target]:
    """A free local port for each service on offer; a TCP port for the only one of an exposer that does not tell."""
    services = () if hello is None else hello.services
    if not services and hello is not None and hello.wanted:
        return {}  # it is there for services of ours
    return {
        service.name: (UdpTarget if service.kind == FlowKind.DATAGRAMS else TcpTarget)("127.0.0.1", 0)
        for service in services or (OfferedService(""),)
    }


def missing_service(hello: Hello | None, wanted: Collection[str]) -> ForwardError | None:
    """Say which wanted service is not on offer, and what is."""
    names = () if hello is None else tuple(service.name for service in hello.services)
    missing = [name for name in wanted if name not in names and (name or len(names) > 1)]
    if not names or not missing:
        return None
    shown = ", ".join(name or "one without a name" for name in names[:_NAMED_IN_AN_ERROR])
    more = f" and {len(names) - _NAMED_IN_AN_ERROR} more" if len(names) > _NAMED_IN_AN_ERROR else ""
    wish = f"no service {missing[0]!r} is on offer" if missing[0] else "there are several services"
    return ForwardError(f"{wish}; there is {shown}{more}", code=stream_error(StreamCode.SERVICE_UNKNOWN).error_code)
